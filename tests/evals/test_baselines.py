"""The stored baselines: complete, of the present rules, reproduced on a sample, and shown beside an
evaluation.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from vlmgym.apps import gallery
from vlmgym.cli import conclude, main
from vlmgym.core.files import read_json_lines
from vlmgym.episodes.task import Task
from vlmgym.evals import baselines
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.metrics import METRICS, shown_in
from vlmgym.evals.settings import Evaluation
from vlmgym.games import GAMES
from vlmgym.players.simple import Greedy, Oracle, Random, RandomLegal

EVERY = [(name, level) for name, game in GAMES.items() for level in game.LEVELS]


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_every_game_and_level_has_its_rows(name: str, level: str) -> None:
    rows = baselines.stored(GAMES[name], level)
    assert list(rows) == ["random", "random-legal", "greedy", "oracle"]
    for row in rows.values():
        assert set(row) == set(shown_in("baselines"))
        for value in row.values():
            assert value["n"] == 1000
            if value["low"] is not None:  # equal values without a range have no interval
                assert value["low"] <= value["mean"] <= value["high"]
    assert rows["random"]["success"]["mean"] < rows["oracle"]["success"]["mean"]
    assert rows["random"]["score"]["mean"] <= rows["oracle"]["score"]["mean"]


@pytest.mark.parametrize(("name", "level"), [e for e in EVERY if e != ("SlidingPuzzle", "hard")])
def test_stored_rows_come_back(name: str, level: str) -> None:
    """The first 40 of the 1,000 episodes, played again, lie around the stored mean (5 standard
    errors).
    """
    for player in (RandomLegal(), Oracle()):
        found = baselines.measure(GAMES[name], level, player, 40)
        stored = baselines.stored(GAMES[name], level)[player.name]
        for metric in shown_in("baselines"):
            width = (stored[metric]["high"] or 0) - (stored[metric]["low"] or 0)
            wide = width / 3.92 * np.sqrt(1000 / 40)
            assert abs(found[metric].mean - stored[metric]["mean"]) <= 5 * wide + 1e-3, (
                player.name,
                metric,
            )


def test_measuring_equals_evaluating() -> None:
    """Without texts and pictures, the same numbers as through prompts and replies."""
    task = Task(game="2048", level="tiny", look="tiny")
    for player in (Random(), Greedy()):
        quick = baselines.measure(GAMES["2048"], "tiny", player, 12)
        whole = evaluate(player, task, Evaluation(episodes=12), progress=False)["metrics"]
        for metric in shown_in("baselines"):
            assert quick[metric].to_dict() == whole[metric]


def test_the_papers_random_row_of_2048() -> None:
    """701 in the paper, over 10 games; 100 random moves with restarts here."""
    score = baselines.stored(GAMES["2048"], "paper")["random"]["score"]
    assert score["low"] - 5 < 701 < score["high"] + 5


def test_rows_of_other_rules_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    game = GAMES["2048"]
    assert baselines.stored(game, "paper")
    assert baselines.stored(game, "paper:rows=5") == {}
    monkeypatch.setattr(game, "version", 99)
    assert baselines.stored(game, "paper") == {}


def test_an_evaluation_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = [
        "eval",
        "--player",
        "random",
        "--game",
        "Swap",
        "--level",
        "tiny",
        "--look",
        "tiny",
        "--episodes",
        "3",
    ]
    assert main([*call, "--out", str(tmp_path / "a")]) == 0
    shown = capsys.readouterr().out
    assert "baselines" in shown
    assert "random-legal" in shown
    kept = json.loads((tmp_path / "a" / "summary.json").read_text())["baselines"]
    assert kept == baselines.stored(GAMES["Swap"], "tiny")
    assert main([*call, "--turns", "2", "--out", str(tmp_path / "b")]) == 0
    assert json.loads((tmp_path / "b" / "summary.json").read_text())["baselines"] == {}, (
        "rows of whole episodes do not apply"
    )


def test_what_stored_rows_do_not_have_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that is newer than the stored file, and an interval where all values are equal."""
    monkeypatch.setitem(
        METRICS, "again", replace(METRICS["success"], name="again", title="again, %")
    )
    game = GAMES["Swap"]
    rows = json.loads(json.dumps(baselines.stored(game, "tiny")))
    rows["oracle"]["score"] |= {"low": None, "high": None}
    monkeypatch.setattr(baselines, "stored", lambda *_: rows)
    page = gallery.baseline_table(game).splitlines()
    assert page[0] == "| level | player | score | reward | success | again |"
    assert page[1].count("---") == 6
    assert all(line.endswith("| - |") for line in page[2:])
    assert len({line.count("|") for line in page}) == 1
    summary = evaluate(
        Random(), Task("Swap", "tiny", "tiny"), Evaluation(episodes=2), progress=False
    )
    lines = conclude.table(summary).splitlines()[-len(rows) :]
    assert all(line.split()[-1] == "-" for line in lines)
    oracle = f"{rows['oracle']['score']['mean']:.2f}"
    assert lines[-1].split()[:2] == ["oracle", oracle]


