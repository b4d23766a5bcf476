"""States, configs, randomness: the contracts that hold for every game."""

import pickle
from dataclasses import dataclass, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parts.mutate import deep_text, extremes
from vlmgym.core import (
    SPLITS,
    ActionError,
    ConfigError,
    RowError,
    Settings,
    StateError,
    concat,
    draw_below,
    draw_rows,
    draw_unit,
    seeds_for,
    setting,
    split_of,
)
from vlmgym.episodes.random_walk import walk
from vlmgym.games import GAMES, get_game, load_state

EVERY = [(name, level) for name, game in GAMES.items() for level in game.LEVELS]


def start(name, level="easy", count=6, steps=4):
    game = get_game(name)
    return game, walk(
        game, game.level(level), seeds_for("free", name, level, count), steps, legal=True
    )


def random_actions(game, state, seed=0):
    return np.random.default_rng(seed).integers(-1, game.n_actions(state.level), len(state))


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_every_level_deals_and_survives_bytes(name, level):
    game = get_game(name)
    state = game.reset(game.level(level), seeds_for("free", name, level, 3))
    assert not state.ended.any()
    assert game.legal(state).any(axis=1).all()
    again_game, again = load_state(state.to_bytes(game))
    assert again_game is game
    assert again == state


@pytest.mark.parametrize("name", GAMES)
def test_fork_shares_board_counters_flags_and_luck(name):
    game, state = start(name)
    before = state.to_bytes(game)
    legal = [int(np.flatnonzero(row)[0]) for row in game.legal(state)]
    forked = state.repeat(3)
    after, _ = game.step(forked, np.repeat(legal, 3))
    for i in range(len(state)):
        assert after[3 * i] == after[3 * i + 1] == after[3 * i + 2]
    assert state.to_bytes(game) == before, "step must not touch its input"
    lucky, _ = game.step(forked.reseed(1), np.repeat(legal, 3))
    if name in ("2048", "Swap"):  # no luck after the deal elsewhere
        assert not np.array_equal(lucky.board, after.board)
    assert (lucky.seed >> np.uint64(62) == after.seed >> np.uint64(62)).all(), (
        "new luck stays in the split"
    )


@pytest.mark.parametrize("name", GAMES)
def test_a_row_does_not_depend_on_its_batch(name):
    game, state = start(name)
    actions = random_actions(game, state)
    whole, outcome = game.step(state, actions)
    for i in range(len(state)):
        alone, one = game.step(state[i], actions[i : i + 1])
        assert alone == whole[i]
        assert one.gain[0] == outcome.gain[i]
    assert concat([whole[0:2], whole[2:]]) == whole


@pytest.mark.parametrize("name", GAMES)
def test_walk_rows_do_not_depend_on_their_batch(name):
    game = get_game(name)
    level, seeds = game.level("easy"), seeds_for("free", name, "easy", 5)
    steps = np.array([0, 3, 9, 1, 5])
    whole = walk(game, level, seeds, steps)
    for i in range(5):
        assert walk(game, level, seeds[i : i + 1], int(steps[i])) == whole[i]
    assert not whole.ended.any()
    assert (whole.score == 0).all()


@pytest.mark.parametrize("name", GAMES)
def test_no_action_is_a_turn_that_changes_nothing(name):
    game, state = start(name)
    after, outcome = game.step(state, np.full(len(state), -1))
    assert np.array_equal(after.board, state.board)
    assert (after.steps == state.steps + 1).all()
    assert not outcome.gain.any()
    assert not outcome.changed.any()


@pytest.mark.parametrize("name", GAMES)
def test_ended_rows_pass_through(name):
    game = get_game(name)
    level = game.level("easy", max_steps=1)
    state = game.reset(level, seeds_for("free", name, "x", 4))
    ended, _ = game.step(state, np.full(4, -1))
    assert ended.truncated.all()
    assert not ended.terminated.any()
    legal = [int(np.flatnonzero(row)[0]) for row in game.legal(state)]
    after, outcome = game.step(ended, np.array(legal))
    assert after == ended
    assert not outcome.gain.any()
    assert not game.legal(ended).any()


