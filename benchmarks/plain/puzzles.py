"""The plain puzzles: Minesweeper, Sokoban, the sliding puzzle, FrozenLake and mazes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plain.base import Cell, Plain, first_moves
from vlmgym.games import minesweeper, sokoban
from vlmgym.games.parts import lakes
from vlmgym.games.parts.actions import STEPS
from vlmgym.games.solvers import boxes as room
from vlmgym.games.solvers import mines as minefield
from vlmgym.games.solvers import walks as lake


class PlainMinesweeper(Plain):
    """Minesweeper."""

    names = minesweeper.NAMES

    def __init__(
        self, level: Any, board: NDArray[np.uint8], seed: int = 0, mines: Any = None
    ) -> None:
        self.actions = board.size
        super().__init__(level, board, seed)
        self.mines = np.array(mines)

    def _near(self, r: int, c: int) -> list[Cell]:
        """The up to eight cells around."""
        return [
            (i, j)
            for i in (r - 1, r, r + 1)
            for j in (c - 1, c, c + 1)
            if (i, j) != (r, c) and self._inside(i, j)
        ]

    def _deal(self) -> None:
        self.terminated = True
        while self.terminated:
            self.board[:], self.mines[:] = minefield.HIDDEN, False
            opening = divmod(int(self.rng.integers(self.board.size)), self.cols)
            taken = (
                {opening, *self._near(*opening)}
                if self.board.size - 9 >= self.level.mines
                else {opening}
            )
            places = [cell for cell in self._cells(minefield.HIDDEN) if cell not in taken]
            for k in self.rng.choice(len(places), self.level.mines, replace=False):
                self.mines[places[k]] = True
            self.terminated = False
            self._play(opening[0] * self.cols + opening[1])

    def _play(self, action: int) -> int:
        cell = divmod(action, self.cols)
        if self.board[cell] != minefield.HIDDEN:
            return 0
        if self.mines[cell]:
            self.board[cell], self.terminated = minefield.MINE, True
            return 0
        stack, opened = [cell], 0
        while stack:
            cell = stack.pop()
            if self.board[cell] != minefield.HIDDEN:
                continue
            near = self._near(*cell)
            self.board[cell] = sum(int(self.mines[other]) for other in near)
            opened += 1
            if self.board[cell] == 0:
                stack += near
        self.terminated = bool(((self.board != minefield.HIDDEN) | self.mines).all())
        return opened

    def _legal(self) -> list[int]:
        return np.flatnonzero(self.board == minefield.HIDDEN).tolist()


class PlainSokoban(Plain):
    """Sokoban; a position is the player's cell and the set of the boxes' cells."""

    names = sokoban.NAMES

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        super().__init__(level, board, seed)
        self.first = self.board.copy()

    def _deal(self) -> None:
        self.board = self.first.copy()

    def _moves(self, position: Any) -> Iterator[tuple[int, Any]]:
        """The moves from a position and where they lead."""
        (r, c), boxes = position
        for move, (dr, dc) in enumerate(STEPS):
            to, beyond = (r + dr, c + dc), (r + 2 * dr, c + 2 * dc)
            if to not in boxes and self._inside(*to) and self.board[to] != room.WALL:
                yield move, (to, boxes)
            elif (
                to in boxes
                and beyond not in boxes
                and self._inside(*beyond)
                and self.board[beyond] != room.WALL
            ):
                yield move, (to, boxes - {to} | {beyond})

    def _position(self) -> tuple[Cell, frozenset[Cell]]:
        return self._cells(room.PLAYER, room.PLAYER_ON_TARGET)[0], frozenset(
            self._cells(room.BOX, room.BOX_ON_TARGET)
        )

    def _targets(self) -> set[Cell]:
        return set(self._cells(room.TARGET, room.BOX_ON_TARGET, room.PLAYER_ON_TARGET))

    def _play(self, action: int) -> int:
        old, targets = self._position(), self._targets()
        player, boxes = dict(self._moves(old)).get(action, old)
        for cell in {old[0], player} | old[1] | boxes:
            plain, on = (
                (room.PLAYER, room.PLAYER_ON_TARGET)
                if cell == player
                else (room.BOX, room.BOX_ON_TARGET)
                if cell in boxes
                else (room.FLOOR, room.TARGET)
            )
            self.board[cell] = on if cell in targets else plain
        self.terminated = boxes <= targets
        return len(boxes & targets) - len(old[1] & targets)

    def _legal(self) -> list[int]:
        return [move for move, _ in self._moves(self._position())]

    def _good(self) -> set[int]:
        targets = self._targets()
        return (
            set()
            if self.terminated
            else first_moves(self._position(), self._moves, lambda position: position[1] <= targets)
        )


class PlainSliding(Plain):
    """The sliding puzzle; a position is the tuple of its tiles."""

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        super().__init__(level, board, seed)
        self.goal = (*range(1, board.size), 0)

    def _moves(self, position: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
        """The moves from a position and where they lead."""
        found, gap = [], position.index(0)
        for move, (dr, dc) in enumerate(STEPS):
            r, c = gap // self.cols - dr, gap % self.cols - dc
            if self._inside(r, c):
                after, source = list(position), r * self.cols + c
                after[gap], after[source] = after[source], 0
                found.append((move, tuple(after)))
        return found

    def _position(self) -> tuple[int, ...]:
        return tuple(self.board.ravel().tolist())

    def _put(self, position: tuple[int, ...]) -> None:
        self.board = np.array(position).reshape(self.rows, self.cols)
        self.terminated = position == self.goal

    def _deal(self) -> None:
        position = self.goal
        for _ in range(self.level.scramble):
            moves = self._moves(position)
            position = moves[self.rng.integers(len(moves))][1]
        self._put(position)

    def _play(self, action: int) -> int:
        position = self._position()
        self._put(dict(self._moves(position)).get(action, position))
        return int(self.terminated)

    def _legal(self) -> list[int]:
        return [move for move, _ in self._moves(self._position())]

    def _good(self) -> set[int]:
        if self.terminated:
            return set()
        if self.board.size > 9:
            return first_moves(
                self._position(), self._moves, lambda position: position == self.goal
            )
        left = _distances(self.rows, self.cols)
        near = {
            move: left[position]
            for move, position in self._moves(self._position())
            if position in left
        }
        return {move for move, moves_left in near.items() if moves_left == min(near.values())}


@cache
def _distances(rows: int, cols: int) -> dict[tuple[int, ...], int]:
    """Moves to the solved board from each position of a small board, breadth first, once."""
    puzzle = PlainSliding(None, np.zeros((rows, cols), np.uint8))
    table, queue = {puzzle.goal: 0}, [puzzle.goal]
    for position in queue:
        for _, new in puzzle._moves(position):
            if new not in table:
                table[new] = table[position] + 1
                queue.append(new)
    return table


class PlainFrozenLake(Plain):
    """FrozenLake and mazes; the rewards of single moves are for levels on which one does not
    slip.
    """

    names = lakes.NAMES

    def __init__(
        self, level: Any, board: NDArray[np.uint8], seed: int = 0, under: Any = lake.FLOOR
    ) -> None:
        super().__init__(level, board, seed)
        self.under, self.first = int(under), self.board.copy()

    def _deal(self) -> None:
        self.under, self.board = lake.FLOOR, self.first.copy()
        holes, found = round(self.level.density * self.board.size), self.level.field == "maze"
        while not found:
            rest = [lake.GOAL] + [lake.HOLE] * holes + [lake.FLOOR] * (self.board.size - holes - 2)
            self.board = np.array([lake.PLAYER, *self.rng.permutation(rest)]).reshape(
                self.rows, self.cols
            )
            found = bool(self._good())

    def _moves(self, cell: Cell) -> list[tuple[int, Cell]]:
        """The moves from a cell and where they lead."""
        ahead = [(move, (cell[0] + dr, cell[1] + dc)) for move, (dr, dc) in enumerate(STEPS)]
        return [
            (move, to) for move, to in ahead if self._inside(*to) and self.board[to] != lake.WALL
        ]

    def text(self) -> str:
        """The board in words, with the player where it has come to an end."""
        text = super().text()
        end = {lake.HOLE: "in hole", lake.GOAL: "at goal"}.get(self.under)
        return text.replace("player", f"player {end}") if end else text

    def _play(self, action: int) -> int:
        if self.rng.random() < self.level.slip:
            action = (action + (1 if self.rng.integers(2) else 3)) % 4
        player = self._cells(lake.PLAYER)[0]
        to = dict(self._moves(player)).get(action)
        if to is None:
            return 0
        self.board[player], self.under, self.board[to] = (
            self.under,
            int(self.board[to]),
            lake.PLAYER,
        )
        self.terminated = self.under != lake.FLOOR
        return int(self.under == lake.GOAL)

    def _legal(self) -> set[int]:
        moves = {move for move, _ in self._moves(self._cells(lake.PLAYER)[0])}
        return (
            moves | {(move + side) % 4 for move in moves for side in (1, 3)}
            if self.level.slip
            else moves
        )

    def _good(self) -> set[int]:
        def dry(cell: Cell) -> list[tuple[int, Cell]]:
            return [(move, to) for move, to in self._moves(cell) if self.board[to] != lake.HOLE]

        start = self._cells(lake.PLAYER)[0]
        return (
            set()
            if self.terminated
            else first_moves(start, dry, lambda cell: self.board[cell] == lake.GOAL)
        )
