"""What credit of single turns promises: on tables, and on a small game whose gradient is known."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from vlmgym.core import ConfigError
from vlmgym.train.settings import GrpoSettings
from vlmgym.train.turn_credit import (
    TURN_ESTIMATORS,
    TurnRewards,
    TurnSettings,
    episode,
    fork,
    gigpo,
    met_by_one,
    of_tokens,
    scaled,
    turn,
    value,
)

SETTINGS = TurnSettings()

# ---- a game of up to three turns in which the policy decides when it ends
GO, STOP = 0, 1
MOST = 3
CHANCE = (0.3, 0.7)  # of luck 0 and 1, drawn before each turn: the state is (turn, luck)
LOGITS = np.array([[[0.4, -0.2], [0.1, 0.3]], [[-0.5, 0.2], [0.6, 0.0]], [[0.0, 0.7], [0.2, 0.1]]])
POLICY = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=2, keepdims=True)  # [turn, luck, action]
REWARD = np.array([[[0.5, 1.0], [-0.3, 2.0]], [[0.8, -1.0], [0.2, 0.4]], [[1.5, 0.0], [-1.0, 3.0]]])


def trajectories():
    """All that can happen: probability, [(luck, action, reward) of each turn]."""
    found = []

    def go_on(number, chance, turns):
        for luck, action in itertools.product((0, 1), (GO, STOP)):
            more = chance * CHANCE[luck] * POLICY[number, luck, action]
            now = [*turns, (luck, action, REWARD[number, luck, action])]
            if action == STOP or number == MOST - 1:
                found.append((more, now))
            else:
                go_on(number + 1, more, now)

    go_on(0, 1.0, [])
    return found


ALL = trajectories()


def true_value(number, luck):
    """The expected return from a state on."""
    total = 0.0
    for action in (GO, STOP):
        later = 0.0
        if action == GO and number < MOST - 1:
            later = sum(CHANCE[other] * true_value(number + 1, other) for other in (0, 1))
        total += POLICY[number, luck, action] * (REWARD[number, luck, action] + later)
    return total


TRUE = np.array([[true_value(number, luck) for luck in (0, 1)] for number in range(MOST)])


def log_gradient(number, luck, action):
    """Of the logits, the gradient of the logarithm of what the policy did in a turn."""
    gradient = np.zeros_like(LOGITS)
    gradient[number, luck] = np.eye(2)[action] - POLICY[number, luck]
    return gradient


def true_gradient(only=None):
    """Of the expected sum of rewards; ``only``: of the terms of one turn."""
    total = np.zeros_like(LOGITS)
    for chance, turns in ALL:
        for number, (luck, action, _) in enumerate(turns):
            if only is None or number == only:
                rest = sum(reward for _, _, reward in turns[number:])
                total += chance * rest * log_gradient(number, luck, action)
    return total


def group_of(*episodes, values=None):
    rewards = np.zeros((len(episodes), MOST))
    played = np.zeros((len(episodes), MOST), bool)
    states = np.full((len(episodes), MOST), -1)
    expected = np.zeros((len(episodes), MOST + 1))
    for row, turns in enumerate(episodes):
        for number, (luck, _, reward) in enumerate(turns):
            rewards[row, number] = reward
            played[row, number] = True
            states[row, number] = 2 * number + luck
            if values is not None:
                expected[row, number] = values[number, luck]
    return TurnRewards(rewards, played, states, None if values is None else expected)


def expected_gradient(estimator, settings=SETTINGS, values=None, only=None):
    """The mean over all pairs of episodes of the gradient that an estimator gives, an episode."""
    total = np.zeros_like(LOGITS)
    for (chance, first), (other, second) in itertools.product(ALL, ALL):
        group = group_of(first, second, values=values)
        advantages = estimator(group, settings)
        for row, turns in enumerate((first, second)):
            for number, (luck, action, _) in enumerate(turns):
                if only is None or number == only:
                    weight = chance * other * advantages[row, number] / 2
                    total += weight * log_gradient(number, luck, action)
    return total


def test_probabilities_of_all_that_can_happen_add_up():
    assert sum(chance for chance, _ in ALL) == pytest.approx(1)
    assert np.abs(true_gradient()).max() > 0.05


def test_the_episodes_return_gives_the_gradient_smaller_by_its_own_share_of_the_mean():
    """GRPO's mean holds the episode itself: of two, a half."""
    assert expected_gradient(episode) == pytest.approx(true_gradient() / 2)