@pytest.mark.parametrize("name", GAMES)
def test_bad_actions_are_refused(name):
    game, state = start(name, count=2)
    count = game.n_actions(state.level)
    with pytest.raises(
        ActionError, match=f"action {count} of {name}: allowed are 0 to {count - 1}"
    ):
        game.step(state, np.array([0, count]))
    with pytest.raises(ActionError, match="shape"):
        game.step(state, np.zeros(3, int))
    with pytest.raises(ActionError, match="float"):
        game.step(state, np.zeros(2))


NO_NUMBERS = [
    -(2**70),
    1.5,
    float("nan"),
    2**64,
    10**400,
    "1",
    b"1",
    True,
    np.True_,
    None,
    [1, [2]],
    {},
    object,
    np.datetime64(0, "s"),
]


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("bad", NO_NUMBERS, ids=repr)
def test_where_a_whole_number_is_asked_for_anything_else_is_one_sentence(name, bad):
    game, state = start(name, count=3)
    symbols = game.scene(state).symbols
    for seeds in (bad, [bad], [1, bad], np.array([bad, bad], object)):
        with pytest.raises(ConfigError, match="seeds"):
            game.reset("easy", seeds)
        with pytest.raises(ConfigError, match="seeds"):
            walk(game, "easy", seeds, 1)
    for actions in (bad, [bad] * 3, [0, 1, bad]):
        with pytest.raises(ActionError):
            game.step(state, actions)
        with pytest.raises(ActionError):
            game.would_succeed(state.level, symbols, actions)
        with pytest.raises(ActionError):
            game.branch(state, [actions] * 3)
    for rows in (bad, [bad], (bad,)):
        with pytest.raises(RowError):
            state[rows]
    for ask in (
        lambda: game.encode("easy", bad),
        lambda: game.explain(state, 0, bad),
        lambda: game.explain(state, 0, action=bad),
    ):
        with pytest.raises(ActionError):
            ask()
    for ask in (
        lambda: state.repeat(bad),
        lambda: state.reseed(bad),
        lambda: game.draw_legal(state, bad),
        lambda: game.explain(state, bad, 0),
        lambda: game.candidates(state, bad),
        lambda: walk(game, "easy", [1, 2], bad),
        lambda: walk(game, "easy", [1, 2], [1, bad]),
    ):
        with pytest.raises(ConfigError) as error:
            ask()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 1000


@pytest.mark.parametrize("name", GAMES)
def test_whole_numbers_of_every_kind_are_taken(name):
    game, level = get_game(name), "easy"
    wanted = game.reset(level, np.array([7, 2**63], np.uint64))
    for seeds in (
        [7, 2**63],
        (np.uint8(7), np.uint64(2**63)),
        np.array([7, 2**63], object).tolist(),
    ):
        assert game.reset(level, seeds) == wanted
    assert (
        game.reset(level, np.array([7], np.int32))
        == game.reset(level, range(7, 8))
        == wanted[0]
        == wanted[[0]]
        == wanted[-2]
    )
    assert (
        wanted[[True, False]]
        == wanted[np.array([True, False])]
        == wanted[:1]
        == wanted[np.array([0], np.uint8)]
    )
    assert len(wanted[[]]) == len(game.reset(level, [])) == len(game.step(wanted[:0], [])[0]) == 0
    assert game.step(wanted, [0, 1])[0] == game.step(wanted, np.array([0, 1], np.uint8))[0]
    assert [len(row) for row in wanted] == [1, 1], "rows can be gone through"


@pytest.mark.parametrize("shape", [(), (2, 2), (0, 2)])
def test_seeds_of_another_shape_and_masks_of_another_length_are_refused(shape):
    game, state = start("2048", count=3)
    with pytest.raises(ConfigError, match="seeds"):
        game.reset("easy", np.zeros(shape, np.uint64))
    for rows in (
        ...,
        None,
        np.ones(2, bool),
        np.ones((3, 2), bool),
        slice(0.5, 2),
        np.zeros((1, 1), int),
        3,
        -4,
        [3],
    ):
        with pytest.raises(RowError):
            state[rows]


