"""Lines of stones by plain Python: the rules and a search, for the tests of TicTacToe and
ConnectFour.

A board is a tuple of rows; a row is a text of ``.`` and the signs of both sides, ``X`` and ``O``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from vlmgym.core import Game, State

SIGNS = ".XO"
Lines = tuple[str, ...]


def described(game: Game, *boards: Lines, level: str = "easy", **fields: object) -> State:
    """Games that look like these boards."""
    symbols = np.array([[[SIGNS.index(sign) for sign in row] for row in board] for board in boards])
    size = {"rows": symbols.shape[1], "cols": symbols.shape[2], "opening": 0}
    return game.from_symbols(game.level(level, **{**size, **fields}), symbols.astype(np.int16))


def lines_of(state: State, row: int = 0) -> Lines:
    return tuple("".join(SIGNS[value] for value in line) for line in state.board[row].tolist())


@lru_cache(100_000)
def has_line(board: Lines, sign: str, length: int) -> bool:
    rows, cols = len(board), len(board[0])
    for r in range(rows):
        for c in range(cols):
            for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(r + i * dr, c + i * dc) for i in range(length)]
                if all(0 <= i < rows and 0 <= j < cols and board[i][j] == sign for i, j in cells):
                    return True
    return False


def cells_to_fill(board: Lines, gravity: bool) -> dict[int, tuple[int, int]]:
    """The cell that each legal action fills."""
    rows, cols = len(board), len(board[0])
    if not gravity:
        return {
            r * cols + c: (r, c) for r in range(rows) for c in range(cols) if board[r][c] == "."
        }
    cells = {}
    for c in range(cols):
        height = next((r for r in range(rows) if board[r][c] != "."), rows)
        if height:
            cells[c] = (height - 1, c)
    return cells


def filled(board: Lines, cell: tuple[int, int], sign: str) -> Lines:
    r, c = cell
    return (*board[:r], board[r][:c] + sign + board[r][c + 1 :], *board[r + 1 :])


def result(board: Lines, length: int, gravity: bool) -> str:
    """Who has won, ``=`` of a draw, or "" where the game goes on."""
    winners = [sign for sign in "XO" if has_line(board, sign, length)]
    if winners:
        return winners[0] if len(winners) == 1 else "="
    return "" if cells_to_fill(board, gravity) else "="


@lru_cache(1_000_000)
def best(board: Lines, sign: str, length: int, gravity: bool, depth: int) -> tuple[int, int]:
    """Outcome for who is to move (1, 0, -1), and after how many stones, if both play best for so
    many more stones: won as soon, or lost as late as can be.
    """
    cells = cells_to_fill(board, gravity)
    if not depth or not cells:
        return 0, 0
    found = []
    for cell in cells.values():
        found.append(after(board, cell, sign, length, gravity, depth))
    return max(found, key=lambda end: (end[0], -end[0] * end[1]))


def after(
    board: Lines, cell: tuple[int, int], sign: str, length: int, gravity: bool, depth: int
) -> tuple[int, int]:
    """The same of one stone."""
    new = filled(board, cell, sign)
    if has_line(new, sign, length):
        return 1, 1
    outcome, stones = best(new, "OX"[sign == "O"], length, gravity, depth - 1)
    return -outcome, stones + 1


def values(
    board: Lines, sign: str, length: int, gravity: bool, depth: int = 99, near: int = 4
) -> dict[int, float]:
    """What the oracle must say of each legal action."""
    of_actions = {}
    for action, cell in cells_to_fill(board, gravity).items():
        outcome, stones = after(board, cell, sign, length, gravity, depth)
        size = 1 - 0.01 * stones if stones <= near else 0.5
        of_actions[action] = outcome * size
    return of_actions


def oracle_of(game: Game, state: State, row: int = 0) -> dict[int, float]:
    value = game.oracle(state[row])[0]
    return {int(a): float(value[a]) for a in np.flatnonzero(~np.isnan(value))}


def assert_values(found: dict[int, float], expected: dict[int, float], board: Lines) -> None:
    assert found.keys() == expected.keys(), board
    for action, value in expected.items():
        assert abs(found[action] - value) < 1e-9, (board, action, found[action], value)


def successes(game: Game, state: State, row: int = 0) -> set[str]:
    """The good actions as answers write them."""
    good = np.flatnonzero(game.success_mask(state[row])[0])
    return {game.encode(state.level, int(action)) for action in good}


def mean_points(game, state, wins_at_once):
    """Points a game of a random player, or of one that wins where it can at once."""
    while not state.ended.all():
        actions = game.draw_legal(state, 7)
        if wins_at_once:
            side = game.side(state.level)
            wins = game.legal(state) & ~game.may_move(state.level, state.board, side, quiet=True)
            actions = np.where(wins.any(axis=1), wins.argmax(axis=1), actions)
        state, _ = game.step(state, actions)
    return game.points(state).mean()


def outcomes(board: Lines, sign: str, length: int) -> dict[int, int]:
    """Whether a stone of the side to move on each free cell wins, draws or loses (1, 0, -1) if both
    sides play best to the end, without gravity.
    """
    rows, cols = len(board), len(board[0])
    lines = []
    for r in range(rows):
        for c in range(cols):
            for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
                cells = [(r + i * dr, c + i * dc) for i in range(length)]
                if all(0 <= i < rows and 0 <= j < cols for i, j in cells):
                    lines.append(sum(1 << (i * cols + j) for i, j in cells))
    through = [[line for line in lines if line >> cell & 1] for cell in range(rows * cols)]
    order = sorted(range(rows * cols), key=lambda cell: -len(through[cell]))
    known: dict[tuple[int, int, int], bool] = {}

    def completes(stones: int, cell: int) -> bool:
        stones |= 1 << cell
        return any(stones & line == line for line in through[cell])

    def is_at_least(own: int, other: int, least: int) -> bool:
        """Whether the side to move, ``own``, gets so much."""
        key = (own, other, least)
        if key not in known:
            known[key] = search(own, other, least)
        return known[key]

    def search(own: int, other: int, least: int) -> bool:
        free = [cell for cell in order if not (own | other) >> cell & 1]
        if not free:
            return least < 1
        if any(completes(own, cell) for cell in free):
            return True
        if least == 1 and all(line & other for line in lines):
            return False
        if least == 0 and all(line & own for line in lines):
            return True
        forced = [cell for cell in free if completes(other, cell)]
        return any(not is_at_least(other, own | 1 << cell, 1 - least) for cell in forced or free)

    stones = {
        name: sum(1 << k for k, each in enumerate("".join(board)) if each == name) for name in "XO"
    }
    own, other = stones[sign], stones["OX"[sign == "O"]]
    found = {}
    for cell in cells_to_fill(board, False):
        if completes(own, cell):
            found[cell] = 1
            continue
        after = own | 1 << cell
        loses = is_at_least(other, after, 1)
        wins = not loses and not is_at_least(other, after, 0)
        found[cell] = wins - loses
    return found
