"""Statistics of studies: intervals over seeds and episodes, and tests, on simulated data with known
answers.
"""

import itertools
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from vlmgym.evals import crossed_effects, estimates, stats


def test_crossed_resamples_seeds_and_episodes():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (3, 200))
    alone = crossed_effects.crossed(noise[:1])
    plain = stats.mean(noise[0])
    assert (alone.mean, alone.low, alone.high) == pytest.approx(
        (plain.mean, plain.low, plain.high), abs=1e-9
    )
    apart = noise + np.array([[-1.0], [0.0], [1.0]])  # what training makes of it differs
    found = crossed_effects.crossed(apart)
    assert found.mean == pytest.approx(apart.mean())
    assert found.high - found.low > 3 * (
        crossed_effects.crossed(noise).high - crossed_effects.crossed(noise).low
    ), "the luck of training is in it"
    assert found.n == 200


@pytest.mark.parametrize("luck", [0.0, 0.03, 0.08, 0.3])
def test_crossed_covers_the_truth_with_three_seeds(luck):
    rng, hits = np.random.default_rng(1), 0
    for k in range(400):
        table = (
            rng.normal(0, luck, (3, 1))
            + rng.normal(0, 0.3, (1, 100))
            + rng.normal(0, 0.35, (3, 100))
        )
        one = crossed_effects.crossed(table, seed=k)
        hits += one.low <= 0 <= one.high
    assert 0.92 <= hits / 400 <= 0.99


@pytest.mark.parametrize(
    ("share", "luck"), [(0.5, 0.0), (0.9, 0.0), (0.97, 0.0), (0.8, 0.05), (0.8, 0.15)]
)
def test_crossed_of_shares_covers_the_truth(share, luck):
    rng, hits, rounds = np.random.default_rng(3), 0, 400
    for _ in range(rounds):
        hard = rng.normal(0, 0.5, (1, 100))  # what seeds have in common on an episode
        chance = np.clip(share + rng.normal(0, luck, (3, 1)), 0, 1)
        table = (rng.normal(0, 0.8, (3, 100)) + hard) / 0.943 < np.vectorize(_quantile)(chance)
        one = crossed_effects.crossed(table.astype(float), bounds=stats.SHARE)
        hits += one.low <= share <= one.high
    assert 0.91 <= hits / rounds <= 0.999


def _quantile(share):
    return NormalDist().inv_cdf(min(max(share, 1e-9), 1 - 1e-9))


def test_intervals_are_cut_to_what_is_possible_and_never_to_what_was_seen():
    table = np.ones((3, 50))
    table[0, 0] = 0
    one = crossed_effects.crossed(table, bounds=stats.SHARE)
    assert 0.9 < one.low < one.mean < one.high == 1
    gains = np.zeros((3, 150))
    gains[0, :5] = 1  # five gains in one of three seeds, and no loss
    one = crossed_effects.crossed(gains, bounds=stats.GAP)
    assert one.low < 0 < one.high
    assert (one.low, one.high) == pytest.approx((-0.037, 0.059), abs=0.002)


@pytest.mark.parametrize("n", [20, 59, 100])
def test_equal_values_leave_an_interval_by_the_rule_of_three(n):
    unseen = 1 - 0.05 ** (1 / n)
    for found in (
        stats.mean(np.ones(n), bounds=stats.SHARE),
        crossed_effects.crossed(np.ones((3, n)), bounds=stats.SHARE),
    ):
        assert (found.low, found.high) == (pytest.approx(1 - unseen), 1)
    gap = stats.paired(np.ones(n), np.ones(n), bounds=stats.GAP)
    assert (gap.low, gap.high, gap.p) == (pytest.approx(-unseen), pytest.approx(unseen), 1)
    assert np.isnan(stats.mean(np.full(n, 6.0)).low), (
        "nothing can be said of a value whose range is not known"
    )


def p_of(table, null=0.0, side=0):
    """The p-value of a mean difference of shares, as verdicts have it."""
    table = np.asarray(table, float)
    effect = crossed_effects.effect_of([(table, np.ones_like(table))], floor=1.0)
    p = effect.p(null, side)
    return max(p, crossed_effects.score_test(table.mean(axis=0), null, side)) if null else p


