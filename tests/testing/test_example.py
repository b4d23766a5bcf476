"""The example of a game from outside, installed for real."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from lights_out_2000 import LevelLightsOut2000, LightsOut2000, reach

from parts.folders import LIGHTS_OUT_2000, ROOT
from vlmgym.core import seeds_for


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example, installed with pip into a folder of its own: an environment in which only that
    folder has the game.
    """
    source, target = (
        tmp_path_factory.mktemp("source") / "lights_out_2000",
        tmp_path_factory.mktemp("site"),
    )
    shutil.copytree(
        LIGHTS_OUT_2000, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(target), str(source)],
        check=True,
        timeout=300,
    )
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT / "src")])}


def command(environment, folder, *words):
    run = [sys.executable, "-m", "vlmgym.cli", *words]
    return subprocess.run(
        run, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_installed_example_passes_the_check_on_all_levels(installed, tmp_path):
    done = command(installed, tmp_path, "check", "LightsOut2000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all checks passed\n")
    assert "FAIL" not in done.stdout
    for level in LightsOut2000.LEVELS:
        assert f"ok   LightsOut2000 {level}: oracle beats random" in done.stdout


def test_the_installed_example_is_listed_and_can_be_evaluated(installed, tmp_path):
    done = command(installed, tmp_path, "games")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("LightsOut2000"))
    assert line.split() == ["LightsOut2000", "4", "x", "4", "16", "easy,", "normal,", "hard"]
    done = command(
        installed,
        tmp_path,
        "eval",
        "--player",
        "oracle",
        "--game",
        "LightsOut2000",
        "--episodes",
        "2",
        "--out",
        "run",
    )
    assert done.returncode == 0, done.stderr
    assert "oracle on LightsOut2000 normal, 2 episodes" in done.stdout
    assert (tmp_path / "run" / "trace.jsonl").exists()


def test_the_installed_example_is_a_gymnasium_environment(installed, tmp_path):
    code = (
        "import gymnasium, vlmgym; env = gymnasium.make('vlmgym/Game-v0', game='LightsOut2000', "
        "level='easy'); "
        "frame, info = env.reset(seed=1); print(frame.shape if hasattr(frame, 'shape') else "
        "sorted(frame))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_the_example_stays_short():
    assert (
        len((LIGHTS_OUT_2000 / "lights_out_2000.py").read_text(encoding="utf-8").splitlines())
        <= 120
    )


def boards_after(level, boards, times=1):
    """The numbers of boards, digits to the base 3, after so many presses of each cell:
    ``(B, A)``.
    """
    cells = level.rows * level.cols
    powers = 3 ** np.arange(cells)
    lamps = boards[:, None, None] // powers % 3
    return (lamps + times * reach(level).astype(np.int64)) % 3 @ powers


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 3), (3, 3), (5, 2)])
def test_the_example_oracle_equals_a_search_over_all_boards(rows, cols):
    level, n = LevelLightsOut2000(rows=rows, cols=cols), rows * cols
    distance, front = np.full(3**n, -1), np.zeros(1, np.int64)
    for depth in range(2 * n + 1):
        distance[front] = depth
        # back from the dark board: two more presses undo one
        front = np.unique(boards_after(level, front, times=2))
        front = front[distance[front] < 0]
    boards = np.random.default_rng(0).choice(3**n, min(3**n, 600), replace=False)
    game = LightsOut2000()
    lamps = boards[:, None] // 3 ** np.arange(n) % 3
    state = game.from_symbols(level, lamps.reshape(-1, rows, cols).astype(np.int16))
    after = distance[boards_after(level, boards)]
    expected = np.where(after >= 0, -1.0 - after, -1000.0)
    assert (game.oracle(state) == expected).all()
    best = (distance[boards] > 0)[:, None] & (after == distance[boards][:, None] - 1)
    assert (game.success_mask(state) == best).all()


def test_the_example_oracle_is_right_for_few_presses_on_the_largest_board():
    game, level = LightsOut2000(), LevelLightsOut2000(rows=5, cols=5)
    shortest = {}
    for count in range(4):
        for cells in itertools.combinations_with_replacement(range(25), count):
            board = (-reach(level)[list(cells)].sum(axis=0, dtype=np.int64) % 3).astype(np.int16)
            shortest.setdefault(board.tobytes(), (board, count))
    boards, counts = zip(*shortest.values(), strict=True)
    value = game.oracle(game.from_symbols(level, np.reshape(boards, (-1, 5, 5))))
    assert (value.max(axis=1)[1:] == -np.array(counts)[1:]).all()


def test_the_example_deals_lit_boards_that_can_be_solved():
    game, seeds = LightsOut2000(), seeds_for("free", "LightsOut2000", "any", 2000)
    for presses in (1, 4, 16, 25):
        state = game.reset(LevelLightsOut2000(presses=presses), seeds)
        assert state.board.any(axis=(1, 2)).all()
        assert (game.oracle(state) > -1000).all()
    assert len(np.unique(game.reset(game.level("hard"), seeds).board, axis=0)) > 1900
    assert len(game.reset(game.level("hard"), seeds[:0])) == 0
