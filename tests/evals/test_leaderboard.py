"""Leaderboards: the numbers of the summaries, in tables that no name breaks."""

import csv
import json
import re

from parts.evaluations import NASTY, named, run
from vlmgym.evals.comparison import compare
from vlmgym.evals.leaderboards import leaderboard
from vlmgym.evals.metrics import shown_in
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random
from vlmgym.players.teacher import Teacher


def cells(line):
    """The cells of a line of a GitHub table: parted by bars that no backslash escapes."""
    return [part.strip() for part in re.split(r"(?<!\\)(?:\\\\)*\|", line.strip()[1:-1])]


def tables(text):
    blocks = [block.split("\n") for block in text.split("\n\n")]
    return [[cells(line) for line in block] for block in blocks if block[0].startswith("|")]


def test_leaderboard_ranks_and_tells_the_numbers_of_the_summaries(tmp_path):
    players = [named(Random(), NASTY), Oracle(), Teacher(0.3)]
    parts = [run(p, tmp_path / f"part{i}") for i, p in enumerate(players)]
    whole = [
        run(p, tmp_path / f"whole{i}", Evaluation(episodes=5, oracle=False), game="Swap")
        for i, p in enumerate(players[:2])
    ]
    rows = leaderboard([*parts, *whole], tmp_path / "out")
    assert [row["game"] for row in rows] == ["2048"] * 3 + ["Swap"] * 2
    assert rows[0]["player"] == "oracle"
    for key, part in (("success", rows[:3]), ("score", rows[3:])):
        assert part == sorted(part, key=lambda row: -row[key])
    for folder in (*parts, *whole):
        summary = json.loads((folder / "summary.json").read_text())
        row = next(
            r
            for r in rows
            if r["player"] == summary["player"] and r["game"] == summary["task"]["game"]
        )
        for metric in shown_in("leaderboard"):
            expected = summary["metrics"][metric]
            if metric == "regret" and folder in whole:
                expected = {"mean": None, "low": None, "high": None}
            assert [row[metric], row[f"{metric}_low"], row[f"{metric}_high"]] == [
                expected[k] for k in ("mean", "low", "high")
            ]
        assert row["episodes"] == summary["evaluation"]["episodes"]
        assert (row["turns"], row["failed"], row["cost"]) == (summary["episodes"]["turns"], 0, None)
        assert row["settings"] == ("" if folder in whole else "turns=3")
    with (tmp_path / "out/leaderboard.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows] == read


def test_no_name_breaks_the_tables(tmp_path):
    folders = [
        run(named(Random(), name), tmp_path / str(i), Evaluation(episodes=4, turns=2))
        for i, name in enumerate((NASTY, "b"))
    ]
    leaderboard(folders, tmp_path)
    text = (tmp_path / "leaderboard.md").read_text()
    ranking, pairs = tables(text)
    assert [len(line) for line in ranking] == [19] * 4
    assert [len(line) for line in pairs] == [9] * 3
    assert {line[1] for line in ranking[2:]} == {"4"}
    assert all(
        re.fullmatch(r"-?\d\.\d{3}( \[-?\d\.\d{3}, -?\d\.\d{3}\])?", line[2])
        for line in ranking[2:]
    )
    assert "n = 4 finished episodes" in text
    assert "bootstrap" in text.splitlines()[-1]
    assert "over the 1 comparisons" in text
    assert not re.search(r"(?<!\\)[<`]", "".join(line[0] for line in ranking))
    (one,) = compare(folders)
    assert pairs[2][4:] == [
        f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]",
        *[f"{one.p:.4f}"] * 2,
        "4",
        "0",
    ]
    leaderboard([], tmp_path / "empty")
    assert "No task has two players" in (tmp_path / "empty/leaderboard.md").read_text()
