"""The table of metrics, and that every place reads it."""

import json
import math
import runpy
import shutil
from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest

from parts.evaluations import named
from parts.folders import DOCS, GOLDEN
from vlmgym.core.files import FileError
from vlmgym.dialogue.judge import Fault
from vlmgym.dialogue.weights import TERM_RANGES, TERMS
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals import chance, metrics, stats
from vlmgym.evals.comparison import compare
from vlmgym.evals.curves import curve
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.leaderboards import leaderboard
from vlmgym.evals.metrics import METRICS, PLACES, mean_of, shown_in, summarise
from vlmgym.evals.settings import Evaluation
from vlmgym.evals.summaries import read_summary
from vlmgym.games import GAMES
from vlmgym.players.simple import Oracle
from vlmgym.players.teacher import Teacher
from vlmgym.train.rewards import batch_metrics


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher")
    evaluate(
        Teacher(0.5), Task("Swap", "tiny"), Evaluation(episodes=6, turns=4), out, progress=False
    )
    return load_trace(out / "trace.jsonl")


def test_the_documents_hold_the_table_of_metrics():
    assert metrics.table() in (DOCS / "evaluation.md").read_text(encoding="utf-8")


LONG_DEALS = {("TicTacToe", "hard"), ("ConnectFour", "normal"), ("ConnectFour", "hard")}
"""Levels whose walks take half a minute together; `make docs` computes them."""


@pytest.fixture(scope="module")
def chances():
    text = (DOCS / "evaluation.md").read_text(encoding="utf-8")
    places = {level: place for place, level in enumerate(chance.LEVELS, 2)}
    compute = chance.chance_of_cells

    def of_level(game, level):
        if (game.name, level) not in LONG_DEALS:
            return compute(game, level)
        rows = (row.split("|") for row in text.splitlines() if row.startswith(f"| {game.name} |"))
        return next(float(row[places[level]]) for row in rows if len(row) == 6)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chance, "chance_of_cells", of_level)
        return chance.table()


def test_the_documents_hold_the_chance_of_cells_of_every_game(chances):
    """If this fails: `python tools/tables.py`."""
    assert chances in (DOCS / "evaluation.md").read_text(encoding="utf-8")
    rows = chances.splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(GAMES)


def test_one_tool_writes_the_tables_of_the_document(tmp_path, chances, monkeypatch):
    text = (DOCS / "evaluation.md").read_text(encoding="utf-8")
    stale = tmp_path / "evaluation.md"
    lines = text.splitlines(keepends=True)
    rows = ("| Swap |", "| success |", "| `oracle` |")
    kept = [line for line in lines if not line.startswith(rows)]
    assert len(kept) == len(lines) - len(rows)
    stale.write_text("".join(kept).replace("| 0.35 |", "| 0.99 |"), encoding="utf-8")
    tool = runpy.run_path(str(DOCS.parent / "tools" / "tables.py"))
    monkeypatch.setattr(chance, "table", lambda: chances)
    tool["main"](stale)
    assert stale.read_text(encoding="utf-8") == text


def test_every_metric_is_of_turns_or_of_episodes_and_is_shown_where_there_is_a_place():
    for metric in METRICS.values():
        ways = metric.of_turn, metric.of_episode, metric.of_turns
        assert sum(way is not None for way in ways) == 1, metric.name
        assert metric.of_turn or "training" not in metric.shown, metric.name
        assert metric.shown <= set(PLACES), metric.name
        assert metric.caption or "figures" not in metric.shown, metric.name
    assert all(shown_in(place) for place in PLACES)


def test_a_new_metric_is_one_entry(trace, monkeypatch):
    illegal = metrics.Metric(
        "illegal",
        "no move, %",
        "turns without one",
        lambda t: float(t.action < 0),
        bounds=stats.SHARE,
    )
    monkeypatch.setitem(
        METRICS, "illegal", replace(illegal, shown=frozenset({"training", "leaderboard"}))
    )
    turns = [replace(turn, action=-1) if k % 4 == 0 else turn for k, turn in enumerate(trace.turns)]
    assert summarise(turns, trace.episodes)["illegal"].mean == pytest.approx(
        sum(t.action < 0 for t in turns) / len(turns)
    )
    assert batch_metrics(turns, ["Swap"] * len(turns))["illegal"] > 0
    assert "illegal" in shown_in("leaderboard")
    assert "| illegal | turn | turns without one |" in metrics.table()


