"""The table of metrics, and that every place reads it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from parts.folders import DOCS
from vlmgym.dialogue.judge import TERM_RANGES, TERMS, Fault
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals import metrics, stats
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.metrics import METRICS, PLACES, mean_of, shown_in, summarise
from vlmgym.evals.settings import Evaluation
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


def test_every_metric_is_of_turns_or_of_episodes_and_is_shown_where_there_is_a_place():
    for metric in METRICS.values():
        assert (metric.of_turn is None) != (metric.of_episode is None), metric.name
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
