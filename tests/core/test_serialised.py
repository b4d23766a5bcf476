"""States as bytes, whoever wrote them: what is read is the state that was written, or a
StateError.
"""

import io
import json
import struct
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from parts.mutate import deep_text, every_cut, every_flip, extremes, json_mutations, mutations
from vlmgym import core
from vlmgym.core import ConfigError, StateError, concat, seeds_for
from vlmgym.episodes.random_walk import walk
from vlmgym.games import GAMES, get_game, is_state, load_state, read_state_text, state_text
from vlmgym.render.frames import render, show

FORMAT_1 = {  # written by version 0.1.0 before there was a checksum
    "2048": (
        "VkxNRwEA+wAAAHsiZ2FtZSI6IjIwNDgiLCJ2ZXJzaW9uIjoxLCJsZXZlbCI6eyJtYXhfc3RlcHMiOjMwLCJyZXN0YXJ0IjpmYWxzZSwicm93cy"
        "I6NCwiY29scyI6NCwic3RhcnRfdGlsZXMiOjIsImZvdXJfcHJvYiI6MC4xLCJzdGFydF9tYXgiOjF9LCJhcnJheXMiOltbImJvYXJkIiwifHUx"
        "IixbMSw0LDRdXSxbInNjb3JlIiwiPGk4IixbMV1dLFsic3RlcHMiLCI8aTgiLFsxXV0sWyJ0ZXJtaW5hdGVkIiwifGIxIixbMV1dLFsic2VlZC"
        "IsIjx1OCIsWzFdXV19AAAAAAAAAAIAAAABAAAAAAQAAAAAAAAAAQAAAAAAAAAAJOu46VpX630="
    ),
    "FrozenLake": (
        "VkxNRwEAGwEAAHsiZ2FtZSI6IkZyb3plbkxha2UiLCJ2ZXJzaW9uIjoxLCJsZXZlbCI6eyJtYXhfc3RlcHMiOjMwLCJyZXN0YXJ0IjpmYWxzZS"
        "wicm93cyI6NCwiY29scyI6NCwiZmllbGQiOiJsYWtlIiwiZGVuc2l0eSI6MC4yLCJsb29wcyI6MC4wLCJzbGlwIjowLjB9LCJhcnJheXMiOltb"
        "ImJvYXJkIiwifHUxIixbMSw0LDRdXSxbInNjb3JlIiwiPGk4IixbMV1dLFsic3RlcHMiLCI8aTgiLFsxXV0sWyJ0ZXJtaW5hdGVkIiwifGIxIi"
        "xbMV1dLFsic2VlZCIsIjx1OCIsWzFdXSxbInVuZGVyIiwifHUxIixbMV1dXX0ABAIDAAAAAAAAAAAAAAIAAAAAAAAAAAABAAAAAAAAAAGYZW0V"
        "gLJsYQI="
    ),
}


def some(name, level="easy", count=1, steps=3):
    game = get_game(name)
    return game, walk(
        game, game.level(level), seeds_for("free", name, level, count), steps, legal=True
    )


def parts(data):
    """Header values and the bytes of the arrays."""
    size = struct.unpack("<I", data[6:10])[0]
    return json.loads(data[10 : 10 + size]), data[10 + size : -4]


def forged(header, body, form=2):
    """State bytes with a right checksum, whatever is in them."""
    head = (
        header if isinstance(header, bytes) else json.dumps(header).encode("utf-8", "surrogatepass")
    )
    data = b"VLMG" + struct.pack("<HI", form, len(head)) + head + body
    return data + struct.pack("<I", zlib.crc32(data)) if form == 2 else data


def answer(data):
    """The state that is read, or None where it is refused; any other exception fails the test."""
    try:
        return load_state(data)[1]
    except StateError:
        return None


@pytest.mark.parametrize("name", GAMES)
def test_a_damaged_state_is_never_another_state(name):
    game, state = some(name, "tiny" if "tiny" in get_game(name).LEVELS else "easy")
    data = state.to_bytes(game)
    assert answer(data) == state
    for bad in [*every_cut(data), *every_flip(data), *mutations(data, 1500, 7)]:
        assert bad == data or answer(bad) is None


