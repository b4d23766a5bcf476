"""Rewards by choice, and the options that say which game is opened."""

import gymnasium as gym
import numpy as np
import pytest

import vlmgym
from vlmgym.core import ConfigError, StateError, concat, seeds_for, split_of
from vlmgym.envs.single import GameEnv
from vlmgym.envs.table import REWARDS
from vlmgym.envs.vector import GameVectorEnv
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle


def test_rewards_by_choice():
    """The default is +1 or -1; the points of all turns are those of the game, turn by turn or with
    the last turn.
    """
    total = {}
    for reward in REWARDS:
        env = gym.make("vlmgym/2048-v0", level="easy", look="tiny", max_steps=30, reward=reward)
        env.reset(seed=3)
        given, ended = [], False
        while not ended:
            _, one, over, cut, info = env.step(len(given) % 4)
            given.append(one)
            ended = over or cut
        total[reward] = given
        assert all(type(one) is float for one in given)
        assert reward == "game" or sum(given) == info["score"]
    assert set(total["game"]) == {-1.0, 1.0}
    assert [one > 0 for one in total["gain"]] == [one > 0 for one in total["game"]], (
        "in 2048 a good move is one with points"
    )
    assert not any(total["score"][:-1])
    assert total["score"][-1] > 0
    default = gym.make("vlmgym/2048-v0", level="easy", look="tiny", max_steps=30)
    default.reset(seed=3)
    assert [default.step(turn % 4)[1] for turn in range(len(given))] == total["game"]
    with pytest.raises(
        ConfigError, match=r"reward = 'points': allowed is one of game, gain, " r"score"
    ):
        GameEnv("2048", reward="points")
    envs = gym.make_vec(
        "vlmgym/2048-v0", num_envs=2, level="easy", look="tiny", max_steps=30, reward="score"
    )
    envs.reset(seed=[3, 3])
    assert [envs.step(np.full(2, turn % 4))[1].tolist() for turn in range(len(given))] == [
        [one] * 2 for one in total["score"]
    ]


@pytest.mark.parametrize("level", ["easy", "easy:max_steps=9"])
def test_split_and_index_open_the_game_that_evaluations_play(level, tmp_path):
    evaluate(
        Oracle(),
        Task(game="Swap", level=level, look="tiny"),
        Evaluation(episodes=3, turns=1),
        tmp_path,
        progress=False,
    )
    turns = [r for r in vlmgym.read_trace(tmp_path / "trace.jsonl") if type(r).__name__ == "Turn"]
    played = [turn.load()[1] for turn in turns]
    envs = GameVectorEnv("Swap", 3, level, "tiny")
    envs.reset(options={"split": "test", "index": [0, 1, 2]})
    assert envs.state == concat(played)
    env = gym.make("vlmgym/Swap-v0", level=level, look="tiny")
    env.reset(options={"split": "test", "index": 2})
    assert env.state == played[2]
    fields = {"max_steps": 9} if ":" in level else {}
    for other in (
        GameEnv("Swap", "easy", "tiny", **fields),
        GameEnv(env.table.game, env.table.level, "tiny"),
    ):
        other.reset(options={"split": "test", "index": 2})
        assert other.state == played[2]


def test_options_of_a_batch_are_one_for_all_rows_or_one_a_row():
    envs = GameVectorEnv("2048", 4, "easy", "tiny")
    envs.reset(seed=0, options={"split": "test", "index": 7})
    assert (envs.state.seed == seeds_for("test", "2048", "easy", 1, 7)).all()
    before = envs.state
    envs.reset(
        options={
            "split": ["test", "free", "test", "train"],
            "index": np.array([1, 2, 3, 4]),
            "reset_mask": np.arange(4) > 1,
        }
    )
    assert envs.state[:2] == before[:2]
    assert envs.state.seed[2:].tolist() == [
        *seeds_for("test", "2048", "easy", 1, 3),
        *seeds_for("train", "2048", "easy", 1, 4),
    ]
    envs.reset(options={"split": "free"})
    assert {split_of(seed) for seed in envs.state.seed} == {"free"}
    assert len(set(envs.state.seed.tolist())) == 4
    assert {split_of(seed) for seed in before.seed} == {"test"}
    envs.reset()
    assert {split_of(seed) for seed in envs.state.seed} == {"train"}


