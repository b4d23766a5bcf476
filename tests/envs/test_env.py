"""Gymnasium environments: its own checkers, seeding, autoreset, rewards, options, actions,
snapshots and forks.
"""

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
from vlmgym.core import ActionError, ConfigError, StateError, concat, seeds_for, split_of
from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.reply import Blocks, write_reply
from vlmgym.envs.single import GameEnv
from vlmgym.envs.table import REWARDS, KeywordError
from vlmgym.envs.vector import GameVectorEnv
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle

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


def test_defect_2_autoreset_swallows_no_answer():
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


def test_an_ended_game_must_be_reset():
    env = GameEnv("2048", level="easy", look="tiny", max_steps=1)
    env.reset(seed=0)
    assert env.step(0)[3]
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


# ---- Gymnasium's batches
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


# ---- rewards, options
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


# ---- actions
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


# ---- what users expect
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
