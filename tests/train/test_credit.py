"""What each way to give credit promises, on tables and on a model whose advantages are known."""

import numpy as np
import pytest

from vlmgym.train.credit import (
    APART,
    ESTIMATORS,
    BranchRewards,
    decoupled,
    flat,
    nested,
    replay,
    visual_weights,
)

ANSWERS = np.array([[[1.0, -1.0], [-1.0, -1.0]]])
NOTHING = np.zeros((1, 2))


# ---- a policy of two stages: a description out of three, then a continuation out of four
POLICY = np.array([0.5, 0.3, 0.2])
THINK = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
CHANCES = np.array([[0.9, 0.8, 0.1, 0.6], [0.3, 0.1, 0.2, 0.2], [0.0, 0.9, 0.4, 0.1]])
Q = 2 * CHANCES - 1
V_DESCRIPTION = (THINK * Q).sum(axis=1)
V = float(POLICY @ V_DESCRIPTION)


def drawn(count, descriptions, continuations, seed=0):
    """Choices and rewards of so many states under the policy."""
    rng = np.random.default_rng(seed)
    said = rng.choice(3, (count, descriptions), p=POLICY)
    u = rng.random((count, descriptions, continuations))
    thought = (u[..., None] > THINK.cumsum(axis=1)[said][:, :, None, :]).sum(axis=-1)
    success = rng.random(u.shape) < CHANCES[said[:, :, None], thought]
    rewards = BranchRewards(np.where(success, 1.0, -1.0), np.zeros(said.shape))
    return said, thought, rewards


def test_nested_is_without_bias_for_both_blocks():
    said, thought, rewards = drawn(60_000, 4, 3)
    advantages = nested(rewards)
    for i in range(3):
        mean = advantages.descriptions[said == i].mean()
        assert mean == pytest.approx(V_DESCRIPTION[i] - V, abs=0.015)
        for j in range(4):
            chosen = (said[:, :, None] == i) & (thought == j)
            mean = advantages.continuations[chosen].mean()
            assert mean == pytest.approx(Q[i, j] - V_DESCRIPTION[i], abs=0.03)


def test_flat_shrinks_a_description_and_adds_it_to_the_think_block():
    said, thought, rewards = drawn(60_000, 4, 3)
    advantages = flat(rewards)
    for i in range(3):
        true = V_DESCRIPTION[i] - V
        assert advantages.descriptions[said == i].mean() == pytest.approx(0.75 * true, abs=0.015)
    chosen = (said[:, :, None] == 0) & (thought == 0)
    true = Q[0, 0] - V_DESCRIPTION[0]
    assert advantages.continuations[chosen].mean() > true + 0.2


def gradients(said, thought, advantages, description_weight):
    """The estimated gradient by the logits of both stages, mean over states."""
    of_description = np.eye(3)[said] - POLICY
    first = description_weight * (advantages.descriptions[..., None] * of_description)
    of_think = np.eye(4)[thought] - THINK[said][:, :, None, :]
    second = np.zeros((3, 4))
    for i in range(3):
        of_row = advantages.continuations[..., None] * of_think
        second[i] = of_row[said == i].sum(axis=(0, 1)) / len(said)
    return first.sum(axis=1).mean(axis=0), second


@pytest.mark.parametrize(("estimator", "own"), [(nested, 0), (flat, 1)])
def test_the_gradient_is_that_of_the_expected_reward(estimator, own):
    """A description stands for its continuations, so it weighs as much as they do together; GRPO's
    is smaller by the share of an element in its own mean.
    """
    descriptions, continuations = 4, 3
    answers = descriptions * continuations
    said, thought, rewards = drawn(120_000, descriptions, continuations, seed=1)
    first, second = gradients(said, thought, estimator(rewards), continuations)
    true_first = answers * POLICY * (V_DESCRIPTION - V)
    true_second = answers * POLICY[:, None] * THINK * (Q - V_DESCRIPTION[:, None])
    assert first == pytest.approx(true_first * (1 - own / descriptions), abs=0.08)
    assert second == pytest.approx(true_second * (1 - own / answers), abs=0.05)


def test_nested_says_the_same_of_the_think_block_with_less_noise():
    """Where descriptions differ by more than continuations do."""
    rng = np.random.default_rng(0)
    of_description = rng.choice([-1.0, 1.0], (4000, 4, 1))
    answers = of_description + rng.choice([-0.1, 0.1], (4000, 4, 4))
    rewards = BranchRewards(answers, np.zeros((4000, 4)))
    true = answers - of_description
    error = {
        name: np.square(ESTIMATORS[name](rewards).continuations - true).mean()
        for name in ("flat", "nested")
    }
    assert error["nested"] < 0.05 * error["flat"]