def test_a_state_opens_the_game_that_it_is():
    env = gym.make("vlmgym/2048-v0", level="easy", look="tiny")
    env.reset(seed=4)
    env.step(1)
    kept, state = env.snapshot(), env.state
    picture = env.step(2)[0]
    for given in (kept, state, [kept], (state,)):
        twin = GameEnv("2048", "easy", "tiny")
        twin.reset(options={"state": given})
        assert twin.state == state
        assert np.array_equal(twin.step(2)[0], picture)
    mine = state[:]
    twin.reset(options={"state": mine})
    mine.board[:] = 0
    assert twin.state == state, "the environment keeps its own copy"
    envs = GameVectorEnv("2048", 2, "easy", "tiny")
    envs.reset(options={"state": kept})
    assert envs.state == state.repeat(2)
    other = env.state
    envs.reset(options={"state": [kept, other]})
    assert envs.state == concat([state, other])
    envs.reset(options={"state": concat([other, state])})
    assert envs.state == concat([other, state])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 3}, r"options\['seed'\] = 3: allowed is split and index, or state"),
        (
            {"split": "validation"},
            r"options\['split'\] = 'validation': allowed is one of train, " r"test, pretrain, free",
        ),
        ({"index": 7}, r"options\['index'\] = 7: allowed is an index of a split"),
        ({"split": "test", "index": 1.5}, r"options\['index'\] = 1.5: allowed is a whole number"),
        ({"split": "test", "index": -1}, r"options\['index'\] = -1: allowed is a whole number"),
        ({"split": "test", "index": True}, r"options\['index'\] = True: allowed is a whole number"),
        ({"split": "test", "index": "7"}, r"options\['index'\] = '7': allowed is a whole number"),
        (
            {"split": "test", "index": [1, 2, 3]},
            r"options\['index'\] = \[1, 2, 3\]: allowed is one " r"value, or a list of",
        ),
        (
            {"state": "VLMG"},
            r"options\['state'\] = 'str': allowed is a State, its bytes, or a list " r"of these",
        ),
        (
            {"state": b"x", "index": 1},
            r"options = \['index', 'state'\]: allowed is split and " r"index, or state alone",
        ),
        ({"state": []}, r"concat needs at least one state"),
        ({"state": b"nonsense"}, r"not a serialised vlmgym state"),
        (["split"], r"options = \['split'\]: allowed is a dict"),
    ],
)
def test_options_that_say_nothing_clear_are_refused(options, said):
    for env in (GameEnv("2048", "easy", "tiny"), GameVectorEnv("2048", 2, "easy", "tiny")):
        with pytest.raises((ConfigError, StateError), match=said):
            env.reset(seed=0, options=options)


def test_states_of_other_levels_games_numbers_and_ended_ones_are_refused():
    env = GameEnv("2048", "easy", "tiny", max_steps=1)
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(
        ConfigError, match=r"'a game that has ended': allowed is a game that goes " r"on"
    ):
        env.reset(options={"state": env.snapshot()})
    for other in (GameEnv("2048", "normal", "tiny"), GameEnv("Swap", "easy", "tiny")):
        other.reset(seed=0)
        for given in (other.snapshot(), other.state):
            with pytest.raises(
                (ConfigError, StateError), match=r"level of options\['state'\]|a " r"state of Swap"
            ):
                env.reset(options={"state": given})
    envs = GameVectorEnv("2048", 3, "easy", "tiny", max_steps=1)
    envs.reset(seed=0)
    with pytest.raises(ConfigError, match="'3 games': allowed is one game"):
        env.reset(options={"state": envs.snapshot()})
