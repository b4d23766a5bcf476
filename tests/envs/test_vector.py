"""A batch of games does what Gymnasium does with as many single environments."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from vlmgym.core import ConfigError
from vlmgym.dialogue.reply import write_reply
from vlmgym.envs.vector import GameVectorEnv


def same_infos(ours, theirs):
    """Equal keys and masks, and equal values wherever a mask says that there is one."""
    assert ours.keys() == theirs.keys()
    for key in ours:
        if isinstance(ours[key], dict):
            same_infos(ours[key], theirs[key])
        elif key.startswith("_"):
            assert ours[key].dtype == theirs[key].dtype == bool
            assert ours[key].tolist() == theirs[key].tolist(), key
        else:
            mask = ours["_" + key]
            assert len(ours[key]) == len(theirs[key]) == len(mask)
            for mine, other in zip(ours[key][mask], theirs[key][mask], strict=True):
                assert np.array_equal(mine, other), key


def same_results(ours, theirs):
    for mine, other in zip(ours[:-1], theirs[:-1], strict=True):
        assert mine.dtype == other.dtype
        assert np.array_equal(mine, other)
    info = {key: value for key, value in ours[-1].items() if key not in ("played", "_played")}
    same_infos(info, theirs[-1])


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("action", ["discrete", "text"])
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize(("name", "steps"), [("2048", 3), ("FrozenLake", 6), ("Swap", 2)])
def test_a_batch_does_what_gymnasium_does_with_as_many_single_environments(
    name, steps, mode, action, copy
):
    """Pictures, rewards, ends, infos, masks, final observations and the games after the first, in
    all three modes.
    """
    fields = {"level": "easy", "look": "tiny", "max_steps": steps, "action": action, "copy": copy}
    ours = gym.make_vec(f"vlmgym/{name}-v0", num_envs=4, autoreset_mode=mode, **fields)
    single = {**fields, "copy": True}  # the final observations of Gymnasium are not copied
    theirs = gym.vector.SyncVectorEnv(
        [lambda: gym.make(f"vlmgym/{name}-v0", **single)] * 4, autoreset_mode=mode
    )
    assert (
        ours.metadata["autoreset_mode"]
        is theirs.metadata["autoreset_mode"]
        is ours.autoreset_mode
        is mode
    )
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    same_results(ours.reset(seed=[5, 1, 2, 3]), theirs.reset(seed=[5, 1, 2, 3]))
    game, level = ours.table.game, ours.table.level
    rng, ends = np.random.default_rng(0), 0
    for turn in range(11):
        ids = rng.integers(0, game.n_actions(level), 4)
        if turn == 1:  # rows out of step with each other
            mask = np.array([True, False, True, False])
            same_results(
                ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask})
            )
        written = tuple(
            write_reply("x", "y", game.encode(level, i)) if i % 3 else "nothing"
            for i in ids.tolist()
        )
        actions = written if action == "text" else ids
        got, expected = ours.step(actions), theirs.step(actions)
        same_results(got, expected)
        assert (
            got[-1]["played"].tolist() == got[-1].get("_gain", np.zeros(4, bool)).tolist()
            or mode is AutoresetMode.SAME_STEP
        )
        over = got[2] | got[3]
        ends += over.sum()
        if mode is AutoresetMode.DISABLED and over.any():
            with pytest.raises(gym.error.ResetNeeded, match=r"games \[.*\] have ended: reset"):
                ours.step(actions)
            seeds = [9, None, 7, None]
            again = ours.reset(seed=seeds, options={"reset_mask": over})
            same_results(again, theirs.reset(seed=seeds, options={"reset_mask": over}))
    assert ends >= 4
    assert ours.np_random_seed == theirs.np_random_seed
    same_results(ours.reset(seed=11), theirs.reset(seed=11))


def test_what_an_environment_gave_away_stays_as_it_was():
    """No array that was returned is written to later, and writing to one changes no game."""
    for mode in AutoresetMode:
        envs = GameVectorEnv(
            "2048", 3, "easy", "tiny", max_steps=3, autoreset_mode=mode, reward="gain"
        )
        given = [envs.reset(seed=1)]
        for turn in range(6):
            if mode is AutoresetMode.DISABLED and envs.state.ended.all():
                given.append(envs.reset())
            given.append(envs.step(np.array([turn % 4, 1, 2])))
            kept = envs.snapshot()
            info = given[-1][-1]
            last = [picture for picture in info.get("final_obs", ()) if picture is not None]
            flat = [
                *given[-1][:-1],
                *last,
                *(v for v in info.values() if isinstance(v, np.ndarray) and v.dtype != object),
            ]
            copies = [array.copy() for array in flat]
            if turn % 2:
                for array in flat:
                    array[:] = np.zeros(1, array.dtype)
                assert envs.snapshot() == kept
                continue
            envs.restore(kept)
            envs.fork(2)
            assert all(np.array_equal(a, b) for a, b in zip(flat, copies, strict=True))


def test_the_modes_of_resetting_are_names_too_and_others_are_refused():
    assert (
        GameVectorEnv("2048", autoreset_mode="SAME_STEP").autoreset_mode is AutoresetMode.SAME_STEP
    )
    assert (
        GameVectorEnv("2048", autoreset_mode="Disabled").metadata["autoreset_mode"]
        is AutoresetMode.DISABLED
    )
    assert GameVectorEnv.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    with pytest.raises(
        ConfigError,
        match=r"autoreset_mode = 'now': allowed is one of NEXT_STEP, " r"SAME_STEP, DISABLED",
    ):
        GameVectorEnv("2048", autoreset_mode="now")


@pytest.mark.parametrize(
    "mask",
    [[True, False], np.array([1, 0]), np.array([True]), np.array([False, False]), None, "all"],
)
def test_a_mask_of_resets_must_be_one(mask):
    envs = GameVectorEnv("2048", 2, "easy", "tiny")
    with pytest.raises(gym.error.ResetNeeded):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=0)
    with pytest.raises(
        ConfigError,
        match=r"options\['reset_mask'\] = .* an array \(2,\) of bool " r"with at least one True",
    ):
        envs.reset(options={"reset_mask": mask})


@pytest.mark.parametrize(
    "seed", [1.5, "1", True, [1], [1, 2, 3], [1, "2"], [1, -2], -1, [1.0, 2.0]]
)
def test_seeds_of_a_batch_must_be_whole_numbers(seed):
    with pytest.raises(ConfigError, match=r"seed = .*: allowed is one whole number"):
        GameVectorEnv("2048", 2, "easy", "tiny").reset(seed=seed)