def repeated_answers(episode, turns):
    """The share of an episode's turns that answer as the turn before."""
    pairs = list(pairwise(turns))
    if not pairs:
        return math.nan
    return sum(one.action == two.action for one, two in pairs) / len(pairs)


REPEATS = metrics.Metric(
    "again",
    "again, %",
    "turns that answer as the one before",
    of_turns=repeated_answers,
    bounds=stats.SHARE,
    shown=frozenset({"leaderboard", "inspect"}),
)


def test_a_metric_of_an_episode_may_look_at_several_of_its_turns(trace, monkeypatch):
    monkeypatch.setitem(METRICS, "again", REPEATS)
    actions = [3, 3, 1, 1]
    turns = [replace(turn, action=actions[turn.turn]) for turn in trace.turns]
    found = summarise(turns, trace.episodes)["again"]
    assert found.mean == pytest.approx(2 / 3)
    assert found.n == len(trace.episodes)
    single = [turn for turn in turns if turn.turn == 0 or turn.episode == 0]
    assert summarise(single, trace.episodes)["again"].n == 1, "one turn repeats nothing"
    episode = trace.episodes[0]
    of_episode = [turn for turn in turns if turn.episode == episode.episode]
    assert metrics.value_of("again", episode, of_episode) == pytest.approx(2 / 3)
    assert "| again | episode |" in metrics.table()


EARLIER = sorted(path.parent.name for path in GOLDEN.glob("*/summary.json"))
EVALUATIONS = [name for name in EARLIER if name != "human"]


@pytest.mark.parametrize("name", EVALUATIONS)
def test_an_earlier_summary_does_not_have_measured_a_new_metric(name, tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "again", REPEATS)
    folder = tmp_path / name
    shutil.copytree(GOLDEN / name, folder)
    summary = read_summary(folder)
    stored = json.loads((folder / "summary.json").read_text())
    for metric in METRICS.keys() - stored["metrics"].keys():
        assert summary["metrics"][metric] == {"mean": None, "low": None, "high": None, "n": 0}
    assert {"again", "balanced"} <= METRICS.keys() - stored["metrics"].keys()
    (row,) = leaderboard([folder], tmp_path / "board")
    assert row["balanced"] is None
    assert row["again"] is None
    assert all(math.isnan(line.metrics["again"][0].mean) for line in curve([folder], "look.noise"))


@pytest.mark.parametrize("metric", ["balanced", "success", "again", "of_another_version"])
def test_a_metric_that_is_there_and_damaged_is_refused(metric, tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "again", REPEATS)
    summary = json.loads((GOLDEN / "teacher" / "summary.json").read_text())
    for damage in ("0.5", {"mean": 0.5}, {"mean": "0.5", "low": None, "high": None, "n": 3}, None):
        summary["metrics"][metric] = damage
        (tmp_path / "summary.json").write_text(json.dumps(summary))
        with pytest.raises(FileError, match=rf"metrics\.{metric}.* is missing or of another type"):
            read_summary(tmp_path)
    summary["metrics"] = [1]
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(FileError, match="metrics is missing or of another type"):
        read_summary(tmp_path)


def test_points_of_a_curve_may_be_of_several_versions(tmp_path):
    newest = json.loads((GOLDEN / "teacher" / "summary.json").read_text())
    later = json.loads(json.dumps(newest))
    later["task"]["look"] += ":noise=0.25" if ":" not in later["task"]["look"] else ",noise=0.25"
    later["metrics"]["of_later"] = later["metrics"]["success"]
    (line,) = curve([newest, later], "look.noise")
    assert math.isnan(line.metrics["of_later"][0].mean)
    assert line.metrics["of_later"][1].mean == later["metrics"]["success"]["mean"]


