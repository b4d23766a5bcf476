"""Tetris with sets of cells, and Dellacherie's rating cell by cell."""

from __future__ import annotations

from vlmgym.core import State, draw_below
from vlmgym.games.parts.polyominoes import COLOURS, PIECES

SIGNS = ".cypgrbokn"  # free, and the colours in their order
LOST = -100_000
Blocks = dict[tuple[int, int], str]


def read_blocks(lines: list[str]) -> Blocks:
    """The blocks of some rows by their cells."""
    return {
        (row, column): sign
        for row, line in enumerate(lines)
        for column, sign in enumerate(line)
        if sign != "."
    }


def lines_of(state: State, row: int = 0) -> list[str]:
    return ["".join(SIGNS[value] for value in line) for line in state.board[row].tolist()]


def piece_after(lines: list[str], turns: int) -> Blocks:
    """The piece in some rows after quarter turns clockwise, in the top left corner."""
    blocks = read_blocks(lines)
    for _ in range(turns):
        blocks = {(column, -row): sign for (row, column), sign in blocks.items()}
    top = min((row for row, _ in blocks), default=0)
    left = min((column for _, column in blocks), default=0)
    return {(row - top, column - left): sign for (row, column), sign in blocks.items()}


class Placement:
    """A piece dropped into a well of so many rows and columns."""

    def __init__(self, well: Blocks, depth: int, cols: int, piece: Blocks, column: int) -> None:
        self.depth = depth
        self.cols = cols
        self.fits = False
        if not piece or any(column + right >= cols for _, right in piece):
            return
        self.row = -1 - max(row for row, _ in piece)
        while self._is_free(well, piece, self.row + 1, column):
            self.row += 1
        self.fits = self.row >= 0
        if not self.fits:
            return
        own = {(self.row + down, column + right): sign for (down, right), sign in piece.items()}
        blocks = well | own
        full = [row for row in range(depth) if all((row, c) in blocks for c in range(cols))]
        self.cleared = len(full)
        self.eroded = sum(row in full for row, _ in own)
        rows_of_own = [row for row, _ in own]
        self.middle = depth - (min(rows_of_own) + max(rows_of_own)) / 2
        self.after = {
            (row + sum(other > row for other in full), column): sign
            for (row, column), sign in blocks.items()
            if row not in full
        }

    def _is_free(self, well: Blocks, piece: Blocks, row: int, column: int) -> bool:
        cells = [(row + down, column + right) for down, right in piece]
        return all(cell not in well and cell[0] < self.depth for cell in cells)

    def own_worth(self) -> float:
        return self.cleared * self.eroded - self.middle

    def rating(self) -> float:
        return rating(self.after, self.depth, self.cols)


def holes(well: Blocks, depth: int, cols: int) -> int:
    return sum(
        (row, column) not in well and any((above, column) in well for above in range(row))
        for row in range(depth)
        for column in range(cols)
    )


def rating(well: Blocks, depth: int, cols: int) -> float:
    """Minus transitions along rows and columns, four times the holes, and the sums of wells."""

    def filled(row: int, column: int) -> bool:
        outside = not 0 <= column < cols or row >= depth
        return outside or (row, column) in well

    def in_well(row: int, column: int) -> bool:
        free = row >= 0 and not filled(row, column)
        return free and filled(row, column - 1) and filled(row, column + 1)

    total = 0.0
    for row in range(depth):
        for column in range(cols + 1):
            total -= filled(row, column - 1) != filled(row, column)
    for column in range(cols):
        for row in range(depth + 1):
            total -= (row > 0 and filled(row - 1, column)) != filled(row, column)
    for row in range(depth):
        for column in range(cols):
            above = row
            while in_well(above, column):
                total -= 1
                above -= 1
    return total - 4 * holes(well, depth, cols)


class Plain:
    """A game of which nothing is known but what its board shows."""

    def __init__(self, state: State, row: int) -> None:
        self.level = state.level
        self.seed = int(state.seed[row])
        self.turn = int(state.steps[row])
        self.lines = lines_of(state, row)

    def shown(self) -> tuple[list[str], list[str], Blocks]:
        """The rows of the next piece, those of the piece to place, and the well."""
        height = self.level.height
        top = self.level.top
        following = self.lines[:height] if top > height else []
        return following, self.lines[top - height : top], read_blocks(self.lines[top:])

    def placement(self, action: int) -> Placement:
        column, turns = divmod(action, 4)
        _, piece, well = self.shown()
        depth = self.level.rows - self.level.top
        return Placement(well, depth, self.level.cols, piece_after(piece, turns), column)

    def is_good(self, action: int) -> bool:
        placed = self.placement(action)
        if not placed.fits:
            return False
        others = [self.placement(other) for other in range(4 * placed.cols)]
        fewest = min(self.added(other) for other in others if other.fits)
        return placed.cleared > 0 or self.added(placed) == fewest

    def added(self, placed: Placement) -> int:
        """Holes that a placement adds."""
        size = placed.depth, placed.cols
        return max(0, holes(placed.after, *size) - holes(self.shown()[2], *size))

    def value(self, action: int) -> float | None:
        placed = self.placement(action)
        if not placed.fits:
            return None
        if not self.level.preview:
            return placed.own_worth() + placed.rating()
        following = self.shown()[0]
        best = None
        for turns in range(4):
            for column in range(placed.cols):
                piece = piece_after(following, turns)
                later = Placement(placed.after, placed.depth, placed.cols, piece, column)
                if later.fits:
                    value = later.own_worth() + later.rating()
                    best = value if best is None else max(best, value)
        return placed.own_worth() + (LOST + placed.rating() if best is None else best)

    def play(self, action: int) -> int:
        """Returns what is gained."""
        self.turn += 1
        placed = self.placement(action)
        if not placed.fits:
            return 0
        level = self.level
        first = {3: 0, 4: 2, 5: 9}[level.smallest]
        end = {3: 2, 4: 9, 5: 27}[level.largest]
        colour, rows = PIECES[first + draw_below(self.seed, self.turn, 0, end - first)]
        sign = SIGNS[1 + COLOURS.index(colour)]
        new = [row.replace("x", sign).ljust(level.cols, ".") for row in rows.split()]
        new += ["." * level.cols] * (level.height - len(new))
        well = [
            "".join(placed.after.get((row, column), ".") for column in range(level.cols))
            for row in range(placed.depth)
        ]
        following = self.shown()[0]
        self.lines = [*new, *following, *well]
        return placed.cleared

    def is_over(self) -> bool:
        return not any(self.placement(action).fits for action in range(4 * self.level.cols))
