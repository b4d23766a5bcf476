"""Sokoban: the kernels agree with plain lists, the oracle with a plain search, and a state is a
value.
"""

from __future__ import annotations

from collections import deque
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmgym.core import DEAD, NO_ACTION, ConfigError, State, seeds_for
from vlmgym.games.sokoban import NAMES, LevelSokoban, Sokoban
from vlmgym.games.solvers.boxes import MAX_POSITIONS

GAME = Sokoban()
SIGNS = "_#.$*@+"  # floor, wall, target, box, box on target, player, player on target
STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))
Lines = tuple[str, ...]


# ---- plain reference
def moved(lines: Lines, move: int) -> tuple[Lines, int] | None:
    """The room after a move, and the gain; None where nothing moves."""
    cells = {(r, c): sign for r, line in enumerate(lines) for c, sign in enumerate(line)}
    places = [at for at, sign in cells.items() if sign in "@+"]
    if not places:
        return None
    (r, c), (dr, dc) = places[0], STEPS[move]
    ahead, beyond, gain = (r + dr, c + dc), (r + 2 * dr, c + 2 * dc), 0
    if cells.get(ahead, "#") == "#":
        return None
    if cells[ahead] in "$*":
        if cells.get(beyond, "#") not in "_.":
            return None
        gain = (cells[beyond] == ".") - (cells[ahead] == "*")
        cells[beyond] = "*" if cells[beyond] == "." else "$"
    cells[(r, c)] = "." if cells[(r, c)] == "+" else "_"
    cells[ahead] = "+" if cells[ahead] in ".*" else "@"
    return tuple(
        "".join(cells[i, j] for j in range(len(lines[0]))) for i in range(len(lines))
    ), gain


def solved(lines: Lines) -> bool:
    return "$" not in "".join(lines)


def shortest(lines: Lines) -> int | None:
    """Moves of a shortest solution by a plain breadth-first search."""
    found, queue = {lines: 0}, deque([lines])
    while queue:
        here = queue.popleft()
        if solved(here):
            return found[here]
        for move in range(4):
            new = moved(here, move)
            if new is not None and new[0] not in found:
                found[new[0]] = found[here] + 1
                queue.append(new[0])
    return None


def lines_of(state: State, row: int = 0) -> Lines:
    return tuple("".join(SIGNS[v] for v in line) for line in state.board[row].tolist())


def described(*rooms: Lines, **overrides: object) -> State:
    symbols = np.array(
        [[[SIGNS.index(sign) for sign in line] for line in lines] for lines in rooms], np.int16
    )
    level = GAME.level("easy", rows=symbols.shape[1], cols=symbols.shape[2], walls=0, **overrides)
    return GAME.from_symbols(level, symbols)


def deals(level: str, count: int = 200, **overrides: object) -> State:
    return GAME.reset(GAME.level(level, **overrides), seeds_for("free", GAME.name, level, count))


def expected_values(lines: Lines) -> list[float | None]:
    """What the oracle must say of a room with a player and at most as many boxes as targets."""
    out: list[float | None] = []
    for move in range(4):
        new = None if solved(lines) else moved(lines, move)
        left = None if new is None else shortest(new[0])
        out.append(None if new is None else DEAD if left is None else -1.0 - left)
    return out


def values(state: State, row: int = 0) -> list[float | None]:
    return [None if np.isnan(v) else v for v in GAME.oracle(state)[row].tolist()]


@st.composite
def rooms(draw, max_boxes=40, max_side=7):
    """Any room with one player at most, walls around or not."""
    rows, cols = draw(st.integers(4, max_side)), draw(st.integers(5, max_side))
    signs = list(draw(st.text("__##.$*", min_size=rows * cols, max_size=rows * cols)))
    for k in [k for k, sign in enumerate(signs) if sign in "$*"][max_boxes:]:
        signs[k] = "."
    if draw(st.integers(0, 9)):
        signs[draw(st.integers(0, rows * cols - 1))] = draw(st.sampled_from("@+"))
    return tuple("".join(signs[r * cols : (r + 1) * cols]) for r in range(rows))


# ---- moves
@settings(max_examples=200)
@given(rooms())
def test_step_agrees_with_the_reference_on_any_room(lines):
    state = described(lines, max_steps=0)
    before, over = state.to_bytes(GAME), solved(lines)
    assert lines_of(state) == lines
    assert state.terminated[0] == over
    for move in range(-1, 4):
        after, outcome = GAME.step(state, np.array([move]))
        new = None if move < 0 or over else moved(lines, move)
        assert lines_of(after) == (lines if new is None else new[0])
        assert outcome.changed[0] == (new is not None)
        assert outcome.gain[0] == after.score[0] == (0 if new is None else new[1])
        assert (
            after.terminated[0]
            == outcome.terminated[0]
            == (over or (new is not None and solved(new[0])))
        )
        assert after.steps[0] == (not over)
        if move >= 0:
            assert GAME.legal(state)[0, move] == (new is not None)
    assert state.to_bytes(GAME) == before


