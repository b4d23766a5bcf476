"""Statistics of studies: intervals over seeds and episodes, and what leads what."""

import numpy as np
import pytest

from vlmgym import stats


def test_crossed_resamples_seeds_and_episodes():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (3, 200))
    alone = stats.crossed(noise[:1])
    plain = stats.mean(noise[0])
    assert (alone.mean, alone.low, alone.high) == pytest.approx((plain.mean, plain.low, plain.high), abs=1e-9)
    apart = noise + np.array([[-1.0], [0.0], [1.0]])  # what training makes of it differs
    found = stats.crossed(apart)
    assert found.mean == pytest.approx(apart.mean())
    assert found.high - found.low > 3 * (stats.crossed(noise).high - stats.crossed(noise).low), "the luck of training is in it"
    assert found.n == 200


@pytest.mark.parametrize("luck", [0.0, 0.03, 0.08, 0.3])
def test_crossed_covers_the_truth_with_three_seeds(luck):
    rng, hits = np.random.default_rng(1), 0
    for k in range(400):
        table = rng.normal(0, luck, (3, 1)) + rng.normal(0, 0.3, (1, 100)) + rng.normal(0, 0.35, (3, 100))
        one = stats.crossed(table, seed=k)
        hits += one.low <= 0 <= one.high
    assert 0.88 <= hits / 400 <= 0.995


def test_crossed_of_shares_stays_within_0_and_1():
    table = np.ones((3, 50))
    assert (stats.crossed(table).low, stats.crossed(table).high) == (1, 1)
    table[0, 0] = 0
    assert 0.9 < stats.crossed(table).low < stats.crossed(table).mean < stats.crossed(table).high <= 1


def test_crossed_ratio_and_gaps():
    hits, asked = np.array([[1.0, 0, np.nan, 1]]), np.array([[2.0, 0, 5, 2]])
    assert stats.crossed(hits, asked).mean == 0.5
    assert np.isnan(stats.crossed(np.zeros((1, 3)), np.zeros((1, 3))).mean)
    with pytest.raises(ValueError, match=r"shapes \(3,\)"):
        stats.crossed(np.zeros(3))


def test_lead_lag_finds_what_leads():
    rng = np.random.default_rng(2)
    first, second = [], []
    for _ in range(6):
        steps = rng.normal(0, 1, 14)
        first.append(np.cumsum(steps))
        second.append(np.cumsum(np.concatenate([rng.normal(0, 0.3, 1), steps[:-1]]) + rng.normal(0, 0.3, 14)))
    found = stats.lead_lag(first, second)
    assert max(found, key=lambda lag: found[lag][0]) == 1
    assert found[1][1] < 0.01
    assert found[-2][1] > 0.01
    backwards = stats.lead_lag(second, first)
    assert backwards[-1][0] == pytest.approx(found[1][0])
    assert all(np.isnan(value) for pair in stats.lead_lag([np.ones(9)], [np.arange(9)]).values() for value in pair)