@pytest.mark.parametrize("name", GAMES)
def test_described_board_plays_like_the_true_one(name):
    game, state = start(name)
    twin = game.from_symbols(state.level, game.scene(state).symbols)
    assert np.array_equal(game.legal(twin), game.legal(state))
    # what succeeds there depends on mines and cards that no description can hold
    if name not in ("Minesweeper", "Memory"):
        assert np.array_equal(game.success_mask(twin), game.success_mask(state))


@pytest.mark.parametrize("name", GAMES)
def test_oracle_values_exactly_the_legal_actions(name):
    game, state = start(name)
    assert np.array_equal(~np.isnan(game.oracle(state)), game.legal(state))


def test_config_errors_name_field_value_and_range():
    game = get_game("2048")
    with pytest.raises(ConfigError, match=r"Level2048.rows = 1: allowed is 2 to 16"):
        game.level("easy", rows=1)
    with pytest.raises(
        ConfigError, match=r"Level2048.colour = 3: allowed is one of the fields " r"max_steps"
    ):
        game.level("easy", colour=3)
    with pytest.raises(ConfigError, match=r"Level2048.rows = '4': allowed is of type int"):
        game.level("easy", rows="4")
    with pytest.raises(ConfigError, match=r"level of 2048 = 'nope': allowed is one of easy"):
        game.level("nope")
    with pytest.raises(ConfigError, match=r"game = 'chess'"):
        get_game("chess")


def test_damaged_states_are_refused():
    game, state = start("2048")
    data = state.to_bytes(game)
    for bad, message in [
        (b"PNG" + data, "first bytes"),
        (data[:-3], "cut off"),
        (data + b"x", "too many"),
        (data[:4] + b"\x09\x00" + data[6:], "format 9"),
    ]:
        with pytest.raises(StateError, match=message):
            game.from_bytes(bad)
    with pytest.raises(StateError, match="a state of 2048"):
        get_game("Swap").from_bytes(data)


def test_splits_are_disjoint():
    seeds = {split: set(seeds_for(split, "2048", "easy", 500).tolist()) for split in SPLITS}
    assert sum(map(len, seeds.values())) == len(set.union(*seeds.values())) == 500 * len(SPLITS)
    assert all(split_of(s) == split for split, group in seeds.items() for s in group)
    assert np.array_equal(
        seeds_for("test", "a", "b", 10)[4:], seeds_for("test", "a", "b", 6, start=4)
    )
    assert not set(seeds_for("test", "2048", "hard", 500).tolist()) & seeds["test"]
    with pytest.raises(ConfigError, match="split"):
        seeds_for("validation", "2048", "easy", 1)


@given(st.integers(0, 2**64 - 1), st.integers(0, 10**6), st.integers(1, 1000))
def test_draws_stay_in_range_and_repeat(seed, step, bound):
    key = np.uint64(seed)
    assert 0 <= draw_below(key, step, 3, bound) < bound
    assert 0 <= draw_unit(key, step, 3) < 1
    assert draw_below(key, step, 3, bound) == draw_below(key, step, 3, bound)


def test_pilots_have_seeds_of_their_own_and_those_of_tests_are_what_they_were():
    assert seeds_for("test", "2048", "easy", 1).tolist() == [6226420129372100784]
    assert seeds_for("train", "2048", "easy", 1).tolist() == [1614734110944712880]
    assert seeds_for("free", "2048", "easy", 1).tolist() == [15449792166226876592]
    pilots = seeds_for("pilot", "2048", "easy", 500)
    assert {int(seed) >> 61 for seed in pilots} == {0b101}
    assert {int(seed) >> 61 for seed in seeds_for("pretrain", "2048", "easy", 500)} == {0b100}
    state = get_game("2048").reset("easy", pilots)
    assert {split_of(seed) for seed in state.reseed(np.arange(500)).seed} == {"pilot"}


def test_draws_are_uniform():
    seeds = seeds_for("free", "u", "u", 40_000)
    counts = np.bincount(draw_rows(seeds, 5, 2, np.full(40_000, 8)), minlength=8)
    assert ((counts - 5000) ** 2 / 5000).sum() < 30, (
        "chi-square with 7 degrees of freedom: 30 is beyond 1 in 10,000"
    )
    assert draw_rows(seeds[:2], 0, 0, np.array([0, 1])).tolist() == [-1, 0]


