"""What a careful player thinks aloud, place by place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD, NO_ACTION
from vlmgym.games.parts.action_texts import write_cell, write_pair
from vlmgym.games.parts.actions import STEPS
from vlmgym.games.parts.habits import CAREFUL, Cell, Habit


def say_moves_left(value: float, words: str = "to go", none: str = "dead") -> str:
    """What is left after a move, from its value: minus the moves of a shortest solution that begins
    with it. Such as ``"7 to go"`` of -8; ``dead`` where there is none.
    """
    return none if value <= DEAD else f"{-1 - int(value)} {words}"


def seek_line(
    board: NDArray[np.uint8], names: Sequence[str], line: int, habit: Habit = CAREFUL
) -> tuple[str, str]:
    """Look for a swap of neighbours that makes a line, at each place where one could be, rows
    before columns.

    Args:
        board: ``(rows, cols)``.
        names: the text of each value.
        line: equal tiles that make a line.
        habit: of who looks.

    Returns:
        What was looked at, joined by ``"; "``, and the two cells of the swap as text; "" where
        there is none.
    """
    thoughts = list[str]()
    for cells in _lines(board, line, habit):
        words, swap = _complete(board, names, cells)
        thoughts.append(" ".join(words))
        if swap:
            return "; ".join(thoughts), swap
    return "; ".join(thoughts), ""


def _lines(board: NDArray[np.uint8], length: int, habit: Habit) -> list[list[Cell]]:
    """The cells of every place where a line could be and is looked for, rows before columns."""
    rows, cols = board.shape
    along_rows = [(row, column) for row in range(rows) for column in range(cols - length + 1)]
    along_columns = [(row, column) for row in range(rows - length + 1) for column in range(cols)]
    lines = list[list[Cell]]()
    for row, column in habit.in_order(along_rows):
        lines.append([(row, column + index) for index in range(length)])
    if habit.only_near:
        return lines
    for row, column in habit.in_order(along_columns):
        lines.append([(row + index, column) for index in range(length)])
    return lines


def _complete(
    board: NDArray[np.uint8], names: Sequence[str], cells: list[Cell]
) -> tuple[list[str], str]:
    """The tiles of a place, and the swap that makes a line of it."""
    kinds = [int(board[cell]) for cell in cells]
    words = list[str]()
    for cell, kind in zip(cells, kinds, strict=True):
        words += [write_cell(*cell), names[kind]]
    common = max(kinds, key=kinds.count)
    if common and kinds.count(common) == len(kinds) - 1:
        different = next(cell for cell in cells if board[cell] != common)
        words.append(write_cell(*different))
        for move in range(len(STEPS)):
            other = _next_cell(different, move)
            if _is_inside(board, other) and other not in cells:
                words += _describe(board, names, other)
                if board[other] == common and board[different]:
                    return words, write_pair(*different, *other)
    return [*words, "no"], ""


def seek_merge(
    board: NDArray[np.uint8], names: Sequence[str], largest: int, habit: Habit = CAREFUL
) -> tuple[str, int]:
    """Look for two tiles that merge: each with what is to its right and below, up to the next tile.

    Args:
        board: ``(rows, cols)`` exponents, 0 = empty.
        names: the text of each value.
        largest: the exponent of tiles that merge no more.
        habit: of who looks.

    Returns:
        What was looked at, joined by ``"; "``, and the move; NO_ACTION where nothing merges.
    """
    thoughts = list[str]()
    for cell in habit.in_order(_tiles(board)):
        words = _describe(board, names, cell)
        for move in (1, 2):
            other = _next_cell(cell, move)
            while _is_inside(board, other):
                words += _describe(board, names, other)
                if board[other] == board[cell] < largest:
                    thoughts.append(" ".join(words))
                    return "; ".join(thoughts), move
                if board[other] or habit.only_near:
                    break
                other = _next_cell(other, move)
        thoughts.append(" ".join([*words, "no"]))
    return "; ".join(thoughts), NO_ACTION


def seek_slide(board: NDArray[np.uint8], names: Sequence[str], largest: int) -> tuple[str, int]:
    """Look for a tile that moves to the left: each with what is on its left.

    Args:
        board: ``(rows, cols)`` exponents, 0 = empty.
        names: the text of each value.
        largest: the exponent of tiles that merge no more.

    Returns:
        What was looked at, joined by ``"; "``, and the move; NO_ACTION where nothing moves so.
    """
    thoughts = list[str]()
    for cell in _tiles(board):
        words = _describe(board, names, cell)
        other = _next_cell(cell, 3)
        if _is_inside(board, other):
            words += _describe(board, names, other)
            if not board[other] or board[other] == board[cell] < largest:
                thoughts.append(" ".join(words))
                return "; ".join(thoughts), 3
        thoughts.append(" ".join([*words, "no"]))
    return "; ".join(thoughts), NO_ACTION


def move_last_tile(board: NDArray[np.uint8], legal: NDArray[np.bool_]) -> int:
    """The move that the last tile allows, where nothing merges: to the right, or down from the last
    column; from the last corner to the left, or else up.

    Args:
        board: ``(rows, cols)``, 0 = empty.
        legal: ``(4,)``.

    Returns:
        The move; NO_ACTION where it is not legal.
    """
    tiles = _tiles(board)
    if not tiles:
        return NO_ACTION
    row, column = tiles[-1]
    if column < board.shape[1] - 1:
        wanted = [1]
    elif row < board.shape[0] - 1:
        wanted = [2]
    else:
        wanted = [3, 0]
    return next((move for move in wanted if legal[move]), NO_ACTION)


def seek_pair(
    board: NDArray[np.uint8],
    names: Sequence[str],
    joins: NDArray[np.bool_],
    habit: Habit = CAREFUL,
) -> tuple[str, int]:
    """Look for two tiles that a path joins: neighbours first, then each tile with every later one.

    Args:
        board: ``(rows, cols)``, 0 = empty.
        names: the text of each value.
        joins: ``(cells, cells)``, whether a path joins two cells.
        habit: of who looks.

    Returns:
        What was looked at, joined by ``"; "``, and the pair ``first * cells + second``; NO_ACTION
        where there is none.
    """
    thoughts = list[str]()
    tiles = habit.in_order(_tiles(board))
    for cell in tiles:
        words = _describe(board, names, cell)
        for other in (_next_cell(cell, 1), _next_cell(cell, 2)):
            if _is_inside(board, other):
                words += _describe(board, names, other)
                if joins[_numbers(board, cell, other)]:
                    thoughts.append(" ".join(words))
                    return "; ".join(thoughts), _action(board, cell, other)
        thoughts.append(" ".join([*words, "no"]))
    if habit.only_near:
        return "; ".join(thoughts), NO_ACTION
    for index, cell in enumerate(tiles):
        words = ["far"]
        for other in tiles[index + 1 :]:
            if other in (_next_cell(cell, 1), _next_cell(cell, 2)):
                continue
            words += _describe(board, names, cell)
            words += _describe(board, names, other)
            if joins[_numbers(board, cell, other)]:
                thoughts.append(" ".join(words))
                return "; ".join(thoughts), _action(board, cell, other)
            words.append("blocked" if board[other] == board[cell] else "no")
        thoughts.append(" ".join(words))
    return "; ".join(thoughts), NO_ACTION


def _describe(board: NDArray[np.uint8], names: Sequence[str], cell: Cell) -> list[str]:
    """A cell and what it holds."""
    return [write_cell(*cell), names[board[cell]]]


def _tiles(board: NDArray[np.uint8]) -> list[Cell]:
    """The cells that hold a tile, in reading order."""
    return [(int(row), int(column)) for row, column in np.argwhere(board > 0)]


def _next_cell(cell: Cell, move: int) -> Cell:
    """The cell that a step leads to, 0 up, 1 right, 2 down, 3 left; it may be off the board."""
    row_step, column_step = STEPS[move]
    return cell[0] + row_step, cell[1] + column_step


def _is_inside(board: NDArray[np.uint8], cell: Cell) -> bool:
    return 0 <= cell[0] < board.shape[0] and 0 <= cell[1] < board.shape[1]


def _numbers(board: NDArray[np.uint8], cell: Cell, other: Cell) -> tuple[int, int]:
    """The numbers of two cells."""
    cols = board.shape[1]
    return cell[0] * cols + cell[1], other[0] * cols + other[1]


def _action(board: NDArray[np.uint8], cell: Cell, other: Cell) -> int:
    """The id of a pair."""
    first, second = _numbers(board, cell, other)
    return first * board.size + second
