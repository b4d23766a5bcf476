"""Gymnasium environments: its own checkers, seeding, autoreset, snapshots and forks."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import vlmgym
from vlmgym.core import ConfigError, StateError
from vlmgym.env import GameEnv, GameVectorEnv
from vlmgym.prompt import write_reply

IDS = [f"vlmgym/{name}-v0" for name in vlmgym.GAMES]


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("action", ["discrete", "text"])
def test_gymnasium_checker_has_nothing_to_say(name, action):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gym.make(name, level="easy", look="tiny", action=action, render_mode="rgb_array")
        check_env(env.unwrapped)
        env.close()


@pytest.mark.parametrize("name", IDS)
def test_vector_env_passes_the_checks_of_its_spaces(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = gym.make_vec(name, num_envs=5, level="easy", look="tiny")
    assert isinstance(envs.unwrapped, GameVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    obs, info = envs.reset(seed=3)
    assert obs in envs.observation_space
    assert info["truth"].shape == (5,)
    obs, reward, terminated, truncated, info = envs.step(envs.action_space.sample())
    assert obs in envs.observation_space
    assert reward.shape == terminated.shape == truncated.shape == (5,)
    assert reward.dtype == np.float64
    assert set(np.unique(reward)) <= {-1.0, 1.0}
    assert all(info["_" + key].all() for key in ("truth", "legal", "score", "gain", "played"))
    again, _ = envs.reset(seed=3)
    first, _ = gym.make_vec(name, num_envs=5, level="easy", look="tiny").reset(seed=3)
    assert np.array_equal(again, first)
    envs.close()


@pytest.mark.parametrize("name", IDS)
def test_batched_rows_equal_single_environments(name):
    seeds = [4, 9, 2]
    envs = gym.make_vec(name, num_envs=3, level="easy", look="tiny", max_steps=50)
    singles = [gym.make(name, level="easy", look="tiny", max_steps=50, disable_env_checker=True) for _ in seeds]
    batch, _ = envs.reset(seed=seeds)
    for row, (env, seed) in enumerate(zip(singles, seeds, strict=True)):
        assert np.array_equal(env.reset(seed=seed)[0], batch[row])
    rng = np.random.default_rng(0)
    alive = np.ones(3, bool)
    for _ in range(12):
        actions = rng.integers(0, envs.single_action_space.n, 3)
        batch, reward, terminated, truncated, _ = envs.step(actions)
        for row in np.flatnonzero(alive):
            obs, r, te, tr, _ = singles[row].step(actions[row])
            assert np.array_equal(obs, batch[row])
            assert (r, te, tr) == (reward[row], terminated[row], truncated[row])
        alive &= ~(terminated | truncated)


def test_defect_2_autoreset_swallows_no_answer():
    """A row that ends is reset by the next step, whose action for it is declared unused; the others play on."""
    envs = GameVectorEnv("2048", num_envs=2, level="easy", look="tiny", max_steps=2)
    envs.reset(seed=0)
    envs.step(np.array([0, 1]))
    _, reward, _, truncated, info = envs.step(np.array([2, 3]))
    assert truncated.all()
    assert info["played"].all()
    assert (reward != 0).all(), "the last answer of a game is played and rewarded"
    _, reward, _, truncated, info = envs.step(np.array([0, 0]))
    assert not info["played"].any()
    assert (reward == 0).all()
    assert (envs.state.steps == 0).all()
    assert not truncated.any()
    _, reward, *_ = envs.step(np.array([0, 0]))
    assert (reward != 0).all()


@pytest.mark.parametrize("name", IDS)
def test_snapshot_restore_and_fork_keep_everything(name):
    env = gym.make(name, level="easy", look="tiny").unwrapped
    env.reset(seed=1)
    mask = env.table.game.legal(env.state)[0]
    action = int(np.flatnonzero(mask)[0])
    kept = env.snapshot()
    forks = env.fork(3)
    results = [env.step(action)]
    results += [fork.step(action) for fork in forks]
    env.restore(kept)
    results.append(env.step(action))
    for obs, reward, terminated, truncated, info in results:
        assert np.array_equal(obs, results[0][0])
        assert (reward, terminated, truncated) == results[0][1:4]
        assert info["score"] == results[0][4]["score"]
    envs = GameVectorEnv(env.table.game.name, num_envs=2, level="easy", look="tiny")
    envs.reset(seed=5)
    kept = envs.snapshot()
    wide = envs.fork(4)
    assert wide.num_envs == 8
    assert np.array_equal(wide.state.board[3], envs.state.board[0])
    assert np.array_equal(wide.state.board[4], envs.state.board[1])
    before = envs.render() or envs.restore(kept)
    envs.step(envs.action_space.sample())
    assert np.array_equal(envs.restore(kept), before)


def test_bad_snapshots_and_settings_are_refused():
    env = GameEnv("2048", level="easy", look="tiny")
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(StateError):
        env.restore(b"nonsense")
    other = GameEnv("2048", level="normal", look="tiny")
    other.reset(seed=0)
    with pytest.raises(ConfigError, match="snapshot"):
        env.restore(other.snapshot())
    with pytest.raises(ConfigError, match=r"action = 'words': allowed is one of discrete, text"):
        GameEnv("2048", action="words")
    with pytest.raises(ConfigError, match=r"Level2048.tiles"):
        GameEnv("2048", tiles=3)
    with pytest.raises(ConfigError, match="render_mode"):
        GameEnv("2048", render_mode="human")
    with pytest.raises(ConfigError, match="num_envs"):
        GameVectorEnv("2048", num_envs=0)


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
    before = text.render()
    obs, reward, *_, info = text.step("no idea")
    assert np.array_equal(obs, before)
    assert reward == -1
    assert not info["changed"]


def test_an_ended_game_must_be_reset():
    env = GameEnv("2048", level="easy", look="tiny", max_steps=1)
    env.reset(seed=0)
    assert env.step(0)[3]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)
