"""Actions: what is one, what a text says, and that nothing else is played."""

import gymnasium as gym
import numpy as np
import pytest

from vlmgym.core import ActionError, ConfigError
from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.reply import Blocks, write_reply
from vlmgym.envs.single import GameEnv
from vlmgym.envs.vector import GameVectorEnv


def test_text_actions_play_like_ids_and_bad_text_is_a_lost_turn():
    text = GameEnv("2048", level="normal", look="tiny", action="text")
    plain = GameEnv("2048", level="normal", look="tiny")
    text.reset(seed=7)
    plain.reset(seed=7)
    for move in (0, 1, 2, 3):
        got = text.step(write_reply("x", "y", str(move)))
        expected = plain.step(move)
        assert np.array_equal(got[0], expected[0])
        assert got[1:4] == expected[1:4]
    before = got[0]
    obs, reward, *_, info = text.step("no idea")
    assert np.array_equal(obs, before)
    assert reward == -1
    assert not info["changed"]


WRONG = [
    1.7,
    1.0,
    "0",
    "",
    None,
    True,
    np.True_,
    [1],
    np.array([1]),
    np.array([0, 1]),
    np.float32(1),
    4,
    -2,
    2**70,
    1j,
    {},
    b"1",
]


@pytest.mark.parametrize("action", WRONG, ids=repr)
def test_an_action_that_is_none_is_refused_and_nothing_is_played(action):
    env = gym.make("vlmgym/2048-v0", level="easy", look="tiny")
    env.reset(seed=0)
    before = env.state
    with pytest.raises(
        ActionError,
        match=r"allowed (is one of the whole numbers 0 to 3|are 0 to " r"3, or -1 for no action)",
    ):
        env.step(action)
    assert env.state == before


@pytest.mark.parametrize("action", [2, np.int64(2), np.uint8(2), np.array(2)], ids=repr)
def test_whole_numbers_of_every_kind_are_actions(action):
    env = gym.make("vlmgym/2048-v0", level="easy", look="tiny")
    env.reset(seed=0)
    after = env.step(action)[0]
    plain = GameEnv("2048", "easy", "tiny")
    plain.reset(seed=0)
    assert np.array_equal(after, plain.step(2)[0])


@pytest.mark.parametrize(
    "actions",
    [
        *(
            0,
            [0],
            [0, 1, 2],
            [0, 1.5],
            [0, "1"],
            [0, None],
            [True, 0],
            [0, 4],
            [0, -2],
            [[0], [0, 1]],
            None,
            "01",
            {},
        ),
        *(np.array([0.0, 1.0]), np.array([[0], [1]]), np.array([True, False])),
    ],
    ids=repr,
)
def test_a_wrong_number_or_kind_of_actions_is_refused_in_a_batch(actions):
    envs = gym.make_vec("vlmgym/2048-v0", num_envs=2, level="easy", look="tiny")
    envs.reset(seed=0)
    before = envs.state
    with pytest.raises(
        ActionError, match=r"allowed are (2 whole numbers 0 to 3|0 to 3, or -1 for " r"no action)"
    ):
        envs.step(actions)
    assert envs.state == before


@pytest.mark.parametrize("action", [0, None, b"up", ["up"], 1.5], ids=repr)
def test_text_environments_take_texts_alone(action):
    env = GameEnv("2048", "easy", "tiny", action="text")
    env.reset(seed=0)
    with pytest.raises(ActionError, match="allowed is one of the texts"):
        env.step(action)
    envs = GameVectorEnv("2048", 2, "easy", "tiny", action="text")
    envs.reset(seed=0)
    for actions in (["up", action], "up", ["up"], None, 7):
        with pytest.raises(ActionError, match="allowed are 2 texts"):
            envs.step(actions)


def test_text_actions_say_what_was_read_and_why_nothing_was():
    env = gym.make("vlmgym/2048-v0", level="easy", look="tiny", action="text")
    _, info = env.reset(seed=7)
    texts = [write_reply(info["truth"], "y", "0"), "no idea", write_reply("0|2", "y", "1")]
    for text in texts:
        before = env.state
        *_, info = env.step(text)
        _, (judged,) = judge(env.table.game, before, [text])
        assert info["terms"] == judged.terms
        assert (info["action"], info["problem"], info["fault"]) == (
            judged.reply.action,
            judged.reply.problem,
            judged.fault,
        )
        assert (info["gain"], info["changed"]) == (judged.gain, judged.changed)
        assert type(info["problem"]) is type(info["fault"]) is str
    env.step("no idea")
    assert info["terms"].keys() >= {"game", "format", "perception", "cells", "regret"}
    *_, info = env.step("no idea")
    assert (info["action"], info["fault"]) == (-1, "format")
    assert info["problem"] != "none"


def test_action_masks_are_the_legal_actions():
    env = gym.make("vlmgym/Sokoban-v0", level="easy", look="tiny")
    _, info = env.reset(seed=1)
    assert env.action_masks().tolist() == info["legal"].tolist()
    assert env.action_masks().shape == (env.action_space.n,)
    env.action_masks()[:] = False
    assert env.action_masks().any()
    envs = gym.make_vec("vlmgym/Sokoban-v0", num_envs=3, level="easy", look="tiny")
    _, info = envs.reset(seed=1)
    assert (envs.action_masks() == info["legal"]).all()


@pytest.mark.parametrize(
    "reply", ["think=reasoning,answer=final", {"think": "reasoning", "answer": "final"}]
)
def test_text_actions_may_have_blocks_of_other_names(reply):
    one = gym.make("vlmgym/2048-v0", level="tiny", action="text", reply=reply)
    two = gym.make_vec("vlmgym/2048-v0", num_envs=2, level="tiny", action="text", reply=reply)
    blocks = Blocks.of(reply)
    _, info = one.reset(seed=3)
    assert "<final>" in info["prompt"]
    assert "<answer>" not in info["prompt"]
    game = one.unwrapped.table.game
    move = game.encode("tiny", int(game.draw_legal(one.unwrapped.state)[0]))
    text, usual = (
        write_reply(info["truth"], "so", move, blocks),
        write_reply(info["truth"], "so", move),
    )
    assert one.step(text)[4]["terms"]["format"] == 1
    _, infos = two.reset(seed=3)
    assert "<final>" in infos["prompt"][0]
    assert two.step([text, usual])[4]["terms"]["format"].tolist() == [1, 0]
    with pytest.raises(ConfigError, match="wink"):
        gym.make("vlmgym/2048-v0", action="text", reply="wink=x")
