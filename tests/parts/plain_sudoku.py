"""Sudoku in plain lists: which digits a cell may hold, and what it takes to fill a grid."""

from __future__ import annotations

from parts.plain_fill_ins import Grid
from vlmgym.games.sudoku import BOXES


def fits(grid: Grid, row: int, column: int) -> bool:
    """Whether the digit of a cell is nowhere else in its row, column and box."""
    height, width = BOXES[len(grid)]
    for other_row, line in enumerate(grid):
        for other_column, digit in enumerate(line):
            if (other_row, other_column) == (row, column) or digit != grid[row][column]:
                continue
            same_box = (
                other_row // height == row // height and other_column // width == column // width
            )
            if other_row == row or other_column == column or same_box:
                return False
    return True


def options(grid: Grid, row: int, column: int) -> list[int]:
    """The digits that a cell may hold by its row, column and box."""
    if grid[row][column]:
        return [grid[row][column]]
    found = []
    for digit in range(1, len(grid) + 1):
        grid[row][column] = digit
        if fits(grid, row, column):
            found.append(digit)
    grid[row][column] = 0
    return found


def needs(grid: Grid) -> str:
    """What it takes to fill a grid, told by the techniques themselves."""
    hardest = "singles"
    grid = [list(line) for line in grid]
    side = len(grid)
    height, width = BOXES[side]
    cells = [(row, column) for row in range(side) for column in range(side)]
    units = [[cell for cell in cells if cell[axis] == at] for axis in (0, 1) for at in range(side)]
    for top in range(0, side, height):
        for left in range(0, side, width):
            rows = range(top, top + height)
            units.append([(row, column) for row in rows for column in range(left, left + width)])
    while any(0 in line for line in grid):
        left_to = {cell: options(grid, *cell) for cell in cells}
        singles = [cell for cell in cells if not grid[cell[0]][cell[1]] and len(left_to[cell]) == 1]
        if singles:
            row, column = singles[0]
            grid[row][column] = left_to[row, column][0]
            continue
        hardest = "hidden"
        place = next(
            (
                (places[0], digit)
                for unit in units
                for digit in range(1, side + 1)
                if len(places := [cell for cell in unit if digit in left_to[cell]]) == 1
                and not grid[places[0][0]][places[0][1]]
            ),
            None,
        )
        if place is None:
            return "search"
        (row, column), digit = place
        grid[row][column] = digit
    return hardest