def test_restart_goes_on_with_a_fresh_deal_and_keeps_the_score():
    game = get_game("2048")
    level = game.level("easy", rows=2, cols=2, max_steps=0, restart=True)
    state = game.reset(level, seeds_for("free", "2048", "r", 50))
    scores = state.score
    for step in range(80):
        state, outcome = game.step(state, np.full(50, step % 4))
        assert not state.terminated.any()
        assert not outcome.terminated.any()
        assert (state.score >= scores).all()
        scores = state.score
    assert scores.mean() > 60, "many games of 2x2 end within 80 moves; their scores add up"


# ---- settings and messages of any kind
@dataclass(frozen=True)
class Some(Settings):
    """One setting of each kind."""

    whole: int = setting(1, "", 0, 10)
    real: float = setting(0.5, "", 0.0, 1.0)
    free: float = setting(0.5, "")
    text: str = setting("a", "")
    flag: bool = setting(False, "")
    one: str = setting("a", "", choices=("a", "b"))
    few: int = setting(1, "", choices=(1, 2))


@pytest.mark.parametrize("name", [one.name for one in fields(Some)])
def test_a_setting_of_any_other_kind_is_one_sentence(name):
    kind = type(getattr(Some(), name))
    for bad in extremes():
        whole = (
            type(bad) is int
            and kind is float
            and (bad in (0, 1) or (name == "free" and abs(bad) <= 2**53))
        )
        if type(bad) is not kind and not whole:
            with pytest.raises(ConfigError, match=rf"Some.{name} = ") as caught:
                Some(**{name: bad})
            assert len(str(caught.value).splitlines()) == 1
            assert len(str(caught.value)) < 600


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e999])
def test_numbers_that_are_not_finite_are_no_settings(bad):
    for name in ("real", "free"):
        with pytest.raises(ConfigError):
            Some(**{name: bad})


def test_settings_are_a_mapping_of_known_fields():
    for bad in (None, 5, [], [["whole", 1]], "whole", {"x": 1}, {1: 1}, {None: 1}):
        with pytest.raises(ConfigError, match="Some"):
            Some.parse(bad)


def test_messages_are_one_short_line_that_no_terminal_obeys():
    bomb = ["lol"] * 9
    for _ in range(9):
        bomb = [bomb] * 9
    for value in (
        bomb,
        "x" * 2_000_000,
        "\x1b[31m\nred\x9b\u202e\u2028",
        10**5000,
        {"\ud83d": bomb},
        b"x" * 10**6,
    ):
        text = str(ConfigError("field", value, "less"))
        assert len(text) < 600
        assert text.isprintable()
        assert text.startswith("field = ")
    assert str(ConfigError("field", 1, "less \x1b[31m\n")) == (
        "field = 1: allowed is less \\x1b[31m\\n"
    )
    assert "\x1b" not in str(StateError("\x1b[31m"))
    assert pickle.loads(pickle.dumps(ConfigError("a", 1, "b"))).allowed == "b"


@pytest.mark.parametrize(
    "bad",
    [
        None,
        5,
        "hard:",
        "hard:rows",
        "hard:rows=4,rows=5",
        "hard:=",
        ":",
        "x" * 100,
        "hard:rows=NaN",
    ],
)
def test_dials_that_cannot_be_read_are_sentences(bad):
    with pytest.raises(ConfigError):
        get_game("2048").level(bad)


def test_deep_values_of_dials_are_text():
    with pytest.raises(ConfigError, match="of type int"):
        get_game("2048").level("hard:rows=" + deep_text(100_000))


@pytest.mark.parametrize("bad", [-1, 1.0, "3", None, True, 10**30, [], float("nan")])
def test_counts_of_seeds_are_whole_numbers_in_range(bad):
    with pytest.raises(ConfigError, match="count = "):
        seeds_for("test", "2048", "easy", bad)
    with pytest.raises(ConfigError, match="start = "):
        seeds_for("test", "2048", "easy", 3, bad)
    with pytest.raises(ConfigError, match="seed = "):
        split_of(bad)
    assert len(seeds_for("test", "2048", "easy", 0)) == 0
    assert np.array_equal(
        seeds_for("test", "2048", "easy", np.int64(3), np.uint8(1)),
        seeds_for("test", "2048", "easy", 4)[1:],
    )