def test_returns_of_turns_have_no_bias_though_the_policy_decides_when_an_episode_ends():
    assert expected_gradient(turn) == pytest.approx(true_gradient())


def test_a_baseline_of_those_that_are_still_going_has_a_bias():
    """So that the test above can fail: what verl's RFC 7244 warns of."""

    def naive(group, settings):
        returns = group.returns(1.0)
        counts = group.played.sum(axis=0)
        means = np.where(group.played, returns, 0).sum(axis=0) / np.maximum(counts, 1)
        return np.where(group.played, returns - means, 0.0)

    assert np.abs(expected_gradient(naive) - true_gradient()).max() > 0.01
    half = expected_gradient(naive) - true_gradient() / 2
    assert np.abs(half).max() > 0.01


@pytest.mark.parametrize("wrong", [0, 1])
def test_values_of_states_leave_the_gradient_as_it_is_whatever_their_error(wrong):
    values = TRUE + wrong * np.array([[5.0, -3.0], [0.0, 9.0], [-7.0, 2.0]])
    assert expected_gradient(value, values=values) == pytest.approx(true_gradient())


def test_shorter_sums_have_a_bias_where_values_are_wrong_and_none_where_they_are_right():
    short = TurnSettings(gae_lambda=0.3)
    assert expected_gradient(value, short, TRUE) == pytest.approx(true_gradient())
    wrong = TRUE + np.array([[0.0, 0.0], [3.0, -2.0], [1.0, 4.0]])
    assert np.abs(expected_gradient(value, short, wrong) - true_gradient()).max() > 0.05


def test_true_values_have_less_variance_than_returns():
    def variance(estimator, **options):
        rng = np.random.default_rng(0)
        chances = np.array([chance for chance, _ in ALL])
        drawn = []
        for _ in range(2000):
            pair = [ALL[index][1] for index in rng.choice(len(ALL), 2, p=chances)]
            group = group_of(*pair, **options)
            advantages = estimator(group, SETTINGS)
            gradient = np.zeros_like(LOGITS)
            for row, turns in enumerate(pair):
                for number, (luck, action, _) in enumerate(turns):
                    gradient += advantages[row, number] * log_gradient(number, luck, action)
            drawn.append(gradient)
        return np.var(drawn, axis=0).sum()

    assert variance(value, values=TRUE) < variance(turn)


def test_continuations_from_before_and_after_a_turn_have_no_bias_at_the_turns_they_are_of():
    """As the mean of continuations, the true value with any error that does not look at the action;
    turns that are not forked have their returns.
    """

    def forked(group, settings):
        before = np.full((2, MOST, 2), np.nan)
        for row in range(2):
            for number in range(MOST):
                state = group.states[row, number]
                if state in (1, 2):  # states whose actions differ, say
                    luck = state - 2 * number
                    later = 0.0
                    if number + 1 < MOST and group.played[row, number + 1]:
                        later = sum(CHANCE[k] * TRUE[number + 1, k] for k in (0, 1))
                    before[row, number] = TRUE[number, luck] + 11.0, later
        return fork(replace(group, forked=before), settings)

    assert expected_gradient(forked) == pytest.approx(true_gradient())


def test_gigpo_adds_the_gradient_of_the_states_that_another_episode_meets():
    """In the first turn a state of luck 0 or 1 is met by the other episode with its chance."""

    def of_state(group, settings):
        return gigpo(group, settings) - episode(group, settings)

    found = expected_gradient(of_state, only=0)
    expected = true_gradient(only=0)[0] * np.array(CHANCE)[:, None]
    assert found[0] == pytest.approx(expected)