@pytest.mark.parametrize("name", GAMES)
def test_a_forged_header_is_refused_or_says_the_same(name):
    game, state = some(name)
    header, body = parts(state.to_bytes(game))
    for form in (1, 2):
        for bad in json_mutations(header, 400, 11):
            found = answer(forged(bad, body, form))
            assert found is None or all(
                np.array_equal(value, found.arrays()[key]) for key, value in state.arrays().items()
            )
    for key in header:
        for bad in extremes():
            found = answer(forged({**header, key: bad}, body))
            assert (
                found is None
                or (key == "version" and bad == header["version"])
                or (key, bad) in (("packed", None), ("level", {}))
            )


@pytest.mark.parametrize(
    "shape",
    [
        [-1, 4, 4],
        [10**30, 4, 4],
        [1.0, 4, 4],
        [True, 4, 4],
        [1, 4],
        [1, 4, 4, 1],
        [2, 4, 4],
        [1, 2, 8],
        [float("nan"), 4, 4],
    ],
)
def test_shapes_that_are_not_those_of_the_level_are_refused(shape):
    game, state = some("2048", "normal")
    header, body = parts(state.to_bytes(game))
    header["arrays"][0][2] = shape
    for form in (1, 2):
        with pytest.raises(StateError, match="damaged state"):
            load_state(forged(header, body, form))


def test_types_and_forms_that_are_not_those_of_the_level_are_refused():
    game, state = some("2048", "normal")
    data = state.to_bytes(game)
    header, body = parts(data)
    for kind in ("V0", "zz", "|i1", "<u2", ">i8", "O", 8, None, []):
        with pytest.raises(StateError):
            load_state(
                forged(
                    {**header, "arrays": [["board", kind, [1, 4, 4]], *header["arrays"][1:]]}, body
                )
            )
    for version in (True, 1.0, "1", None, 2):
        with pytest.raises(StateError):
            load_state(forged({**header, "version": version}, body))
    for head in (
        deep_text(100_000).encode(),
        b"",
        b"null",
        b"1",
        b"[]",
        b"{}",
        b'"' + b"x" * 70_000 + b'"',
        b"\xff\xfe{}",
        b"9" * 5000,
    ):
        with pytest.raises(StateError):
            load_state(forged(head, body))
    with pytest.raises(StateError, match="header is cut off"):
        load_state(data[:6] + struct.pack("<I", 60_000) + data[10:])


@pytest.mark.parametrize("name", GAMES)
def test_values_that_no_board_can_hold_are_refused(name):
    game, state = some(name)
    names = len(game.scene(state).names)
    for bad in (
        replace(state, board=np.full_like(state.board, 255)),
        replace(
            state,
            board=np.where(
                np.arange(state.board.size).reshape(state.board.shape) == 0, names, state.board
            ).astype(np.uint8),
        ),
        replace(state, steps=state.steps - 1_000),
    ):
        with pytest.raises(StateError):
            game.from_bytes(bad.to_bytes(game))
    header, body = parts(state.to_bytes(game))
    at = sum(
        np.dtype(kind).itemsize * int(np.prod(shape)) for _, kind, shape in header["arrays"][:3]
    )
    with pytest.raises(StateError, match="terminated holds what is neither true nor false"):
        load_state(forged(header, body[:at] + b"\x02" + body[at + 1 :]))


def test_what_lies_under_the_player_has_a_name():
    game, state = some("FrozenLake")
    with pytest.raises(StateError, match="under = 200"):
        game.from_bytes(replace(state, under=np.full_like(state.under, 200)).to_bytes(game))


@pytest.mark.parametrize("name", FORMAT_1)
def test_states_of_the_first_format_are_still_read(name):
    game, state = read_state_text(FORMAT_1[name])
    assert (game.name, state.level.max_steps, len(state), int(state.steps[0])) == (name, 30, 1, 1)
    assert {"2048": 4, "FrozenLake": 0}[name] == state.score[0]
    assert state_text(game, state) != FORMAT_1[name]
    assert is_state(FORMAT_1[name], game, state), "a trace of that time goes on"
    assert not is_state(FORMAT_1[name], game, replace(state, score=state.score + 1))
    assert not is_state("no text of a state", game, state)


def test_big_batches_are_packed_and_come_back():
    game, state = some("2048", "normal", 2000, 0)
    data = state.to_bytes(game)
    assert "packed" in parts(data)[0]
    assert len(data) < state.board.nbytes
    assert load_state(data)[1] == state
    header, body = parts(data)
    for packed in (header["packed"] - 1, header["packed"] + 1, 0, -1, True, 1e5, 10**400):
        with pytest.raises(StateError):
            load_state(forged({**header, "packed": packed}, body))
    for other in (
        body + b"x",
        body[:-5],
        zlib.compress(zlib.decompress(body) + b"x"),
        zlib.compress(b""),
        b"",
    ):
        with pytest.raises(StateError):
            load_state(forged(header, other))