def test_boxes_gain_on_targets_and_lose_off_them():
    for before, after, gain in [
        ("#@$.$#", "#_@*$#", 1),
        ("#@*_$#", "#_+$$#", -1),
        ("#@*.$#", "#_+*$#", 0),
        ("#@$$.#", "#@$$.#", 0),
    ]:
        state, outcome = GAME.step(described(("######", before, "######", "######")), np.array([1]))
        assert (lines_of(state)[1], outcome.gain[0], state.score[0]) == (after, gain, gain)
        assert outcome.changed[0] == (before != after)


# ---- oracle
@pytest.mark.parametrize(("name", "count"), [("tiny", 40), ("easy", 25), ("normal", 5)])
def test_oracle_agrees_with_a_plain_search(name, count):
    state = deals(name, count)
    rng = np.random.default_rng(1)
    for _ in range(3):
        for row in range(count):
            if not state.ended[row]:
                assert values(state, row) == expected_values(lines_of(state, row))
        state, _ = GAME.step(state, rng.integers(0, 4, count))


@settings(max_examples=60)
@given(rooms(max_boxes=2, max_side=5))
def test_oracle_agrees_with_a_plain_search_on_any_room(lines):
    text = "".join(lines)
    state = described(lines)
    boxes, targets = (
        text.count("$") + text.count("*"),
        text.count(".") + text.count("*") + text.count("+"),
    )
    if boxes <= targets:
        assert values(state) == expected_values(lines)
    else:
        assert all(v in (None, DEAD) for v in values(state))


def test_a_box_in_a_corner_is_dead():
    state = described(("######", "#$_@.#", "#____#", "#____#", "######"))
    assert values(state) == [None, DEAD, DEAD, DEAD]
    assert not GAME.success_mask(state).any()
    assert not GAME.success(state, np.array([1]), GAME.step(state, np.array([1]))[1]).any()
    assert GAME.explain(state, 0, 3) == "3 left dead"
    assert not GAME.step(state, np.array([1]))[0].terminated.any(), "a dead room goes on"
    state = described(("######", "#____#", "#_$@.#", "#____#", "######"))
    assert GAME.oracle(state)[0, 3] == DEAD, "against the left wall, and the target is elsewhere"
    assert GAME.explain(state, 0, 3) == "3 left box to (2, 1) dead"
    assert GAME.success_mask(state)[0].tolist() == [True, False, True, False]


def test_rooms_beyond_the_search_are_dead():
    wide = ("_" * 12,) * 11
    five = described(("@$.$.$.$.$._", *wide))
    assert values(five) == [None, DEAD, DEAD, None], "five boxes"
    four = described(("@_$.$.$.$._.", *wide))
    assert values(four) == [None, DEAD, DEAD, None], "too many positions"


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_deals_are_solved_by_the_oracle_in_as_many_moves_as_it_says(name):
    state = deals(name)
    lv = state.level
    assert not state.ended.any()
    board, best = state.board, -np.nanmax(GAME.oracle(state), axis=1)
    assert (best >= 1).all()
    assert (best <= lv.max_moves).all()
    assert (best >= lv.min_moves).mean() > 0.95
    assert lv.max_moves <= lv.max_steps
    assert ((board == 3).sum(axis=(1, 2)) == lv.boxes).all(), "no box starts on a target"
    assert (np.isin(board, (2, 6)).sum(axis=(1, 2)) == lv.boxes).all()
    assert ((board >= 5).sum(axis=(1, 2)) == 1).all()
    ring = np.ones(board.shape[1:], bool)
    ring[1:-1, 1:-1] = False
    assert (board[:, ring] == 1).all()
    assert len(np.unique(board, axis=0)) > (60 if name == "tiny" else 190)
    if name == "hard":
        state, best = state[:30], best[:30]
    for turn in range(int(best.max())):
        value, alive = GAME.oracle(state), ~state.ended
        assert np.array_equal(-np.nanmax(value[alive], axis=1), best[alive] - turn)
        moves = np.where(alive, np.nan_to_num(value, nan=2 * DEAD).argmax(axis=1), NO_ACTION)
        state, outcome = GAME.step(state, moves)
        assert np.array_equal(outcome.terminated, best <= turn + 1)
    assert state.terminated.all()
    assert np.array_equal(state.steps, best)
    assert (state.score == lv.boxes).all()


def test_rooms_are_connected():
    state = deals("hard", 50)
    for row in range(50):
        lines = lines_of(state, row)
        free = {
            (r, c) for r, line in enumerate(lines) for c, sign in enumerate(line) if sign != "#"
        }
        seen, todo = set(), [min(free)]
        while todo:
            r, c = todo.pop()
            if (r, c) in free - seen:
                seen.add((r, c))
                todo += [(r + dr, c + dc) for dr, dc in STEPS]
        assert seen == free