def test_an_episode_counts_once_in_the_baseline_of_a_state_however_often_it_was_there():
    rewards = np.array([[1.0, 1.0, 1.0, 1.0], [10.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    played = np.array([[True] * 4, [True, False, False, False], [True, False, False, False]])
    states = np.where(played, 7, -1)
    group = TurnRewards(rewards, played, states)
    of_state = gigpo(group, SETTINGS) - episode(group, SETTINGS)
    first = np.mean([4, 3, 2, 1])  # of the first episode, over its visits
    assert of_state[1, 0] == pytest.approx(10 - (first + 0) / 2)
    assert of_state[2, 0] == pytest.approx(0 - (first + 10) / 2)
    assert of_state[0] == pytest.approx(np.array([4, 3, 2, 1]) - (10 + 0) / 2)


def test_a_state_that_one_episode_alone_met_adds_nothing_and_is_counted():
    rewards = np.array([[1.0, 2.0], [0.0, 5.0]])
    group = TurnRewards(rewards, np.ones((2, 2), bool), np.array([[1, 2], [1, 3]]))
    of_state = gigpo(group, SETTINGS) - episode(group, SETTINGS)
    assert of_state == pytest.approx(np.array([[-2.0, 0.0], [2.0, 0.0]]))
    assert met_by_one(group) == pytest.approx(2 / 3)


def test_returns_are_discounted_and_end_with_the_episode():
    rewards = np.array([[1.0, 2.0, 4.0], [8.0, 0.0, 0.0]])
    played = np.array([[True, True, True], [True, False, False]])
    group = TurnRewards(rewards, played)
    assert group.returns(0.5) == pytest.approx(np.array([[3.0, 4.0, 4.0], [8.0, 0.0, 0.0]]))
    assert turn(group, TurnSettings(discount=0.5)) == pytest.approx(
        np.array([[-5.0, 4.0, 4.0], [5.0, 0.0, 0.0]])
    )


def test_advantages_of_a_group_are_divided_by_one_number():
    rewards = np.array([[1.0, 2.0, 4.0], [8.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    group = TurnRewards(rewards, np.ones((3, 3), bool))
    plain = turn(group, SETTINGS)
    ratio = plain / scaled(plain, group)
    assert ratio == pytest.approx(np.full((3, 3), np.std([7, 8, 1], ddof=1) + 1e-4))
    equal = TurnRewards(np.ones((3, 3)), np.ones((3, 3), bool))
    assert not scaled(turn(equal, SETTINGS), equal).any()


def test_tokens_have_the_advantage_of_their_turn():
    mask = np.array([[1, 1, 0, 0, 1, 0, 1, 1], [0, 1, 0, 0, 0, 0, 0, 0]], bool)
    advantages = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    expected = [[1, 1, 0, 0, 2, 0, 3, 3], [0, 4, 0, 0, 0, 0, 0, 0]]
    assert of_tokens(advantages, mask).tolist() == expected
    with pytest.raises(ValueError, match="turn 2"):
        of_tokens(advantages[:, :2], mask)


@pytest.mark.parametrize("credit", TURN_ESTIMATORS)
def test_every_credit_of_turns_needs_turns(credit):
    with pytest.raises(ConfigError, match=r"credit.*where turns = 1"):
        GrpoSettings(credit=credit)
    assert GrpoSettings(credit=credit, turns=3).credit == credit


def test_settings_of_returns_are_read_and_held_to_their_ranges():
    settings = GrpoSettings.parse({"turns": 2, "returns": {"gae_lambda": 0.5}})
    assert settings.returns == TurnSettings(gae_lambda=0.5)
    with pytest.raises(ConfigError, match=r"TurnSettings\.discount"):
        GrpoSettings.parse({"returns": {"discount": 2}})


def test_what_turns_add_up_to_is_what_the_episode_is_worth():
    from vlmgym.dialogue.weights import TERM_RANGES, Weights
    from vlmgym.train.multi_turn import episode_terms, turn_terms

    rng = np.random.default_rng(3)
    weights = Weights(game=1, format=0.5, cells=0.3)
    for solved in (False, True):
        turns = [
            SimpleNamespace(
                terms={term: float(rng.uniform(*bounds)) for term, bounds in TERM_RANGES.items()},
                gain=int(rng.integers(0, 9)),
            )
            for _ in range(4)
        ]
        turns[-1].terms["game"] = 1.0
        state = SimpleNamespace(terminated=[solved], score=[3 + sum(one.gain for one in turns)])
        one = SimpleNamespace(turns=turns, limit=6, state=state)
        for kind in ("turns", "score"):
            whole = weights.total(episode_terms(one, kind, weights))
            parts = [weights.total(terms) for terms in turn_terms(one, kind, weights)]
            assert sum(parts) == pytest.approx(whole)
        assert episode_terms(one, "score", weights)["game"] == state.score[0]
