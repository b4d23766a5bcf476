"""Rush Hour with plain texts: moves, and a breadth-first search."""

from __future__ import annotations

from collections import deque

from vlmgym.games.parts.actions import STEPS

Lines = tuple[str, ...]
"""The rows of a board: a letter for each cell of a car, ``A`` the red one, ``.`` the road."""


def cells_of(lines: Lines) -> dict[str, list[tuple[int, int]]]:
    """The cells of each letter, in reading order."""
    cells: dict[str, list[tuple[int, int]]] = {}
    for r, line in enumerate(lines):
        for c, sign in enumerate(line):
            if sign != ".":
                cells.setdefault(sign, []).append((r, c))
    return cells


def axis_of(cells: list[tuple[int, int]]) -> str:
    """Where a car of these cells is along: ``row``, ``column``, or ``""``, if it is no car."""
    (r, c), count = cells[0], len(cells)
    if count > 1 and cells == [(r, c + k) for k in range(count)]:
        return "row"
    if count > 1 and cells == [(r + k, c) for k in range(count)]:
        return "column"
    return ""


def moved(lines: Lines, letter: str, move: int) -> Lines | None:
    """The board after a car has driven one cell; None where it cannot."""
    cells = cells_of(lines).get(letter, [])
    if not cells or axis_of(cells) != ("column" if move in (0, 2) else "row"):
        return None
    step_r, step_c = STEPS[move]
    after = [(r + step_r, c + step_c) for r, c in cells]
    for r, c in after:
        if not (0 <= r < len(lines) and 0 <= c < len(lines[0])):
            return None
        if lines[r][c] not in (".", letter):
            return None
    rows = [[sign if sign != letter else "." for sign in line] for line in lines]
    for r, c in after:
        rows[r][c] = letter
    return tuple("".join(row) for row in rows)


def solved(lines: Lines) -> bool:
    red = cells_of(lines).get("A", [])
    return bool(red) and axis_of(red) == "row" and red[-1][1] == len(lines[0]) - 1


def drives_of(lines: Lines) -> list[tuple[str, int, Lines]]:
    """Every move of one cell, and what comes of it."""
    found = []
    for letter in cells_of(lines):
        for move in range(4):
            after = moved(lines, letter, move)
            if after is not None:
                found.append((letter, move, after))
    return found


def slides_of(lines: Lines) -> list[Lines]:
    """What comes of every move of one car by any number of cells."""
    found = []
    for letter, move, after in drives_of(lines):
        here: Lines | None = after
        while here is not None:
            found.append(here)
            here = moved(here, letter, move)
    return found


def shortest(lines: Lines, by_slides: bool = False) -> int | None:
    """Moves of a shortest solution by a plain breadth-first search."""
    depth, queue = {lines: 0}, deque([lines])
    while queue:
        here = queue.popleft()
        if solved(here):
            return depth[here]
        reached = slides_of(here) if by_slides else [after for *_, after in drives_of(here)]
        for after in reached:
            if after not in depth:
                depth[after] = depth[here] + 1
                queue.append(after)
    return None