BOMB = """
import resource, struct, sys, zlib, json
from vlmgym.core import StateError, seeds_for
from vlmgym.games import GAMES, load_state
game = GAMES["2048"]
load_state(game.reset(game.level("normal"), seeds_for("free", "2048", "normal", 2)).to_bytes(game))
data = sys.stdin.buffer.read()
resource.setrlimit(resource.RLIMIT_DATA, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + (512 << 20),) * 2)
try:
    load_state(data)
except StateError as error:
    print("refused:", error)
"""


def test_a_bomb_is_refused_before_it_goes_off():
    """A megabyte that would be two gigabytes, in a process that may not have them."""
    header, _ = parts(some("2048", "normal")[1].to_bytes(get_game("2048")))
    rows, packer = 50_000_000, zlib.compressobj(1)
    for array in header["arrays"]:
        array[2][0] = rows
    body = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(1024)), packer.flush()])
    size = rows * (16 + 8 + 8 + 1 + 8)
    for packed, rows_ in ((size, rows), (41, 1)):
        for array in header["arrays"]:
            array[2][0] = rows_
        data = forged({**header, "packed": packed}, body)
        done = subprocess.run(
            [sys.executable, "-c", BOMB], input=data, capture_output=True, check=False
        )
        assert done.stdout.startswith(b"refused: damaged state"), done.stderr.decode()[-2000:]


# ---- arrays that are no state's
@pytest.mark.parametrize("name", GAMES)
def test_arrays_of_another_size_or_type_never_become_a_state(name):
    game, state = some(name, "normal", 3)
    for key, array in state.arrays().items():
        bad = [
            array[:2],
            np.repeat(array, 2, axis=0),
            array[None],
            array.tolist(),
            None,
            array.astype(np.float32),
        ]
        if array.ndim == 3:
            bad += [array[:, 1:], array[:, :, :-1], np.pad(array, ((0, 0), (0, 1), (0, 1)))]
        for one in bad:
            with pytest.raises(StateError):
                state.with_arrays({key: one})
            with pytest.raises(StateError):
                replace(state, **{key: one})
    size = state.level.rows, state.level.cols
    of_other_sizes = [level for level in game.LEVELS.values() if (level.rows, level.cols) != size]
    assert of_other_sizes
    for level in of_other_sizes:
        with pytest.raises(StateError):
            replace(state, level=level)
    with pytest.raises(StateError):
        replace(state, level="normal")
    with pytest.raises(StateError):
        game.start(game.level("normal"), state.board[:, 1:], **_extra(state))


@pytest.mark.parametrize("name", GAMES)
def test_a_game_refuses_the_states_of_others_and_whatever_is_none(name):
    game = get_game(name)
    _, other = some("Swap" if name != "Swap" else "2048")
    actions = np.zeros(len(other), np.int64)
    for bad in (other, None, "a state", other.board):
        asked = {
            "step": (actions,),
            "branch": (actions[:, None],),
            "explain": (0, 0),
            "candidates": (0,),
        }
        for method in (*asked, "legal", "success_mask", "draw_legal", "oracle", "scene"):
            with pytest.raises(StateError, match=f"{name} allows a State"):
                getattr(game, method)(bad, *asked.get(method, ()))


@pytest.mark.parametrize("name", GAMES)
def test_a_level_may_be_named_wherever_one_is_taken(name):
    game, seeds = get_game(name), seeds_for("free", name, "easy", 2)
    level = game.level("easy")
    assert (
        game.reset("easy", seeds)
        == game.reset(level, seeds)
        == game.reset(level=level, seeds=seeds)
    )
    symbols = game.scene(game.reset("easy", seeds)).symbols
    assert game.from_symbols("easy", symbols) == game.from_symbols(level, symbols)
    assert (
        game.start(
            "easy", symbols.astype(np.uint8), **_extra(game.from_symbols(level, symbols))
        ).level
        == level
    )
    assert game.n_actions("easy") == game.n_actions(level)
    assert game.rules("easy") == game.rules(level)
    assert game.answer_format("easy") == game.answer_format(level)
    assert game.decode("easy", game.encode("easy", 0)).action == 0
    assert game.sample("easy").names == game.sample(level).names
    other = get_game("Swap" if name != "Swap" else "2048").level("easy")
    asked = {
        "reset": (seeds,),
        "from_symbols": (symbols,),
        "would_succeed": (symbols, np.zeros(2, np.int64)),
        "start": (symbols,),
    }
    asked |= {
        "n_actions": (),
        "rules": (),
        "answer_format": (),
        "encode": (0,),
        "decode": ("0",),
        "sample": (),
    }
    for bad in ("nope", 7, None, 1.5, other):
        for method, rest in asked.items():
            with pytest.raises(ConfigError, match=f"level of {name}"):
                getattr(game, method)(bad, *rest)