def test_the_smallest_and_fullest_rooms_can_be_dealt():
    for kw in (
        {"rows": 4, "cols": 5},
        {"rows": 5, "cols": 4},
        {"rows": 5, "walls": 3},
        {"rows": 6, "cols": 7, "boxes": 4},
    ):
        state = deals("tiny", 50, **kw)
        assert not state.terminated.any()
        assert (GAME.oracle(state) > DEAD).any(axis=1).all()


# ---- values, texts
def test_ended_rows_absorb():
    over = described(*[("#####", "#@_*#", "#___#", "#####")] * 4)
    cut = GAME.step(deals("easy", 4, max_steps=1), np.full(4, NO_ACTION))[0]
    for state in (over, cut):
        after, outcome = GAME.step(state, np.arange(4))
        assert after == state
        assert not outcome.gain.any()
        assert not GAME.legal(state).any()
        assert not GAME.success_mask(state).any()
        assert np.isnan(GAME.oracle(state)).all()
        assert GAME.explain(state, 0, 1) == "1 right no"


def test_restart_deals_afresh():
    state = described(("######", "#@$.#_", "#____#", "######"), restart=True)
    after, outcome = GAME.step(state, np.array([1]))
    assert outcome.gain[0] == after.score[0] == 1
    assert not after.terminated[0]
    assert "$" in "".join(lines_of(after))


@settings(max_examples=100)
@given(st.data())
def test_any_symbols_make_a_state(data):
    rows, cols = data.draw(st.integers(4, 6)), data.draw(st.integers(5, 6))
    text = data.draw(st.text(SIGNS, min_size=rows * cols, max_size=rows * cols))
    state = described(tuple(text[r * cols : (r + 1) * cols] for r in range(rows)))
    first = next((k for k, sign in enumerate(text) if sign in "@+"), len(text))
    kept = text[: first + 1] + text[first + 1 :].replace("@", "_").replace("+", ".")
    assert "".join(lines_of(state)) == kept, "of several players the first stays"
    legal = GAME.legal(state)
    assert np.array_equal(~np.isnan(GAME.oracle(state)), legal)
    assert first < len(text) or not legal.any()
    assert not (GAME.success_mask(state) & ~legal).any()
    for move in range(4):
        assert ";" not in GAME.explain(state, 0, move)
        GAME.would_succeed(state.level, GAME.scene(state).symbols, np.array([move]))


@pytest.mark.parametrize("name", GAME.LEVELS)
def test_scene_and_symbols_are_inverse(name):
    state = deals(name, 20)
    for _ in range(5):
        scene = GAME.scene(state)
        assert (scene.names, scene.kind) == (NAMES, "sprite")
        twin = GAME.from_symbols(state.level, scene.symbols)
        assert np.array_equal(GAME.scene(twin).symbols, scene.symbols)
        assert np.array_equal(GAME.legal(twin), GAME.legal(state))
        state, _ = GAME.step(state, np.nan_to_num(GAME.oracle(state), nan=2 * DEAD).argmax(axis=1))
    assert len(GAME.reset(state.level, np.zeros(0, np.uint64))) == 0
    assert GAME.from_symbols(state.level, scene.symbols[:0]).board.shape == (
        0,
        *scene.symbols.shape[1:],
    )


def test_answers_and_explanations():
    level = GAME.level("easy")
    assert [GAME.decode(level, GAME.encode(level, a)).action for a in range(4)] == [0, 1, 2, 3]
    assert GAME.decode(level, "4").problem == "out_of_range"
    assert GAME.decode(level, "up").problem == "not_a_move"
    state = described(("######", "#@$_.#", "#$___#", "#.___#", "######"))
    assert [GAME.explain(state, 0, a) for a in range(4)] == [
        "0 up wall",
        "1 right box to (1, 3) 4 to go",
        "2 down box to (3, 1) 3 to go",
        "3 left wall",
    ]
    assert GAME.candidates(state, 0) == [1, 2]
    stuck = described(("######", "#@$$.#", "#$___#", "#.___#", "######"))
    assert GAME.explain(stuck, 0, 1) == "1 right box stuck"
    assert "room of 6 rows and 6 columns" in GAME.rules(level)
    assert all(name in GAME.rules(level) for name in NAMES)
    assert "0 = up" in GAME.answer_format(level)


def test_bad_levels_name_the_field():
    for bad, field in [
        ({"rows": 3}, "rows"),
        ({"cols": 13}, "cols"),
        ({"rows": 4, "cols": 4, "boxes": 1, "walls": 0}, "cols"),
        ({"boxes": 5}, "boxes"),
        ({"rows": 12, "cols": 12, "boxes": 4}, "boxes"),
        ({"rows": 5, "cols": 5, "boxes": 2, "walls": 0}, "walls"),
        ({"walls": 20}, "walls"),
        ({"min_moves": 30}, "min_moves"),
    ]:
        with pytest.raises(ConfigError, match=f"LevelSokoban.{field} = "):
            LevelSokoban(**bad)
    assert comb(36, 4) * 36 <= MAX_POSITIONS, "8x8 rooms may have four boxes"