# ---- tables
def test_flat_without_branches_is_grpo():
    totals = np.array([1.0, -1.0, 0.5, 2.0])
    advantages = flat(BranchRewards(totals.reshape(1, 4, 1), np.zeros((1, 4)))).scaled()
    expected = (totals - totals.mean()) / (totals.std(ddof=1) + 1e-4)
    assert advantages.continuations.ravel() == pytest.approx(expected)
    assert advantages.descriptions.ravel() == pytest.approx(expected)


def test_a_table_of_nested():
    advantages = nested(BranchRewards(ANSWERS, NOTHING))
    assert advantages.descriptions.tolist() == [[1.0, -1.0]]
    assert advantages.continuations.tolist() == [[[2.0, -2.0], [0.0, 0.0]]]
    assert advantages.spread == pytest.approx([1.0])


def test_replay_blames_the_description_for_moves_that_work_on_it_alone():
    """The first description is right; moves of the second would have worked on it."""
    described = np.array([[[1.0, -1.0], [1.0, -1.0]]])
    advantages = replay(BranchRewards(ANSWERS, NOTHING, described=described))
    assert advantages.descriptions.tolist() == [[1.0, -1.0]]
    assert advantages.continuations.tolist() == [[[2.0, -2.0], [2.0, -2.0]]]


def test_replay_tells_answers_apart_that_all_failed():
    answers = np.full((1, 2, 1), -1.0)
    described = np.array([[[1.0], [-1.0]]])
    advantages = replay(BranchRewards(answers, NOTHING, described=described)).scaled()
    assert advantages.continuations[0, 0, 0] > 0 > advantages.descriptions[0, 0]
    assert np.abs(advantages.continuations).max() < 3


def test_decoupled_rewards_a_description_by_what_others_make_of_it():
    blind = np.array([[[-1.0, -1.0], [1.0, 1.0]]])
    advantages = decoupled(BranchRewards(ANSWERS, NOTHING, blind=blind))
    assert advantages.descriptions.tolist() == [[-2.0, 2.0]]
    assert advantages.continuations == pytest.approx(np.array([[[2, -2 / 3], [-2 / 3, -2 / 3]]]))


@pytest.mark.parametrize("name", APART)
def test_terms_of_a_description_are_credited_to_it_alone(name):
    answers = np.ones((1, 2, 2))
    rewards = BranchRewards(answers, np.array([[0.5, 0.0]]), described=answers, blind=answers)
    advantages = ESTIMATORS[name](rewards)
    assert advantages.descriptions.tolist() == [[0.5, -0.5]]
    assert not advantages.continuations.any()
    assert flat(rewards).continuations.any()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_nothing_that_differs_is_no_advantage_and_no_spread(name):
    answers = np.full((1, 3, 2), 2.1)
    rewards = BranchRewards(answers, np.zeros((1, 3)), described=answers, blind=answers)
    advantages = ESTIMATORS[name](rewards).scaled()
    assert not advantages.spread.any()
    assert not advantages.descriptions.any()
    assert not advantages.continuations.any()


@pytest.mark.parametrize("name", ["replay", "decoupled"])
def test_a_description_that_never_ended_is_credited_as_the_answer_that_it_is(name):
    answers = np.array([[[1.0, 1.0], [-1.0, -1.0]]])
    others = np.array([[[1.0, 1.0], [-1.0, -1.0]]])
    whole = np.array([[False, True]])
    rewards = BranchRewards(answers, NOTHING, described=others, blind=others, whole=whole)
    advantages = ESTIMATORS[name](rewards)
    assert advantages.descriptions[0, 1] == -2
    assert not advantages.continuations[0, 1].any()


def test_visual_weights_have_the_mean_1_over_an_answer():
    dependence = np.array([[3.0, 1.0, 9.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    mask = np.array([[1, 1, 0], [1, 1, 0], [1, 1, 1]])
    weights = visual_weights(dependence, mask, np.array([0, 0, 7]))
    assert weights[0, :2].tolist() == [3.0, 1.0], "a mean of 1 over the four tokens of the answer"
    assert weights[1, :2].tolist() == [0.0, 0.0]
    assert weights[2].tolist() == [1.0, 1.0, 1.0], "nothing depends on the picture"