def test_equal_rows_have_the_interval_of_evaluations() -> None:
    found = baselines.measure(GAMES["Swap"], "tiny", Oracle(), 12)
    task = Task(game="Swap", level="tiny", look="tiny")
    whole = evaluate(Oracle(), task, Evaluation(episodes=12), progress=False)["metrics"]
    assert found["success"].mean == 1
    assert found["success"].low < 1
    assert found["success"].to_dict() == whole["success"]


def test_rebuilding_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"FrozenLake": GAMES["FrozenLake"]}
    monkeypatch.setattr(baselines, "GAMES", small)
    monkeypatch.setattr(baselines, "SEEDS", 2 * baselines.CHUNK)
    monkeypatch.setattr(baselines, "PLAYERS", (Random, Oracle))
    target, scratch = tmp_path / "rows.json", tmp_path / "pieces.jsonl"
    baselines.rebuild(target, scratch, 2)
    first, lines = target.read_text(), scratch.read_text().splitlines()
    assert len(lines) == 2 * 2 * len(small["FrozenLake"].LEVELS)
    scratch.write_text("\n".join(lines[:5]) + "\n" + lines[5][:20])  # a torn line
    target.unlink()
    baselines.rebuild(target, scratch, 2)
    assert target.read_text() == first
    entry = json.loads(first)["games"]["FrozenLake"]["tiny"]
    assert entry["level"] == asdict(GAMES["FrozenLake"].level("tiny"))
    assert entry["players"]["oracle"]["score"]["mean"] == 1


def test_a_game_alone_is_computed_and_the_rows_of_all_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(baselines, "SEEDS", baselines.CHUNK)
    monkeypatch.setattr(baselines, "PLAYERS", (Random,))
    stored = json.loads(Path(baselines.__file__).with_suffix(".json").read_text())["games"]
    target, scratch = tmp_path / "rows.json", tmp_path / "pieces.jsonl"
    files = ["--out", str(target), "--scratch", str(scratch), "--processes", "1"]
    assert main(["baselines", "--game", "FrozenLake", *files]) == 0
    first = json.loads(target.read_text())["games"]
    assert list(first) == list(GAMES)
    assert len(read_json_lines(scratch)) == len(GAMES["FrozenLake"].LEVELS)
    for name in GAMES:
        assert (first[name] == stored[name]) == (name != "FrozenLake"), name
    assert list(first["FrozenLake"]["easy"]["players"]) == ["random"]
    assert main(["baselines", "--game", "Swap", "--game", "Swap", *files]) == 0
    second = json.loads(target.read_text())["games"]
    assert second["FrozenLake"] == first["FrozenLake"], "kept as the file has it"
    assert list(second["Swap"]["easy"]["players"]) == ["random"]
    capsys.readouterr()
    assert main(["baselines", "--game", "Chess", *files]) == 2
    assert "game = 'Chess': allowed is one of 2048, " in capsys.readouterr().err
    target.write_text("{}")
    assert main(["baselines", "--game", "Swap", *files]) == 2
    assert f"{target}: no stored baselines" in capsys.readouterr().err


def test_a_row_is_finished_after_a_line_that_was_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "GAMES", {"FrozenLake": GAMES["FrozenLake"]})
    monkeypatch.setattr(baselines, "SEEDS", baselines.CHUNK)
    monkeypatch.setattr(baselines, "PLAYERS", (Random,))
    scratch = tmp_path / "pieces.jsonl"
    scratch.write_text('{"torn": [[')
    baselines.rebuild(tmp_path / "rows.json", scratch, 1)
    assert len(read_json_lines(scratch)) == len(GAMES["FrozenLake"].LEVELS)


def test_ctrl_c_ends_it_soon_in_one_sentence_and_keeps_what_is_finished(tmp_path: Path) -> None:
    scratch, target = tmp_path / "pieces.jsonl", tmp_path / "rows.json"
    words = ["baselines", "--processes", "2", "--out", str(target), "--scratch", str(scratch)]
    process = subprocess.Popen(
        [sys.executable, "-m", "vlmgym", *words, "--game", "SlidingPuzzle", "--game", "Sokoban"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not (scratch.exists() and scratch.read_bytes().count(b"\n") > 2):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said = process.communicate(timeout=60)[1]
    assert time.monotonic() - start < 15, "it did not wait for the other pieces"
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1] == (
        "vlmgym baselines: stopped; finished pieces are kept, and the same command goes on from "
        "there"
    )
    assert len(read_json_lines(scratch)) > 2
    assert not target.exists()
