"""Paired comparisons: what is compared, what is left out, and what cannot be."""

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from parts.evaluations import named, run, written
from vlmgym.core import ConfigError
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.trace import TraceWriter, load_trace
from vlmgym.evals import stats
from vlmgym.evals.comparison import compare
from vlmgym.evals.metrics import METRICS, PAIRED
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random
from vlmgym.players.teacher import Teacher


def test_compare_agrees_with_the_traces_and_with_scipy(tmp_path):
    folders = [
        run(p, tmp_path / p.name, Evaluation(episodes=25, turns=4))
        for p in (Oracle(), Random(), Teacher(0.3))
    ]
    found = compare(folders)
    assert [one.players for one in found] == [
        ("oracle", "random"),
        ("oracle", "teacher"),
        ("random", "teacher"),
    ]
    assert {one.task for one in found} == {"2048, level easy, look tiny, turns=4"}

    def means(folder):
        turns = load_trace(folder / "trace.jsonl").turns
        return np.array(
            [np.mean([t.terms["game"] > 0 for t in turns if t.episode == e]) for e in range(25)]
        )

    for one, (a, b) in zip(found, itertools.combinations(folders, 2), strict=True):
        gap = means(a) - means(b)
        assert one.mean == pytest.approx(gap.mean())
        assert one.low < one.mean < one.high
        exact = scipy_stats.permutation_test(
            (gap,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1
        )
        assert one.p == pytest.approx(exact.pvalue, abs=0.02)
        assert (one.n, one.left_out) == (25, 0)
    assert [one.p_holm for one in found] == stats.holm([one.p for one in found]).tolist()
    assert found[0].p_holm < 0.05
    assert all(one.p_holm >= one.p for one in found)
    back = compare(folders[::-1])
    assert back[-1].mean == pytest.approx(-found[0].mean)


def test_failed_and_missing_episodes_are_left_out_never_zero(tmp_path):
    a = written(tmp_path / "a", "a", [[1, 1], [1, 0], [0, 0], [1, 1], [1, 1]], failed=[2])
    b = written(
        tmp_path / "b",
        "b",
        [[0, 0], [0, 1], [1, 1], [0, 0], [1, 1], [0, 0]],
        seeds=[0, 1, 2, 3, 77, 5],
    )
    (one,) = compare([a, b])
    assert one.n == 3, "0, 1 and 3; 2 failed, 4 has two seeds, 5 is missing"
    assert one.mean == pytest.approx((1 + 0 + 1) / 3)
    assert one.left_out == 4, "2, both of 4, and 5"
    none = written(tmp_path / "none", "none", [[1]], failed=[0])
    pairs = {one.players: one for one in compare([a, none, b])}
    assert pairs["a", "none"].n == 0
    assert np.isnan(
        [pairs["a", "none"].mean, pairs["a", "none"].p, pairs["a", "none"].p_holm]
    ).all()
    assert pairs["a", "b"].p_holm == one.p, "a comparison of nothing is none to adjust for"


def test_repetitions_of_a_start_are_one_value(tmp_path):
    a = written(tmp_path / "a", "a", [[1], [0], [1], [1], [0, 1, 1, 1], [0]], repeats=2)
    b = written(tmp_path / "b", "b", [[0], [0], [1], [0], [1], [1]], repeats=2, failed=[5])
    (one,) = compare([a, b])
    assert (one.n, one.left_out) == (3, 1)
    assert one.mean == pytest.approx((0.5 + 0.5 + (0.75 - 1)) / 3)
    (score,) = compare([a, b], "score")
    assert score.mean == pytest.approx((2 + 2 + (12 - 4)) / 3)
    assert score.metric == "score"


def test_only_what_was_asked_alike_is_compared(tmp_path):
    how = Evaluation(episodes=4, turns=2)
    base = run(Oracle(), tmp_path / "base", how)
    others = [
        run(Random(), tmp_path / "game", how, game="Swap"),
        run(Random(), tmp_path / "level", how, level="normal"),
        run(Random(), tmp_path / "look", how, look="tiny:noise=0.1"),
        run(Random(), tmp_path / "prompt", how, prompt="brief"),
        run(Random(), tmp_path / "turns", how.override(turns=3)),
        run(Random(), tmp_path / "mode", how.override(mode="lenient")),
        run(Random(), tmp_path / "walk", how.override(start="walk"), walk_max=3),
    ]
    assert compare([base, *others]) == []
    more = run(Random(), tmp_path / "more", how.override(episodes=6, oracle=False))
    (one,) = compare([base, *others, more])
    assert (one.players, one.n, one.left_out) == (("oracle", "random"), 4, 2)
    (regret,) = compare([base, more], "regret")
    assert (regret.n, regret.left_out) == (0, 6), (
        "without an oracle there is no regret, and none is not zero"
    )
    again = run(Oracle(), tmp_path / "again", how)
    (twice,) = compare([base, again, base])
    assert twice.players == ("oracle (base)", "oracle (again)")
    assert (twice.mean, twice.p) == (0, 1)
    (back,) = compare([again, base])
    assert back.players == twice.players[::-1], "who is who does not depend on the order"


@pytest.mark.parametrize("metric", PAIRED)
def test_every_metric_of_equal_players_differs_by_nothing(tmp_path, metric):
    folders = [
        run(named(Oracle(), name), tmp_path / name, Evaluation(episodes=3, turns=2))
        for name in "ab"
    ]
    (one,) = compare(folders, metric)
    assert (one.mean, one.p, one.n) == (0, 1, 3)
    bounds = METRICS[metric].gap_bounds
    if bounds is None:
        assert np.isnan([one.low, one.high]).all(), (
            "three equal scores tell nothing of how much they could differ"
        )
    else:
        unseen = 1 - 0.05 ** (1 / 3)
        assert (one.low, one.high) == pytest.approx((unseen * bounds[0], unseen * bounds[1]))


def test_what_cannot_be_compared_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"metric = 'luck'.*success"):
        compare([], "luck")
    assert compare([]) == []
    with TraceWriter(tmp_path / "trace.jsonl") as writer:
        writer.write(EvaluationRun("x", "2048", "easy", "tiny"))
    with pytest.raises(ConfigError, match="vlmgym eval"):
        compare([tmp_path])