def test_tests_of_no_difference_reject_as_often_as_they_say():
    rng, rounds = np.random.default_rng(4), 600
    for luck in (0.0, 0.1):
        p = [
            p_of(
                rng.normal(0, luck, (3, 1))
                + rng.normal(0, 0.3, (1, 60))
                + rng.normal(0, 0.4, (3, 60))
            )
            for _ in range(rounds)
        ]
        assert np.mean(np.array(p) < 0.05) < 0.08
    sure = [p_of(0.3 + rng.normal(0, 0.4, (3, 60))) for _ in range(100)]
    assert np.mean(np.array(sure) < 0.05) > 0.95
    assert p_of(np.zeros((3, 60))) == pytest.approx(1)


@pytest.mark.parametrize(("seeds", "n"), [(1, 20), (1, 60), (1, 150), (3, 60)])
def test_equality_is_not_found_where_the_difference_is_as_large_as_the_margin(seeds, n):
    rng, rounds, margin = np.random.default_rng(5), 400, 0.05
    for lost, gained in ((0.05, 0.0), (0.15, 0.1)):
        found = 0
        for _ in range(rounds):
            draw = rng.random((seeds, n))
            table = (draw > 1 - gained).astype(float) - (draw < lost)
            found += (
                max(
                    p_of(table, -margin, 1),
                    p_of(table, margin, -1),
                )
                < 0.05
            )
        assert found / rounds <= 0.08
    assert max(p_of(np.zeros((1, 20)), -margin, 1), 0) > 0.05, (
        "20 equal states are no evidence of equality"
    )


@pytest.mark.parametrize("margin", [0.05, -0.05])
@pytest.mark.parametrize(("seeds", "n"), [(1, 35), (1, 45), (1, 100), (3, 60), (3, 150)])
def test_few_values_other_than_0_are_not_taken_for_little_variance(seeds, n, margin):
    """All seeds differ in the same episodes, in one direction only: the difference is as large as
    the margin.
    """
    rng, rounds, found = np.random.default_rng(7), 500, 0
    for _ in range(rounds):
        table = np.repeat((rng.random((1, n)) < abs(margin)) * np.sign(margin), seeds, axis=0)
        found += p_of(table, margin, -1 if margin > 0 else 1) < 0.05
    assert found / rounds <= 0.08


@pytest.mark.parametrize("seeds", [1, 3])
def test_equality_is_found_where_there_is_much_of_it(seeds):
    rng, found = np.random.default_rng(8), 0
    for _ in range(100):
        draw = rng.random((seeds, 300))
        table = (draw > 0.98).astype(float) - (draw < 0.02)
        found += (
            max(
                p_of(table, -0.05, 1),
                p_of(table, 0.05, -1),
            )
            < 0.05
        )
    assert found > 95


def test_crossed_ratio_and_gaps():
    hits, asked = np.array([[1.0, 0, np.nan, 1]]), np.array([[2.0, 0, 5, 2]])
    assert crossed_effects.crossed(hits, asked).mean == 0.5
    assert np.isnan(crossed_effects.crossed(np.zeros((1, 3)), np.zeros((1, 3))).mean)
    with pytest.raises(ValueError, match=r"shapes \(3,\)"):
        crossed_effects.crossed(np.zeros(3))


