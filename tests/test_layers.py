"""The layers of the design: imports go downward only, and importing the package stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import vlmgym

ROOT = Path(vlmgym.__file__).parent
LAYERS = [
    ["kernels", "core", "files", "config"],
    [
        "games.text",
        "games.tiles",
        "games.game2048",
        "games.shisen_sho",
        "games.swap",
        "games.minesweeper",
        "games.sokoban",
        "games.sliding",
        "games.frozen_lake",
        "games",
        "stats",
    ],
    ["looks", "photos", "drawing", "render", "pixels", "prompt"],
    ["reward", "trace", "env", "outside"],
    [
        "players",
        "players.base",
        "players.teacher",
        "players.beginner",
        "players.simple",
        "players.sampling",
        "players.local",
        "players.wire",
        "players.bodies",
        "players.api",
        "players.roster",
    ],
    ["rollout", "tasks", "testing", "baselines", "curriculum"],
    [
        "evaluate",
        "analysis",
        "figures",
        "protocol",
        "train",
        "train.model",
        "train.trained",
        "train.survive",
        "train.states",
        "train.data",
        "train.rewards",
        "train.episodes",
        "train.trainers",
        "export",
        "train.sft",
        "train.grpo",
        "train.profile",
        "train.recipe",
        "study",
        "findings",
        "pictures",
        "results",
        "train.sizes",
        "train.plan",
        "train.tiny",
        "train.cluster",
        "train.verl",
    ],
    ["replay", "report", "demo", "gallery", "webplay", "bridge", "plain", "bench"],
    ["cli"],
    ["__main__"],
]
ORDER = {name: (rank, place) for rank, layer in enumerate(LAYERS) for place, name in enumerate(layer)}
HEAVY = {"train.trainers", "train.verl"}  # imported where a run begins, and nowhere at the top of a module
LAZY_ONLY = {"torch", "transformers", "trl", "matplotlib", "datasets", "peft", "httpx2", "jinja2"}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree, top_level_only):
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_layer():
    assert {name for name, _ in modules()} == set(ORDER)


def test_imports_go_downward():
    wrong = []
    for name, tree in modules():
        for target in imported(tree, top_level_only=True):
            short = target.removeprefix("vlmgym.")
            if target.startswith("vlmgym.") and short in ORDER and ORDER[short] >= ORDER[name] and name != short:
                wrong.append(f"{name} imports {short}")
    assert wrong == []


def test_heavy_packages_are_imported_where_used():
    wrong = [
        f"{name} imports {target}"
        for name, tree in modules()
        for target in imported(tree, top_level_only=True)
        if (target.split(".")[0] in LAZY_ONLY and name not in HEAVY) or target.removeprefix("vlmgym.") in HEAVY
    ]
    assert wrong == []


def test_games_know_no_pictures_and_no_learning():
    for name, tree in modules():
        if name == "core" or name.startswith("games"):
            assert not {t.split(".")[0] for t in imported(tree, False)} & {"PIL", "gymnasium", *LAZY_ONLY}, name


def test_import_is_light():
    heavy = sorted(LAZY_ONLY | {"numba", "PIL", "pygame"})
    code = f"import sys, vlmgym; print(sorted(m for m in sys.modules if m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_public_names_resolve():
    for name in vlmgym.__all__:
        assert getattr(vlmgym, name) is not None
