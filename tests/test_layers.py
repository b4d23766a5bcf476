"""The layers of the design: imports go downward only, and importing the package stays light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import mypy.api

import vlmgym

ROOT = Path(vlmgym.__file__).parent
LAYERS = [
    ["early", "errors", "kernels", "core", "files", "config"],
    [
        "games.parts",
        "games.parts.boards",
        "games.parts.actions",
        "games.parts.tile_kinds",
        "games.solvers",
        "games.solvers.fifteen",
        "games.solvers.walks",
        "games.solvers.boxes",
        "games.solvers.mines",
        "games.parts.grid",
        "games.parts.mazes",
        "games.parts.rooms",
        "games.parts.slides",
        "games.parts.lines",
        "games.parts.paths",
        "games.parts.explanations",
        "games.parts.pairs",
        "games.game2048",
        "games.shisen_sho",
        "games.shisen_sho_photos",
        "games.swap",
        "games.minesweeper",
        "games.sokoban",
        "games.sliding",
        "games.frozen_lake",
        "games.guard",
        "games",
        "stats",
    ],
    ["looks", "photos", "drawing", "render", "pixels", "prompt"],
    ["reward", "env", "outside"],
    [
        "train",
        "train.model",
        "train.survive",
        "train.settings",
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
    ["trace", "metrics", "rollout", "tasks", "testing", "baselines", "curriculum"],
    [
        "evaluate",
        "analysis.summaries",
        "analysis.evaluations",
        "analysis.comparison",
        "analysis.leaderboards",
        "analysis.confusions",
        "analysis.curves",
        "analysis",
        "figures",
        "protocol",
        "train.trained",
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
        "claims",
        "pictures",
        "results",
        "train.sizes",
        "train.speed",
        "train.plan",
        "train.tiny",
        "train.cluster",
        "train.verl",
    ],
    [
        "replay",
        "report.html",
        "report.charts",
        "report.data",
        "report.headline",
        "report.results",
        "report.differences",
        "report.training",
        "report.faults",
        "report.turns",
        "report.page",
        "report",
        "demo",
        "gallery",
        "webplay",
        "bridge",
    ],
    [
        "cli.parser",
        "cli.paths",
        "cli.conclude",
        "cli.evaluate",
        "cli.games",
        "cli.report",
        "cli.study",
        "cli.train",
        "cli.main",
        "cli",
        "cli.__main__",
    ],
    ["__main__"],
]
ORDER = {
    name: (rank, place) for rank, layer in enumerate(LAYERS) for place, name in enumerate(layer)
}
# imported where a run begins, and nowhere at the top of a module
HEAVY = {"train.trainers", "train.verl"}
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


UPWARD = {
    ("core", "games"): "a state says which game it is of",
    ("core", "render"): "and draws itself in notebooks",
    ("players.roster", "train.trained"): "a local model says what it was trained for, in tasks",
}
"""Imports within functions that go up all the same, each with its reason."""


def test_imports_go_downward():
    """Those within functions, and those for types alone, too."""
    wrong, upward = [], set()
    for name, tree in modules():
        for target in imported(tree, top_level_only=False):
            short = target.removeprefix("vlmgym.")
            if (
                target.startswith("vlmgym.")
                and short in ORDER
                and ORDER[short] >= ORDER[name]
                and name != short
            ):
                upward.add((name, short))
                if (name, short) not in UPWARD or target in imported(tree, top_level_only=True):
                    wrong.append(f"{name} imports {short}")
    assert wrong == []
    assert upward == set(UPWARD)


def test_heavy_packages_are_imported_where_used():
    wrong = [
        f"{name} imports {target}"
        for name, tree in modules()
        for target in imported(tree, top_level_only=True)
        if (target.split(".")[0] in LAZY_ONLY and name not in HEAVY)
        or target.removeprefix("vlmgym.") in HEAVY
    ]
    assert wrong == []


def test_games_know_no_pictures_and_no_learning():
    for name, tree in modules():
        if name == "core" or name.startswith("games"):
            assert not {t.split(".")[0] for t in imported(tree, False)} & {
                "PIL",
                "gymnasium",
                *LAZY_ONLY,
            }, name


def test_import_is_light():
    heavy = sorted(LAZY_ONLY | {"numba", "PIL", "pygame"})
    code = f"import sys, vlmgym; print(sorted(m for m in sys.modules if m in {heavy}))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_public_names_are_what_they_are_whatever_was_imported_before():
    """A submodule of the same name hides none of them, in either order; twice, as only a second
    look can find that.
    """
    look = (
        "import importlib, pkgutil, types, vlmgym\n"
        "before = {name: getattr(vlmgym, name) for name in vlmgym.__all__}\n"
        "again = {name: getattr(vlmgym, name) for name in vlmgym.__all__}\n"
    )
    load = (
        "import importlib, pkgutil, vlmgym\n"
        "heavy = 'vlmgym.train', 'vlmgym.__main__', 'vlmgym.cli.__main__', 'vlmgym.bridge'\n"
        "for found in pkgutil.walk_packages(vlmgym.__path__, 'vlmgym.'):\n"
        "    found.name.startswith(heavy) or importlib.import_module(found.name)\n"
    )
    compare = (
        "import types, vlmgym.render\n"
        "assert [n for n in vlmgym.__all__ if isinstance(getattr(vlmgym, n), types.ModuleType)] == "
        "[]\n"
        "assert all(again[n] is before[n] is getattr(vlmgym, n) for n in vlmgym.__all__)\n"
        "from vlmgym.render import render, Frames\n"
        "assert render is vlmgym.render\n"
        "game = vlmgym.get_game('2048')\n"
        "state = game.reset(game.level('easy'), vlmgym.seeds_for('test', '2048', 'easy', 1))\n"
        "assert vlmgym.render(game, state, 'tiny').shape == vlmgym.render(game, state, "
        "'tiny').shape\n"
    )
    for code in (look + load + compare, load + look + compare):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_type_checkers_and_editors_see_the_public_names(tmp_path):
    """None of them is Any, and a wrong call is found."""
    values = "\n".join(f"reveal_type(vlmgym.{name})" for name in vlmgym.__all__)
    snippet = tmp_path / "snippet.py"
    snippet.write_text(
        f"import vlmgym\nimport vlmgym.render\n{values}\n"
        "game = vlmgym.get_game('2048')\n"
        "state = game.reset(game.level('easy'), vlmgym.seeds_for('test', '2048', 'easy', 4))\n"
        "reveal_type(vlmgym.render(game, state))\nvlmgym.get_game(1.5)\nvlmgym.no_such_name\n"
    )
    options = [
        "--no-incremental",
        "--follow-imports=silent",
        "--ignore-missing-imports",
        f"--cache-dir={tmp_path}",
        str(snippet),
    ]
    said, _, _ = mypy.api.run(options)
    revealed = re.findall(r'Revealed type is "(.*)"', said)
    assert len(revealed) == len(vlmgym.__all__) + 1, said
    assert [kind for kind in revealed if kind == "Any"] == []
    assert "def (game: vlmgym.core.Game" in said
    assert "numpy.ndarray" in revealed[-1]
    assert 'Argument 1 to "get_game" has incompatible type "float"' in said
    assert 'Module has no attribute "no_such_name"' in said


def test_the_table_of_public_names_is_written_once_for_people_and_once_for_type_checkers():
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.name: node.module.removeprefix("vlmgym.")
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == vlmgym._HOMES
    assert sorted(vlmgym.__all__) == sorted(["__version__", *typed])
