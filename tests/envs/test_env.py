"""Gymnasium environments: its own checkers, seeding, autoreset, snapshots, and what users expect."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import vlmgym
from vlmgym.core import ConfigError, StateError
from vlmgym.envs.single import GameEnv
from vlmgym.envs.table import KeywordError
from vlmgym.envs.vector import GameVectorEnv

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
    singles = [
        gym.make(name, level="easy", look="tiny", max_steps=50, disable_env_checker=True)
        for _ in seeds
    ]
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


def test_autoreset_swallows_no_answer():
    """A row that ends is reset by the next step, whose action for it is declared unused; the others
    play on.
    """
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
    before = envs.restore(kept)
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


def test_an_ended_game_must_be_reset():
    env = GameEnv("2048", level="easy", look="tiny", max_steps=1)
    env.reset(seed=0)
    assert env.step(0)[3]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_made_environments_have_snapshot_restore_and_fork_themselves():
    env = gym.make("vlmgym/2048-v0", level="easy", look="tiny")
    env.reset(seed=0)
    kept = env.snapshot()
    first = env.step(1)[0]
    env.restore(kept)
    assert all(np.array_equal(fork.step(1)[0], first) for fork in env.fork(2))
    envs = gym.make_vec("vlmgym/2048-v0", num_envs=2, level="easy", look="tiny")
    envs.reset(seed=0)
    kept, pictures = envs.snapshot(), envs.restore(envs.snapshot())
    envs.step(np.array([0, 1]))
    assert np.array_equal(envs.restore(kept), pictures)
    assert envs.fork(3).num_envs == 6
    limited = gym.make("vlmgym/2048-v0", level="easy", look="tiny", max_episode_steps=5)
    limited.reset(seed=0)
    env.reset(seed=0)
    assert limited.get_wrapper_attr("snapshot")() == env.snapshot()


def test_forks_go_on_alone_and_deal_the_games_that_their_origin_deals():
    env = GameEnv("2048", "easy", "tiny", copy=False, reward="gain", max_steps=2)
    env.reset(seed=6)
    one, two = env.fork(2)
    picture = one.reset()[0].copy()
    two.step(0)
    assert np.array_equal(two.reset()[0], picture)
    assert (two.state.steps == 0).all()
    assert np.array_equal(env.reset()[0], picture)
    envs = GameVectorEnv("2048", 2, "easy", "tiny", autoreset_mode="DISABLED")
    envs.reset(seed=6)
    wide = envs.fork(2)
    assert wide.autoreset_mode is AutoresetMode.DISABLED
    wide.reset()
    envs.reset()
    assert wide.state == envs.state.repeat(2)
    for wrong in (1.5, True, "2", None, -1):
        with pytest.raises(ConfigError, match=f"n = {wrong!r}: allowed is a whole number"):
            env.fork(wrong)
        with pytest.raises(ConfigError, match=f"n = {wrong!r}: allowed is a whole number"):
            envs.fork(wrong)


@pytest.mark.parametrize("count", [0, -1, 2.0, "2", None, True])
def test_the_number_of_games_is_a_whole_number(count):
    with pytest.raises(ConfigError, match=r"num_envs = .*: allowed is a whole number 1 to 1000000"):
        GameVectorEnv("2048", count)


def test_render_gives_what_the_render_mode_says():
    env, envs = (
        make(i, level="easy", look="tiny")
        for make, i in ((gym.make, IDS[0]), (gym.make_vec, IDS[0]))
    )
    for one in (env, envs):
        one.reset(seed=0)
        with pytest.warns(UserWarning, match=r"render\(\) without a render mode gives nothing"):
            assert one.render() is None
    env = gym.make(IDS[0], level="easy", look="tiny", render_mode="rgb_array", copy=False)
    with pytest.raises(gym.error.ResetNeeded):
        env.render()
    frame, _ = env.reset(seed=0)
    first = env.render()
    assert np.array_equal(first, frame)
    env.step(0)
    assert first.flags.writeable
    assert not np.shares_memory(first, env.render())
    envs = gym.make_vec(IDS[0], num_envs=2, level="easy", look="tiny", render_mode="rgb_array")
    frames, _ = envs.reset(seed=0)
    assert np.array_equal(np.stack(envs.render()), frames)


def test_an_unknown_keyword_is_a_type_error_as_python_words_it():
    """Tools that try keywords wait for these words, through ``gym.make`` as well."""
    makers = [
        GameEnv,
        GameVectorEnv,
        lambda game, **fields: gym.make(f"vlmgym/{game}-v0", **fields),
    ]
    makers.append(lambda game, **fields: gym.make_vec(f"vlmgym/{game}-v0", **fields))
    for make in makers:
        with pytest.raises(
            KeywordError, match=r"unexpected keyword argument 'frameskip'"
        ) as caught:
            make("2048", frameskip=1)
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, ConfigError)
        assert "Level2048.frameskip = 1: allowed is one of the fields max_steps" in str(
            caught.value
        )


def test_installed_games_are_registered_without_being_imported(tmp_path):
    package = tmp_path / "mine-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(
        "[vlmgym.games]\nMine = mine_game:Mine\nodd name! = mine_game:Mine\n2048 = mine_game:Mine\n"
    )
    (tmp_path / "mine_game.py").write_text(
        "from vlmgym.games.game2048 import Game2048\nclass Mine(Game2048):\n    name = 'Mine'\n"
    )
    code = (
        "import sys, gymnasium, vlmgym; assert 'mine_game' not in sys.modules; "
        "env = gymnasium.make('vlmgym/Mine-v0', level='easy'); print(env.table.game.name, "
        "'mine_game' in sys.modules, "
        "type(gymnasium.make('vlmgym/2048-v0').table.game).__name__, 'vlmgym/Breakout-v0' in "
        "gymnasium.registry)"
    )
    path = os.pathsep.join([str(tmp_path), str(Path(vlmgym.__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["Mine", "True", "Game2048", "True"], done.stderr


@pytest.mark.parametrize("bad", [-1, 1.5, "1", True, float("nan"), b"1", [1], 2**70])
def test_seeds_and_numbers_of_forks_are_whole_numbers(bad):
    one, two = (
        gym.make("vlmgym/2048-v0", level="tiny"),
        gym.make_vec("vlmgym/2048-v0", num_envs=2, level="tiny"),
    )
    for env in (one, two):
        env.reset(seed=1)
        with pytest.raises(ConfigError, match="n = "):
            env.unwrapped.fork(bad)
        if bad != 2**70:  # Gymnasium takes seeds of any size
            with pytest.raises(ConfigError, match="seed = "):
                env.reset(seed=bad)
