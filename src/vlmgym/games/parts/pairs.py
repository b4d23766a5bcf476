"""Games of pairs: two equal tiles vanish if a path through empty cells joins them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym.core import LEGAL_STREAM, ConfigError, State, draw_below, setting
from vlmgym.core.kernels import kernel, move
from vlmgym.games.parts.actions import CellPairs
from vlmgym.games.parts.boards import Actions, Arrays, Boards, GridLevel, Marks, Seeds, Values
from vlmgym.games.parts.explanations import seek_pair
from vlmgym.games.parts.grid import GridGame, Turn
from vlmgym.games.parts.paths import (
    any_pair,
    draw_pair,
    find_pairs,
    joined,
    list_pairs,
    mark_pairs,
    sight_of,
    try_pairs,
)

MAX_DEALS = 64
"""Deals that are tried for one with a joinable pair; if none has, the game starts ended."""


@dataclass(frozen=True)
class LevelPairs(GridLevel):
    """Rule settings that both Shisen-Sho games share."""

    rows: int = setting(6, "board rows", 2, 16)
    cols: int = setting(6, "board columns", 2, 16)
    copies: int = setting(4, "tiles of each type on a fresh board; even", 2, 16)
    max_bends: int = setting(2, "right-angle turns that a path may take", 0, 8)
    margin: int = setting(1, "cells that a path may run outside the board", 0, 1)

    def __post_init__(self) -> None:
        """Check that ``copies`` tiles a type fill the board.

        Raises:
            ConfigError: a field is out of range, or the board cannot be filled so.
        """
        super().__post_init__()
        cells = self.rows * self.cols
        if self.copies % 2 or cells % self.copies:
            allowed = f"an even divisor of the {cells} cells (rows * cols), 2 to 16"
            raise ConfigError(f"{type(self).__name__}.copies", self.copies, allowed)

    @property
    def need(self) -> int:
        """Types on a fresh board."""
        return self.rows * self.cols // self.copies


# The board holds uint8: 0 = empty, else a type. Actions: first cell * cells + second cell.
@kernel
def _deal(board, terminated, seeds, copies, kinds, max_bends, margin, tries):
    rows, cols = board.shape[1:]
    cells = rows * cols
    count = len(kinds)
    sight = sight_of(board, margin)
    none = np.empty((0, 2), np.int64)
    types = np.empty(count, np.uint8)
    flat = np.empty(cells, np.uint8)
    for b in range(len(board)):
        number = 0
        terminated[b] = True
        for _ in range(tries):
            move(types, 0, kinds, 0, count)
            # a random choice of types, so that deals differ in what they show
            for k in range(cells // copies):
                other = k + draw_below(seeds[b], 0, number, count - k)
                types[k], types[other] = types[other], types[k]
                number += 1
            for k in range(cells):
                flat[k] = types[k // copies]
            for k in range(cells - 1, 0, -1):
                other = draw_below(seeds[b], 0, number, k + 1)
                flat[k], flat[other] = flat[other], flat[k]
                number += 1
            for k in range(cells):
                board[b, k // cols, k % cols] = flat[k]
            if any_pair(board[b], margin, max_bends, sight, none):
                terminated[b] = False
                break


@kernel
def _play(board, actions, over, max_bends, margin, gain, changed, terminated):
    cols = board.shape[2]
    cells = board.shape[1] * cols
    sight = sight_of(board, margin)
    none = np.empty((0, 2), np.int64)
    for b in range(len(board)):
        if over[b] or actions[b] < 0:
            continue
        first = actions[b] // cells
        second = actions[b] % cells
        if joined(board[b], first, second, max_bends, margin, sight):
            board[b, first // cols, first % cols] = 0
            board[b, second // cols, second % cols] = 0
            gain[b] = 1
            changed[b] = True
            terminated[b] = not any_pair(board[b], margin, max_bends, sight, none)


@kernel
def _oracle(board, ended, max_bends, margin, value):
    cols = board.shape[2]
    cells = board.shape[1] * board.shape[2]
    sight = sight_of(board, margin)
    found = np.empty((cells * cells // 2, 2), np.int64)
    none = np.empty((0, 2), np.int64)
    value[:] = np.nan
    for b in range(len(board)):
        if ended[b]:
            continue
        left = board[b].copy()
        tiles_left = np.count_nonzero(left)
        for i in range(find_pairs(left, margin, max_bends, sight, len(found) + 1, found)):
            first = found[i, 0]
            second = found[i, 1]
            kind = left[first // cols, first % cols]
            left[first // cols, first % cols] = left[second // cols, second % cols] = 0
            more = find_pairs(left, margin, max_bends, sight, len(found) + 1, none)
            left[first // cols, first % cols] = left[second // cols, second % cols] = kind
            worth = 2.0 if tiles_left == 2 else 1.0 + more / cells
            value[b, first * cells + second] = value[b, second * cells + first] = worth


L = TypeVar("L", bound=LevelPairs, default=Any)
S = TypeVar("S", bound=State[Any], default=Any)


class Pairs(GridGame[L, S]):
    """What both Shisen-Sho games share: all but what the tiles are."""

    answers = CellPairs()
    MATCH: ClassVar[str]
    """Which two tiles vanish, with :meth:`words` in braces."""
    WRITING: ClassVar[str]
    """How a tile is written, with :meth:`words` in braces."""
    RULES = (
        "This is Shisen-Sho on a board of {rows} rows and {cols} columns. A move names two tiles; "
        "they vanish if {match} and a path joins them. A path runs up, down, left and right "
        "through empty cells, takes {bends}, and {outside}. Other moves change nothing. Tiles do "
        "not fall. {writing} Empty cells are written as empty."
    )

    @abstractmethod
    def types(self, level: L) -> NDArray[np.uint8]:
        """Board values that the types of a deal are chosen from."""

    def tile_words(self, level: L) -> dict[str, str]:
        """What :data:`MATCH` and :data:`WRITING` hold in braces."""
        names = self.names(level)[1:]
        return {"tile": names[0], "all": ", ".join(names)}

    def words(self, level: L) -> dict[str, object]:
        """What paths and tiles are said to be."""
        turns = f"right-angle turn{'' if level.max_bends == 1 else 's'}"
        tiles = self.tile_words(level)
        return {
            "bends": f"at most {level.max_bends} {turns}" if level.max_bends else "no turns",
            "outside": "may also run one cell outside the board"
            if level.margin
            else ("must stay on the board"),
            "match": self.MATCH.format(**tiles),
            "writing": self.WRITING.format(**tiles),
        }

    def deal(self, level: L, seeds: Seeds, board: Boards) -> Arrays:
        """Boards with a joinable pair; where 64 deals had none, the game starts ended."""
        terminated = np.zeros(len(seeds), bool)
        _deal(
            board,
            terminated,
            seeds,
            level.copies,
            self.types(level),
            level.max_bends,
            level.margin,
            MAX_DEALS,
        )
        return {"terminated": terminated}

    def play(self, state: S, actions: Actions, turn: Turn) -> None:
        """A pair that is joined vanishes and gains 1; the game ends when none is left."""
        rules = (state.level.max_bends, state.level.margin)
        written = (turn.gain, turn.changed, turn.terminated)
        _play(turn.board, actions, turn.over, *rules, *written)

    def legal_moves(self, state: S, legal: Marks) -> None:
        """The pairs that a path joins."""
        mark_pairs(state.board, state.ended, state.level.max_bends, state.level.margin, legal)

    def draw_legal(self, state: S, number: int = LEGAL_STREAM) -> Actions:
        """See :class:`vlmgym.core.Game`; pairs are drawn until one is joined, which is as uniform
        and far faster.
        """
        level = state.level
        out = np.empty(len(state), np.int64)
        draw_pair(
            state.board,
            state.ended,
            state.seed,
            state.steps,
            number,
            level.max_bends,
            level.margin,
            out,
        )
        return out

    def _try(self, state: S, actions: Actions) -> Marks:
        level = state.level
        good = np.empty(actions.shape, bool)
        try_pairs(state.board, state.ended, actions, level.max_bends, level.margin, good)
        return good

    def oracle(self, state: S) -> Values:
        """``(B, A)`` mobility: 1 + (unordered pairs that can be joined afterwards) / (cells); 2 if
        it clears the board.

        It looks one move ahead: a high value keeps choices open, but does not prove that the board
        can be cleared.
        """
        level = state.level
        value = np.empty((len(state), self.n_actions(state.level)))
        _oracle(state.board, state.ended, level.max_bends, level.margin, value)
        return value

    def explain(self, state: S, row: int, action: int) -> str:
        """Such as ``"red circle (0, 1) (2, 3) joined"``, or ``blocked``, ``differ``, ``empty``,
        ``same`` at the end.
        """
        level = state.level
        board = state.board[row]
        first, second = divmod(action, board.size)
        kind = board.flat[first]
        other = board.flat[second]
        if first == second:
            verdict = "same"
        elif kind == 0 or other == 0:
            verdict = "empty"
        elif kind != other:
            verdict = "differ"
        else:
            sight = sight_of(board, level.margin)
            verdict = (
                "joined"
                if joined(board, first, second, level.max_bends, level.margin, sight)
                else "blocked"
            )
        return f"{self.names(level)[kind]} {self.encode(level, action)} {verdict}"

    def reasoning(self, state: S, row: int, values: Values) -> tuple[str, int]:
        """Tile by tile with its right and its lower neighbour, to the first equal one.

        Such as ``"(0, 0) red circle (0, 1) blue star (1, 0) red square no; (0, 1) blue star (0, 2)
        blue star"``. Where no neighbours are equal, each tile with every later one, to the first
        that it can be joined with: ``"far (0, 0) red circle (0, 2) blue star no (0, 0) red circle
        (1, 1) red circle"``; equal ones that it cannot be joined with are ``blocked``.
        """
        board = state.board[row]
        joins = ~np.isnan(values).reshape(board.size, board.size)
        return seek_pair(board, self.names(state.level), joins)

    def candidates(self, state: S, row: int) -> list[int]:
        """The first three pairs that can be joined, in reading order; fewer if there are fewer."""
        if state.ended[row]:
            return []
        level = state.level
        board = state.board[row]
        found = np.empty((3, 2), np.int64)
        count = list_pairs(
            board, level.margin, level.max_bends, sight_of(board, level.margin), len(found), found
        )
        return [int(first * board.size + second) for first, second in found[:count]]
