"""The layers of the design: imports go downward only, and importing the package stays light."""

import ast
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import mypy.api
import pytest

import vlmgym

ROOT = Path(vlmgym.__file__).parent
LAYERS = (
    "early",
    "core",
    "games dialogue",
    "render",
    "models envs",
    "players",
    "episodes",
    "testing evals",
    "train",
    "report",
    "studies",
    "apps integrations",
    "cli",
    "__main__",
)
"""The packages, the lowest first; those of a line know nothing of each other."""
FLOOR = {name: floor for floor, layer in enumerate(LAYERS) for name in layer.split()}
HEAVY = {
    "players.cache",
    "train.block_grpo",
    "train.crediting",
    "train.grpo_trainer",
    "train.resumable",
    "train.stand_ins",
    "train.trl_grpo",
    "train.trl_sft",
    "train.verl.worker",
}
"""Imported where a run begins, and nowhere at the top of a module."""
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


def targets(tree, known, top_level_only=False):
    """The modules of vlmgym that a module imports, the innermost that each import names."""
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [one if one.removeprefix("vlmgym.") in known else node.module for one in whole]
        else:
            continue
        yield from (name.removeprefix("vlmgym.") for name in names if name.startswith("vlmgym."))


def test_every_module_has_a_floor():
    assert {name.partition(".")[0] for name, _ in modules()} == set(FLOOR)


UPWARD = {
    ("core.state", "games"): "a state says which game it is of",
    ("core.state", "render.frames"): "and draws itself in notebooks",
    ("players.registry", "train.trained"): "a local model says what it was trained for, in tasks",
}
"""Imports within functions that go up all the same, each with its reason."""


def test_imports_go_downward():
    """Those within functions, and those for types alone, too."""
    found = dict(modules())
    wrong, upward = [], set()
    for name, tree in found.items():
        own = name.partition(".")[0]
        for target in set(targets(tree, found)):
            package = target.partition(".")[0]
            if package != own and FLOOR[package] >= FLOOR[own]:
                upward.add((name, target))
                if (name, target) not in UPWARD or target in targets(tree, found, True):
                    wrong.append(f"{name} imports {target}")
    assert wrong == []
    assert upward == set(UPWARD)


def test_no_circles_within_a_package():
    """Modules of a package import each other in an order, and not their own face."""
    found = dict(modules())
    arrows = {
        name: {
            one for one in targets(tree, found) if one.partition(".")[0] == name.partition(".")[0]
        }
        for name, tree in found.items()
    }
    for name in arrows:
        arrows[name] -= {name}
    list(TopologicalSorter(arrows).static_order())  # raises CycleError
    faces = {name for name in found if (ROOT / name.replace(".", "/")).is_dir()}
    inside = [
        f"{name} imports {face}"
        for name in found
        for face in arrows[name] & faces
        if name.startswith(f"{face}.")
    ]
    assert inside == []


def test_heavy_packages_are_imported_where_used():
    wrong = [
        f"{name} imports {target}"
        for name, tree in modules()
        for target in imported(tree, top_level_only=True)
        if name not in HEAVY
        and (target.split(".")[0] in LAZY_ONLY or target.removeprefix("vlmgym.") in HEAVY)
    ]
    assert wrong == []


EXEMPT = ("games.external", "core.provenance")
"""They bring environments in, and name the GPU."""


def test_games_know_no_pictures_and_no_learning():
    for name, tree in modules():
        if name.startswith(("core", "games", "dialogue")) and not name.startswith(EXEMPT):
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
        "heavy = 'vlmgym.train', 'vlmgym.__main__', 'vlmgym.cli.__main__', "
        "'vlmgym.integrations.inspect_ai'\n"
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
    assert "def (game: vlmgym.core.game.Game" in said
    assert "numpy.ndarray" in revealed[-1]
    assert 'Argument 1 to "get_game" has incompatible type "float"' in said
    assert 'Module has no attribute "no_such_name"' in said


def faces():
    return sorted(path.with_suffix("") for path in ROOT.rglob("__init__.pyi"))


@pytest.mark.parametrize("path", faces(), ids=lambda path: path.parent.name)
def test_a_face_offers_what_it_says(path):
    """Each name of a package's stub is there, and ``__all__`` holds no other."""
    name = ".".join(("vlmgym", *path.parent.relative_to(ROOT).parts))
    if name == "vlmgym.train.verl":
        pytest.skip("verl is not installed beside the rest: tests/verl loads it")
    face = importlib.import_module(name)
    stub = ast.parse(path.with_suffix(".pyi").read_text(encoding="utf-8"))
    said = {
        alias.name for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(face.__all__) - {"__version__"} == said
    assert all(getattr(face, one) is not None for one in said)


def test_no_test_takes_a_file_from_a_folder_that_the_tests_have_too():
    """``benchmarks.x`` is found here or in ``tests/benchmarks``, as the order of loading has it."""
    here = Path(__file__).parent
    folders = {path.name for path in here.iterdir() if path.is_dir()}
    folders &= {path.name for path in here.parent.iterdir()}
    assert folders
    for path in here.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in folders, path