def test_differences_have_the_range_that_follows_from_that_of_the_metric(tmp_path):
    """The interval of equal differences reaches towards the ends that are possible."""
    for metric in METRICS.values():
        gap = metric.gap_bounds
        assert gap is None if metric.bounds is None else gap == stats.GAP or gap == (-2, 2)
    assert METRICS["balanced"].gap_bounds == (-2, 2)
    assert METRICS["score"].gap_bounds is None
    assert METRICS["success"].gap_bounds == stats.GAP
    task = Task("Swap", "tiny", "tiny")
    folders = []
    for name in ("one", "two"):
        how = Evaluation(episodes=5, turns=1)
        evaluate(named(Oracle(), name), task, how, tmp_path / name, progress=False)
        folders.append(tmp_path / name)
    unseen = 1 - 0.05 ** (1 / 5)
    for name, farthest in (("balanced", 2), ("success", 1)):
        (found,) = compare(folders, name)
        assert (found.low, found.high) == pytest.approx((-unseen * farthest, unseen * farthest))
    (found,) = compare(folders, "score")
    assert math.isnan(found.low), "scores have no range"


def test_means_are_those_of_a_plain_count(trace):
    turns, found = trace.turns, summarise(trace.turns, trace.episodes)
    exact = [turn for turn in turns if turn.p_acc]
    assert found["p_acc"].mean == pytest.approx(len(exact) / len(turns))
    assert found["r_acc"].mean == pytest.approx(
        sum(turn.terms["game"] > 0 for turn in exact) / len(exact)
    )
    assert found["score"].mean == pytest.approx(np.mean([one.score for one in trace.episodes]))
    for fault in Fault:
        share = sum(turn.fault == fault for turn in turns) / len(turns)
        assert found[f"fault_{fault}"].mean == pytest.approx(share)
        assert mean_of(f"fault_{fault}", turns) == pytest.approx(share)


def test_turns_without_a_value_do_not_count_and_nothing_is_nan_only_then(trace):
    unknown = [replace(turn, p_acc=None) for turn in trace.turns]
    found = summarise(unknown, trace.episodes)
    assert all(
        math.isnan(found[name].mean) and found[name].n == 0
        for name in ("p_acc", "cells", "balanced", "r_acc")
    )
    assert not math.isnan(found["success"].mean)
    assert "p_acc" not in batch_metrics(unknown, ["Swap"] * len(unknown))
    mixed = [replace(turn, p_acc=None) if turn.episode < 3 else turn for turn in trace.turns]
    kept = [turn for turn in trace.turns if turn.episode >= 3]
    assert summarise(mixed, trace.episodes)["cells"].mean == pytest.approx(
        np.mean([turn.terms["cells"] for turn in kept])
    )


def test_an_unvaried_metric_stays_within_its_own_range(trace):
    worst = [
        replace(turn, terms={**turn.terms, "game": -1.0, "balanced": -1.0}) for turn in trace.turns
    ]
    found = summarise(worst, trace.episodes)
    for name in ("game", "balanced"):
        assert found[name].low == -1
        assert -1 < found[name].high <= 1


def test_every_reward_term_has_a_range_and_judgements_keep_to_it(trace):
    assert set(TERM_RANGES) == set(TERMS)
    for turn in trace.turns:
        for term, (least, most) in TERM_RANGES.items():
            assert least <= turn.terms[term] <= most


def test_every_fault_has_words_and_a_colour_of_its_own():
    assert (
        len({fault.colour for fault in Fault})
        == len({fault.meaning for fault in Fault})
        == len(Fault)
    )
    assert Fault("none") is Fault.NONE
    assert Fault.NONE == "none"
    assert len({fault.phrase for fault in Fault}) == len(Fault)


SIGHT = {  # of linear red, green, blue: Machado et al. 2009, the whole deficiency
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deutan": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritan": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def as_seen(colour, sight):
    """A colour as CIE L*a*b*, in which distances are alike to the eye."""
    light = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    to_xyz = [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    xyz = np.array(to_xyz) @ seen / (0.9505, 1, 1.0888)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_of_faults_are_told_apart_by_colour_blind_readers_as_well(sight):
    colours = [as_seen(fault.colour, sight) for fault in Fault]
    distances = [np.linalg.norm(one - other) for one, other in combinations(colours, 2)]
    assert min(distances) > 20
    for fault in Fault:
        lightness = [as_seen(colour, sight)[0] for colour in (fault.colour, fault.ink)]
        assert abs(lightness[0] - lightness[1]) > 35, f"letters on {fault}"
