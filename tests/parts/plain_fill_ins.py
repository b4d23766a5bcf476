"""Fill-in puzzles in plain lists: what a turn does, solutions one by one, and how a beginner fills
a board.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from vlmgym.core import DEAD, State
from vlmgym.games.parts.fill_ins import FillIn
from vlmgym.games.solvers.fill_ins import left_by_a_look

Grid = list[list[int]]
"""Values from 1, 0 = open."""
Check = Callable[[Grid, int, int], bool]
"""Whether a value just put on a row and column breaks no rule."""


def grid_of(text: str) -> Grid:
    """A grid from digits, with dots for open cells, its rows apart by blanks or not."""
    digits = "".join(text.split())
    side = round(len(digits) ** 0.5)
    values = [0 if digit == "." else int(digit) for digit in digits]
    return [values[start : start + side] for start in range(0, len(values), side)]


def solutions(grid: Grid, values: int, fits: Check) -> Iterator[Grid]:
    """All ways to fill a grid, by trying each value on the first open cell."""
    for row, line in enumerate(grid):
        for column, value in enumerate(line):
            if value and not fits(grid, row, column):
                return
    yield from _filled(grid, values, fits)


def _filled(grid: Grid, values: int, fits: Check) -> Iterator[Grid]:
    places = [(row, line.index(0)) for row, line in enumerate(grid) if 0 in line]
    if not places:
        yield [list(line) for line in grid]
        return
    row, column = places[0]
    for value in range(1, values + 1):
        grid[row][column] = value
        if fits(grid, row, column):
            yield from _filled(grid, values, fits)
    grid[row][column] = 0


def in_common(grid: Grid, values: int, fits: Check) -> Grid:
    """The values that all solutions share; zeros elsewhere, and where there is none."""
    found = np.array(list(solutions(grid, values, fits)) or [np.zeros_like(grid)])
    return np.where((found == found[0]).all(axis=0), found[0], 0).tolist()


def turn(board: Grid, solution: Grid, values: int, action: int) -> tuple[Grid, int, bool]:
    """A board of symbols after a turn, what is gained, and whether all cells are right."""
    board = [list(line) for line in board]
    gain = 0
    if action >= 0:
        cell, value = divmod(action, values)
        row, column = divmod(cell, len(board))
        if not 1 <= board[row][column] <= values:
            gain -= board[row][column] == values + solution[row][column]
            board[row][column] = values + 1 + value
            gain += value + 1 == solution[row][column]
    held = [[symbol - values if symbol > values else symbol for symbol in line] for line in board]
    return board, gain, held == solution


def worth(board: Grid, solution: Grid, values: int) -> list[float | None]:
    """What the oracle must say of a board with one solution, from plain turns."""
    worths = list[float | None]()
    for action in range(len(board) ** 2 * values):
        after, _, solved = turn(board, solution, values, action)
        if after == board:
            worths.append(None)
            continue
        worths.append(-1.0 - _to_go(after, solution, values) if not solved else -1.0)
    return worths


def _to_go(board: Grid, solution: Grid, values: int) -> int:
    """Turns to the end by a search level by level, over the cells that are not given."""
    seen = {str(board)}
    level = [board]
    for turns in range(1, 20):
        after_turn = list[Grid]()
        for here in level:
            for action in range(len(here) ** 2 * values):
                after, _, solved = turn(here, solution, values, action)
                if solved:
                    return turns
                if str(after) not in seen:
                    seen.add(str(after))
                    after_turn.append(after)
        level = after_turn
    raise AssertionError("no end in sight")


def oracle_of(game: FillIn, state: State, row: int = 0) -> list[float | None]:
    """The oracle's values, None where an action is not legal."""
    values = game.oracle(state)[row].tolist()
    assert all(value != value or value <= -1 or value == DEAD for value in values)
    return [None if value != value else value for value in values]


def filled_by_beginner(game: FillIn, state: State, row: int) -> float:
    """The share of cells that a beginner fills rightly, who always takes the cell with the fewest
    values that are not ruled out at once, and the least of these.
    """
    rules = game.rules_of(state.level.rows)
    board = np.where(state.board[row] <= rules.values, state.board[row], 0).astype(np.uint8)
    open_cells = np.flatnonzero(board == 0).tolist()
    right = 0
    while blank := np.flatnonzero(board == 0).tolist():
        left = left_by_a_look(board, rules, False)
        cell = min(blank, key=lambda cell: int(left[cell]).bit_count() or 99)
        mask = int(left[cell]) or 1
        board.flat[cell] = (mask & -mask).bit_length()
        right += board.flat[cell] == state.solution[row].flat[cell]
    return right / len(open_cells)


def random_success(game: FillIn, state: State, turns: int) -> float:
    """The share of turns of random legal play that are good."""
    good = 0
    played = 0
    for _ in range(turns):
        played += int((~state.ended).sum())
        actions = game.draw_legal(state)
        after, outcome = game.step(state, actions)
        good += int(game.success(state, actions, outcome).sum())
        state = after
    return good / played


def play_along(game: FillIn, state: State, turns: int) -> None:
    """Play random, legal and good turns beside the plain reference."""
    rng = np.random.default_rng(3)
    games = len(state)
    values = game.rules_of(state.level.rows).values
    for number in range(turns):
        legal = game.legal(state)
        actions = rng.integers(-1, game.n_actions(state.level), games)
        actions[: games // 2] = game.draw_legal(state, number)[: games // 2]
        if number % 2:
            actions[: games // 4] = game.success_mask(state)[: games // 4].argmax(axis=1)
        after, outcome = game.step(state, actions)
        for row in range(games):
            board, solution = state.board[row].tolist(), state.solution[row].tolist()
            if state.ended[row]:
                assert after[row] == state[row]
                continue
            expected, gain, solved = turn(board, solution, values, int(actions[row]))
            assert after.board[row].tolist() == expected
            assert (outcome.gain[row], after.terminated[row]) == (gain, solved)
            assert outcome.changed[row] == (expected != board)
            if actions[row] >= 0:
                assert legal[row, actions[row]] == (expected != board)
                is_good = game.success(state, actions, outcome)[row]
                assert is_good == (gain > 0) == game.success_mask(state)[row, actions[row]]
        state = after
