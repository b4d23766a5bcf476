"""Estimators of the advantages of blocks against tables whose truth is known."""

import numpy as np
import pytest

from parts.local_players import local_player
from parts.tasks import SWAP
from vlmgym.core import ConfigError
from vlmgym.models.loading import load
from vlmgym.players.base import CUT, Query
from vlmgym.studies.blocks import RewardTables, _Errors, qualities, quality, variances
from vlmgym.studies.branches import Size, play_tables

END = "</perception>"


@pytest.fixture(scope="module")
def tables():
    """Descriptions differ in how often what follows them succeeds."""
    rng = np.random.default_rng(0)
    chances = rng.random((6, 8, 1))
    rewards = np.where(rng.random((6, 8, 8)) < chances, 1.0, -1.0)
    return RewardTables(rewards, rewards)


def test_the_true_advantages_are_those_of_two_stages(tables):
    assert np.abs(tables.of_descriptions.mean(axis=1)).max() < 1e-9
    assert np.abs(tables.of_continuations.mean(axis=2)).max() < 1e-9


def test_nested_has_no_bias_and_flat_has(tables):
    for_descriptions, for_continuations = quality(tables, "nested", 4, 4, 4000, 0)
    assert for_descriptions.bias < 0.03
    assert for_continuations.bias < 0.05
    flat_descriptions, flat_continuations = quality(tables, "flat", 4, 4, 4000, 0)
    size = float(np.sqrt((tables.of_descriptions**2).mean()))
    assert flat_descriptions.bias == pytest.approx(size / 4, rel=0.2)
    # the advantage of the description, as far as other descriptions are in the mean
    assert flat_continuations.bias == pytest.approx(0.75 * size, rel=0.1)
    assert for_continuations.cosine > flat_continuations.cosine


def test_the_cosine_is_that_of_the_gradient_over_all_blocks(tables):
    """It was that over the blocks drawn, so that four quiet estimates beat sixteen noisy ones."""
    rng = np.random.default_rng(1)
    truth = tables.of_descriptions
    chosen = rng.integers(8, size=(6, 3))
    estimates = rng.normal(size=(6, 3))
    gradient = np.zeros_like(truth)
    for state in range(6):
        for block, estimate in zip(chosen[state], estimates[state], strict=True):
            gradient[state] += estimate * (np.eye(8)[block] - 1 / 8)
    expected = (gradient * truth).sum() / np.linalg.norm(gradient) / np.linalg.norm(truth)
    errors = _Errors(truth)
    errors.add(1, chosen + 8 * np.arange(6)[:, None], estimates)
    assert errors.cosines == [pytest.approx(expected)]
    many, _ = quality(tables, "flat", 16, 1, 2000, 0)
    few, _ = quality(tables, "flat", 4, 4, 2000, 0)
    assert many.cosine > few.cosine, (
        "at as many answers, more descriptions say more of descriptions"
    )


def test_replay_gives_descriptions_that_are_right_no_credit(tables):
    for_descriptions, for_continuations = quality(tables, "replay", 4, 4, 500, 0)
    assert for_descriptions.deviation == 0
    assert for_continuations.bias < 0.1


def test_what_chance_gives_descriptions_is_not_counted_as_their_variance():
    rng = np.random.default_rng(0)
    equal = np.where(rng.random((300, 16, 16)) < 0.5, 1.0, -1.0)
    found = variances(RewardTables(equal, equal))
    assert found.descriptions == pytest.approx(0, abs=0.004)
    assert found.reliability < 0.07
    assert found.continuations == pytest.approx(1, abs=0.02)
    # worth -0.6 or 0.6, at random: a variance of 0.36, and 1 - 0.36 after each
    chances = np.where(rng.random((300, 16, 1)) < 0.5, 0.2, 0.8)
    unequal = np.where(rng.random((300, 16, 16)) < chances, 1.0, -1.0)
    found = variances(RewardTables(unequal, unequal))
    assert found.descriptions == pytest.approx(0.36, abs=0.02)
    assert found.continuations == pytest.approx(0.64, abs=0.02)
    assert found.reliability == pytest.approx(0.9, abs=0.02)
    assert (found.states, found.varied) == (300, 300)
    same = np.ones((2, 4, 4))
    assert variances(RewardTables(same, same)).varied == 0


def test_all_estimators_stand_in_one_list(tables):
    rows = qualities(tables, draws=20)
    named = [(row.credit, row.descriptions, row.continuations) for row in rows]
    assert named == [
        ("flat", 16, 1),
        ("replay", 16, 1),
        ("flat", 4, 4),
        ("nested", 4, 4),
        ("replay", 4, 4),
    ]
    with pytest.raises(ConfigError, match="credit = 'visual'"):
        quality(tables, "visual", 4, 4, 1, 0)


@pytest.mark.parametrize("path", ["open", "closed"])
def test_branches_share_their_descriptions_and_differ_after_them(path):
    options = {"temperature": 1.0, "max_new_tokens": 60, "path": path}
    player = local_player(*load("tiny"), **options)
    query = Query(
        SWAP.game,
        SWAP.states("test", 1).repeat(4),
        SWAP.look,
        SWAP.prompt,
        repeats=range(4),
    )
    branches = player.branches(query, 6)
    assert [len(answers) for answers in branches] == [6, 6, 6, 6]
    (whole,) = player.answer([query])
    for answers, alone in zip(branches, whole, strict=True):
        # the luck of a description is that of a whole reply with its repeat
        (description,) = {answer.text.partition(END)[0] for answer in answers}
        assert description == alone.text.partition(END)[0]
        assert max(answer.output_tokens for answer in answers) <= 60
    texts = {answer.text for answers in branches for answer in answers}
    assert len(texts) > 12
    again = local_player(*load("tiny"), batch=5, **options).branches(query, 6)
    assert [[answer.text for answer in answers] for answers in again] == [
        [answer.text for answer in answers] for answers in branches
    ]


def test_a_description_without_an_end_is_an_answer_by_itself():
    player = local_player(*load("tiny"), temperature=1.0, max_new_tokens=5)
    query = Query(SWAP.game, SWAP.states("test", 2), SWAP.look, SWAP.prompt, repeats=range(2))
    branches = player.branches(query, 3)
    assert [len({answer.text for answer in answers}) for answers in branches] == [1, 1]
    assert all(answer.finish == CUT for answers in branches for answer in answers)


def test_tables_go_on_where_they_were_stopped(tmp_path):
    player = local_player(*load("tiny"), temperature=1.0, max_new_tokens=60)
    size = Size(states=2, descriptions=3, continuations=2)
    whole = play_tables(player, SWAP, size, tmp_path / "whole.jsonl")
    assert whole.rewards.shape == (2, 3, 2)
    assert set(np.unique(whole.rewards)) <= {-1.0, 1.0}
    lines = (tmp_path / "whole.jsonl").read_text().splitlines()
    cut = tmp_path / "cut.jsonl"
    cut.write_text("\n".join(lines[:2]) + "\n" + lines[2][:20])
    again = play_tables(player, SWAP, size, cut)
    assert np.array_equal(again.rewards, whole.rewards)
    assert np.array_equal(again.described, whole.described)
    assert cut.read_text() == (tmp_path / "whole.jsonl").read_text()
    with pytest.raises(ConfigError, match=r"size.*"):
        play_tables(player, SWAP, Size(states=2, descriptions=4, continuations=2), cut)