def _extra(state):
    """The arrays that only this game has."""
    return {
        key: array
        for key, array in state.arrays().items()
        if key not in ("board", "score", "steps", "terminated", "seed")
    }


@pytest.mark.parametrize("name", GAMES)
def test_a_description_of_another_shape_or_without_names_is_refused(name):
    game, state = some(name, "normal", 2)
    level, symbols, names = state.level, game.scene(state).symbols, len(game.scene(state).names)
    actions = np.zeros(2, np.int64)
    for bad in (
        symbols[:, 1:],
        symbols[0],
        symbols[None],
        np.full_like(symbols, -1),
        np.full_like(symbols, names),
        symbols / 2,
        "x",
    ):
        with pytest.raises(StateError, match="symbols"):
            game.from_symbols(level, bad)
        with pytest.raises(StateError, match="symbols"):
            game.would_succeed(level, bad, actions)


# ---- how they are shown
@pytest.fixture
def only_bundled(monkeypatch):
    """As in a new process: other tests bring games of their own, some with the states and levels of
    ours.
    """
    monkeypatch.setattr("vlmgym.games.registry._given", {})


def test_games_and_states_say_what_they_are(only_bundled):
    game, state = some("2048", "easy", 2, 0)
    assert repr(game) == "Game 2048 (version 1)"
    assert repr(state) == "<State: 2 games of 2048 easy, turn 0, score 0, 0 over>"
    assert str(state).split("\n\n") == [repr(state), *game.scene(state).texts()]
    assert str(state.repeat(500)) == repr(state.repeat(500))
    assert repr(state[:0]) == str(state[:0]) == "<State: 0 games of 2048 easy>"
    played = concat([state[:1], game.step(state[:1], game.draw_legal(state[:1]))[0]])
    assert "turn 0 to 1, score" in repr(played)
    other = game.reset(game.level("easy", rows=6), [1])
    assert repr(other) == "<State: 1 game of 2048 easy:rows=6, turn 0, score 0, 0 over>"
    mines_game, mines = some("Minesweeper")
    assert repr(mines).startswith("<StateMinesweeper: 1 game of Minesweeper ")
    assert str(mines).endswith(mines_game.scene(mines).texts()[0]), (
        "what is to be seen, and not where the mines are"
    )


@pytest.mark.parametrize("name", GAMES)
def test_a_notebook_shows_the_first_boards_of_a_state(name, only_bundled):
    game = get_game(name)
    state = game.reset("easy", range(30))
    one, five, all_ = (Image.open(io.BytesIO(state[:n]._repr_png_())) for n in (1, 5, 30))
    assert five.size == all_.size == (4 * one.width, 2 * one.height)
    frames = render(game, state[:8], "clean")
    assert (np.asarray(one) == frames[0]).all()
    assert (np.asarray(all_)[one.height :, one.width : 2 * one.width] == frames[5]).all()
    assert state[:0]._repr_png_() is None


def test_a_state_of_a_game_that_is_not_known_is_shown_all_the_same():
    class Level(core.Level):
        pass

    zero = np.zeros(1, np.int64)
    state = core.State(
        Level(), np.zeros((1, 2, 2), np.uint8), zero, zero, zero > 0, zero.astype(np.uint64)
    )
    assert repr(state) == str(state)
    assert "1 game of " in repr(state)
    assert state._repr_png_() is None


def test_boards_are_shown_side_by_side_in_a_notebook():
    game, state = some("Swap", "easy", 3, 0)
    one, three = show(game, state[0]), show(game, state)
    assert three._repr_png_().startswith(b"\x89PNG")
    assert three.size == (3 * one.width, one.height)