def test_an_estimate_is_written_in_one_way_and_what_is_missing_is_said():
    nan = float("nan")
    for kind in (
        lambda *ends: estimates.Estimate(*ends, 5),
        lambda *ends: estimates.Difference(*ends, 0.5, 5),
    ):
        assert str(kind(0.12345, 0.1, 0.2)) == "0.123 [0.1, 0.2]"
        assert str(kind(0.5, nan, nan)) == "0.5", "one value has no interval"
        assert str(kind(nan, nan, nan)) == "-"
        assert kind(1234.5, 99.94, 2e6).text(estimates.readable) == "1,234 [99.940, 2,000,000]"
        assert kind(0.05, -0.01, 0.11).text(estimates.decimals(1, signed=True, factor=100)) == (
            "+5.0 [-1.0, +11.0]"
        )
        assert (
            kind(0.05, -0.011, 0.11).ends_text(estimates.typeset(percent=True, signed=True))
            == "−1.1 to +11.0"
        )
        assert kind(0.5, nan, nan).ends_text() == "no interval"
        assert kind(0.5, nan, nan).mean_text(estimates.decimals(2)) == "0.50"
    assert estimates.typeset(percent=True, signed=True)(-0.00001) == "0.0", "nothing has no sign"
    assert estimates.typeset()(nan) == "–"


def test_an_estimate_comes_back_from_json():
    for one in (
        estimates.Estimate(0.5, 0.25, 0.75, 8),
        estimates.Estimate(0.5, float("nan"), float("nan"), 1),
    ):
        assert str(estimates.Estimate.from_dict(one.to_dict())) == str(one)
        assert estimates.Estimate.from_dict(one.to_dict()).n == one.n
    empty = estimates.Estimate.from_dict({})
    assert (str(empty), empty.n) == ("-", 0)


def test_holm_by_hand():
    """Sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1, never less than the one before."""
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.9, 0.6]).tolist() == [1, 1]
    assert stats.holm([0.2]).tolist() == [0.2]
    assert stats.holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.2))
def test_holm_rejects_what_the_step_down_procedure_rejects(p, alpha):
    rejected = set()
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (len(p) - step) > alpha:
            break
        rejected.add(int(i))
    assert set(np.flatnonzero(stats.holm(p) <= alpha).tolist()) == rejected


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_draws_with_a_hit(n):
    for hits, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = [
            any(draw) for draw in itertools.combinations([True] * hits + [False] * (n - hits), k)
        ]
        assert stats.pass_at_k(n, hits, k) == pytest.approx(np.mean(draws))
    for wrong in ((n, n + 1, 1), (n, 0, 0), (n, 0, n + 1), (n, -1, 1)):
        with pytest.raises(ValueError, match="pass_at_k"):
            stats.pass_at_k(*wrong)


def test_icc_of_the_textbook_and_from_the_analysis_of_variance():
    table = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert round(stats.icc(table), 2) == 0.17, "Shrout and Fleiss 1979, table 4"
    rng = np.random.default_rng(3)
    for shape in ((2, 2), (9, 3), (30, 5)):
        values = rng.normal(size=shape) + rng.normal(size=(shape[0], 1))
        f = scipy_stats.f_oneway(*values).statistic
        assert stats.icc(values) == pytest.approx((f - 1) / (f + shape[1] - 1))
    assert stats.icc([[1, 1], [2, 2]]) == 1
    assert np.isnan(stats.icc([[3, 3], [3, 3]]))
    with pytest.raises(ValueError, match="2 rows"):
        stats.icc([[1, 2]])


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=8))
def test_paired_p_is_that_of_all_sign_flips(gaps):
    sums = [
        abs(sum(s * g for s, g in zip(signs, gaps, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(gaps))
    ]
    exact = np.mean([value >= abs(sum(gaps)) for value in sums])
    found = stats.paired(gaps, np.zeros(len(gaps)))
    assert found.p == pytest.approx(exact, abs=0.04)
    assert found.mean == pytest.approx(np.mean(gaps))
    assert found.low <= found.mean <= found.high or (len(set(gaps)) == 1 and np.isnan(found.low))


def test_bands_of_learning_curves_pass_over_what_is_missing():
    curves = np.array([[0.0, 1.0, np.nan], [1.0, 1.0, 4.0], [2.0, 1.0, np.nan]])
    mean, low, high = stats.band(curves)
    assert mean.tolist() == [1.0, 1.0, 4.0]
    assert (low[0], high[0]) == (0.0, 2.0)
    assert np.isnan([low[1], high[1]]).all(), "equal values without a range have no interval"
    assert np.isnan([low[2], high[2]]).all(), "one curve has no band"
