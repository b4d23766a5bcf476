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
from vlmgym.games.parts.boards import (
    Actions,
    Arrays,
    Boards,
    GridLevel,
    Marks,
    Seeds,
    Values,
    shuffle,
)
from vlmgym.games.parts.explanations import seek_pair
from vlmgym.games.parts.grid import Searched, Turn
from vlmgym.games.parts.habits import CAREFUL, Habit
from vlmgym.games.parts.paths import (
    any_pair,
    draw_pair,
    find_pairs,
    index_for,
    joined,
    list_pairs,
    mark_pairs,
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


# A board holds uint8: 0 = empty, else a type. Actions: first cell * cells + second cell.
@kernel
def _deal(boards, seeds, kinds, copies, max_bends, margin):
    """Fill the boards; returns where no deal had a joinable pair, ``(B,)``."""
    rows, cols = boards.shape[1:]
    cells = rows * cols
    index = index_for(boards, max_bends, margin)
    no_pairs = np.empty((0, 2), np.int64)
    types = np.empty(len(kinds), np.uint8)
    tiles = np.empty(cells, np.uint8)
    terminated = np.ones(len(boards), np.bool_)
    for game in range(len(boards)):
        board = boards[game]
        number = 0
        for _ in range(MAX_DEALS):
            move(types, 0, kinds, 0, len(kinds))
            # a random choice of types, so that deals differ in what they show
            for place in range(cells // copies):
                other = place + draw_below(seeds[game], 0, number, len(kinds) - place)
                types[place], types[other] = types[other], types[place]
                number += 1
            for cell in range(cells):
                tiles[cell] = types[cell // copies]
            number = shuffle(tiles, seeds[game], number)
            for cell in range(cells):
                board[cell // cols, cell % cols] = tiles[cell]
            if any_pair(board, index, no_pairs):
                terminated[game] = False
                break
    return terminated


@kernel
def _play(turn, actions, max_bends, margin):
    rows, cols = turn.board.shape[1:]
    cells = rows * cols
    index = index_for(turn.board, max_bends, margin)
    no_pairs = np.empty((0, 2), np.int64)
    for game in range(len(turn.board)):
        if turn.over[game] or actions[game] < 0:
            continue
        board = turn.board[game]
        first = actions[game] // cells
        second = actions[game] % cells
        if joined(board, first, second, index):
            board[first // cols, first % cols] = 0
            board[second // cols, second % cols] = 0
            turn.gain[game] = 1
            turn.changed[game] = True
            turn.terminated[game] = not any_pair(board, index, no_pairs)


@kernel
def _oracle(boards, ended, max_bends, margin, value):
    rows, cols = boards.shape[1:]
    cells = rows * cols
    index = index_for(boards, max_bends, margin)
    pairs = np.empty((cells * cells // 2, 2), np.int64)
    no_pairs = np.empty((0, 2), np.int64)
    no_limit = len(pairs) + 1
    value[:] = np.nan
    for game in range(len(boards)):
        if ended[game]:
            continue
        board = boards[game].copy()
        tile_count = np.count_nonzero(board)
        for pair in range(find_pairs(board, index, no_limit, pairs)):
            first = pairs[pair, 0]
            second = pairs[pair, 1]
            kind = board[first // cols, first % cols]
            board[first // cols, first % cols] = board[second // cols, second % cols] = 0
            pairs_after = find_pairs(board, index, no_limit, no_pairs)
            board[first // cols, first % cols] = board[second // cols, second % cols] = kind
            mobility = 2.0 if tile_count == 2 else 1.0 + pairs_after / cells
            value[game, first * cells + second] = mobility
            value[game, second * cells + first] = mobility


L = TypeVar("L", bound=LevelPairs, default=Any)
S = TypeVar("S", bound=State[Any], default=Any)


class Pairs(Searched[L, S]):
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
        "not fall. Each pair scores 1, and the goal is to clear the board; the game ends when no "
        "two tiles can be joined. {writing} Empty cells are written as empty."
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
        bends = f"at most {level.max_bends} {turns}" if level.max_bends else "no turns"
        if level.margin:
            outside = "may also run one cell outside the board"
        else:
            outside = "must stay on the board"
        tiles = self.tile_words(level)
        return {
            "bends": bends,
            "outside": outside,
            "match": self.MATCH.format(**tiles),
            "writing": self.WRITING.format(**tiles),
        }

    def deal(self, level: L, seeds: Seeds, board: Boards) -> Arrays:
        """Boards with a joinable pair; where 64 deals had none, the game starts ended."""
        types = self.types(level)
        terminated = _deal(board, seeds, types, level.copies, level.max_bends, level.margin)
        return {"terminated": terminated}

    def play(self, state: S, actions: Actions, turn: Turn) -> None:
        """A pair that is joined vanishes and gains 1; the game ends when none is left."""
        level = state.level
        _play(turn.for_kernels(), actions, level.max_bends, level.margin)

    def points(self, state: S) -> NDArray[np.float64]:
        """Lost where tiles are left that no move joins."""
        return np.where(state.terminated, ~state.board.any(axis=(1, 2)), np.nan)

    def legal_moves(self, state: S, legal: Marks) -> None:
        """The pairs that a path joins."""
        mark_pairs(state.board, state.ended, state.level.max_bends, state.level.margin, legal)

    def draw_legal(self, state: S, number: int = LEGAL_STREAM) -> Actions:
        """See :class:`vlmgym.core.Game`; pairs are drawn until one is joined, which is as uniform
        and far faster.
        """
        level = state.level
        luck = (state.seed, state.steps, number)
        drawn: Actions = draw_pair(state.board, state.ended, *luck, level.max_bends, level.margin)
        return drawn

    def _try(self, state: S, actions: Actions) -> Marks:
        good = np.empty(actions.shape, bool)
        level = state.level
        try_pairs(state.board, state.ended, actions, level.max_bends, level.margin, good)
        return good

    def oracle(self, state: S) -> Values:
        """``(B, A)`` mobility: 1 + (unordered pairs that can be joined afterwards) / (cells); 2 if
        it clears the board.

        It looks one move ahead: a high value keeps choices open, but does not prove that the board
        can be cleared.
        """
        value = np.empty((len(state), self.n_actions(state.level)))
        level = state.level
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
        elif joined(board, first, second, index_for(board, level.max_bends, level.margin)):
            verdict = "joined"
        else:
            verdict = "blocked"
        return f"{self.names(level)[kind]} {self.encode(level, action)} {verdict}"

    def search(self, state: S, habit: Habit = CAREFUL) -> tuple[str, int]:
        """Tile by tile with its right and its lower neighbour, to the first equal one.

        Such as ``"(0, 0) red circle (0, 1) blue star (1, 0) red square no; (0, 1) blue star (0, 2)
        blue star"``. Where no neighbours are equal, each tile with every later one, to the first
        that it can be joined with: ``"far (0, 0) red circle (0, 2) blue star no (0, 0) red circle
        (1, 1) red circle"``; equal ones that it cannot be joined with are ``blocked``.
        """
        board = state.board[0]
        joins = self.legal(state).reshape(board.size, board.size)
        return seek_pair(board, self.names(state.level), joins, habit)

    def candidates(self, state: S, row: int) -> list[int]:
        """The first three pairs that can be joined, in reading order; fewer if there are fewer."""
        if state.ended[row]:
            return []
        level = state.level
        board = state.board[row]
        index = index_for(board, level.max_bends, level.margin)
        pairs = np.empty((3, 2), np.int64)
        count = list_pairs(board, index, len(pairs), pairs)
        return [int(first * board.size + second) for first, second in pairs[:count]]
