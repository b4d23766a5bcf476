"""Jigsaw: swap the pieces of a photograph until each is in its place, and turn them upright."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import PER_GAME, ConfigError, Scene, State, setting
from vlmgym.core.actions import NO_ACTION
from vlmgym.games.parts.action_texts import write_cell
from vlmgym.games.parts.actions import CellPairs
from vlmgym.games.parts.boards import (
    Actions,
    Arrays,
    Boards,
    GridLevel,
    Marks,
    Seeds,
    Symbols,
    Values,
)
from vlmgym.games.parts.explanations import say_moves_left
from vlmgym.games.parts.grid import GridGame, Turn
from vlmgym.games.parts.jigsaws import (
    TURNS,
    deal_pieces,
    flat,
    mark_moves,
    move_pieces,
    piece_names,
)
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES, picture_classes
from vlmgym.games.solvers.swaps import value_moves

ALL_SIDES = 15
"""The four sides of a cell, in the numbers of :class:`vlmgym.core.Scene`."""


@dataclass(frozen=True)
class LevelJigsaw(GridLevel):
    """Rule settings of the jigsaw."""

    rows: int = setting(4, "rows of pieces", 2, 6)
    cols: int = setting(4, "columns of pieces", 2, 6)
    turned: float = setting(
        0.0, "share of the pieces that are dealt turned; 0 = pieces cannot be turned", 0.0, 1.0
    )
    frames: bool = setting(
        False, "each piece has a frame; without, pieces that fit run into each other"
    )
    classes: str = setting(
        "scenes",
        "classes of the photographs: scenes (painted), digits, cifar10, or the names of class "
        "folders joined by commas",
    )

    def __post_init__(self) -> None:
        """Check the class names.

        Raises:
            ConfigError: a field is out of range, or ``classes`` is no list of different names.
        """
        super().__post_init__()
        if not picture_classes(self.classes):
            allowed = f"{', '.join(PICTURE_CLASSES)} or different names joined by commas"
            raise ConfigError("LevelJigsaw.classes", self.classes, allowed)


@dataclass(frozen=True, eq=False)
class StateJigsaw(State[LevelJigsaw]):
    """A state of the jigsaw; ``board`` holds 0 = no piece, else 1 + quarter turns * cells +
    place.
    """

    # (B,) which photograph: 16 * (number drawn)
    photo: NDArray[np.int32] = field(metadata=PER_GAME)


class Jigsaw(GridGame[LevelJigsaw, StateJigsaw]):
    """A jigsaw of one photograph, of 2x2 to 6x6 square pieces that may lie turned.

    Photographs are those of the level's classes; only such are shown whose pieces all look
    different.
    """

    name = "Jigsaw"
    version = 1
    level_type = LevelJigsaw
    state_type = StateJigsaw
    answers = CellPairs()
    kind = "piece"
    tags = ("puzzle", "photo")
    sources = (
        "Jigsaw puzzle, https://en.wikipedia.org/wiki/Jigsaw_puzzle",
        "A. Cayley, Note on the theory of permutations (1849): n pieces in c cycles need n - c "
        "swaps, https://doi.org/10.1080/14786444908646287",
        "A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), "
        "https://www.cs.toronto.edu/~kriz/cifar.html (classes cifar10)",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelJigsaw(rows=3, cols=3, max_steps=24),
            "normal": LevelJigsaw(max_steps=40),
            "hard": LevelJigsaw(rows=5, cols=5, turned=0.4, frames=True, max_steps=100),
            "tiny": LevelJigsaw(rows=3, cols=3, max_steps=16),
        }
    )
    RULES = (
        "This is a jigsaw: a picture was cut into {rows} rows and {cols} columns of square pieces, "
        "which lie in disorder{lie}. A move names two cells, whose pieces are swapped{turn}. "
        "The goal is to put the picture together in as few moves as possible; a move is good if it "
        "puts at least one piece into its place{upright}. A cell is written as the place in the "
        "picture that its piece belongs to: piece {row},{column} belongs to row {row}, column "
        "{column}, counted from 0 at the top left{turned_piece}."
    )

    def names(self, level: LevelJigsaw) -> tuple[str, ...]:
        """0 = empty, then the pieces upright, and, where they turn, turned by 90, 180, 270."""
        return piece_names(level.rows, level.cols, level.turned > 0)

    def words(self, level: LevelJigsaw) -> dict[str, object]:
        """What is said of the last piece, and of turns where there are any."""
        row = level.rows - 1
        column = level.cols - 1
        turning = level.turned > 0
        turned_piece = (
            f"; piece {row},{column} turned 90 is the same one, turned clockwise by 90 degrees"
        )
        return {
            "row": row,
            "column": column,
            "lie": ", some of them turned" if turning else "",
            "turn": "; the same cell twice turns its piece clockwise by 90 degrees"
            if turning
            else "",
            "upright": ", or turns one that lies turned" if turning else "",
            "turned_piece": turned_piece if turning else "",
        }

    def further(self, board: Boards) -> Arrays:
        """The first photograph."""
        return {"photo": np.zeros(len(board), np.int32)}

    def deal(self, level: LevelJigsaw, seeds: Seeds, board: Boards) -> Arrays:
        """All pieces in any order but the right one, each turned by the share of the level."""
        photo = np.empty(len(seeds), np.int32)
        deal_pieces(flat(board), seeds, level.turned, photo)
        return {"photo": photo}

    def play(self, state: StateJigsaw, actions: Actions, turn: Turn) -> None:
        """A swap gains the pieces that come to their places less those that leave them; a turn 1,
        or -3 where the piece was upright.
        """
        move_pieces(turn.for_kernels(), actions, state.level.turned > 0)

    def points(self, state: StateJigsaw) -> NDArray[np.float64]:
        """It ends when the picture is whole."""
        return np.where(state.terminated, 1.0, np.nan)

    def legal_moves(self, state: StateJigsaw, legal: Marks) -> None:
        """Two different pieces, and one cell twice where pieces turn."""
        mark_moves(flat(state.board), state.level.turned > 0, -TURNS, legal)

    def success_mask(self, state: StateJigsaw) -> Marks:
        """``(B, A)``: the moves that put a piece into its place, or turn one that lies turned."""
        marks = np.zeros((len(state), self.n_actions(state.level)), bool)
        mark_moves(flat(state.board), state.level.turned > 0, 1, marks)
        marks[state.ended] = False
        return marks

    def scene(self, state: StateJigsaw) -> Scene:
        """The pieces as they lie, all of one photograph."""
        level = state.level
        shape = state.board.shape
        variants = np.broadcast_to(state.photo[:, None, None], shape)
        scene = self.view(state, state.board, self.names(level), self.kind, variants)
        joins = None if level.frames else np.full(shape, ALL_SIDES, np.uint8)
        return replace(scene, joins=joins, classes=picture_classes(level.classes))

    def from_symbols(self, level: LevelJigsaw, symbols: Symbols) -> StateJigsaw:
        """The board as it is described, of any photograph; where pieces are missing, it cannot be
        solved.
        """
        board = np.array(symbols, np.uint8, order="C")
        places = np.arange(1, level.rows * level.cols + 1)
        solved = (flat(board) == places).all(axis=1)
        return self.start(level, board, terminated=solved, **self.further(board))

    def oracle(self, state: StateJigsaw) -> Values:
        """Minus the moves of a shortest solution that begins with the move; exact.

        So many are needed: the pieces less the cycles in which they lie (a piece in its place is a
        cycle of its own), and the quarter turns clockwise until each is upright. A move that puts
        nothing right lacks a quarter more: it may be on a shortest way, by cutting a cycle in two.
        """
        value = np.empty((len(state), self.n_actions(state.level)))
        value_moves(flat(state.board), state.ended, state.level.turned > 0, value)
        return value

    def explain(self, state: StateJigsaw, row: int, action: int) -> str:
        """Such as ``"(0, 1) (2, 2) right, 5 to go"``, ``"(0, 1) (1, 1) wrong, 7 to go"``, or ``no``
        of moves that change nothing.
        """
        text = self.encode(state.level, action)
        value = self.oracle(state[row])[0, action]
        if np.isnan(value):
            return f"{text} no"
        verdict = "right" if self.success_mask(state[row])[0, action] else "wrong"
        return f"{text} {verdict}, {say_moves_left(value)}"

    def candidates(self, state: StateJigsaw, row: int) -> list[int]:
        """The first three moves that put something right."""
        return np.flatnonzero(self.success_mask(state[row])[0])[:3].tolist()

    def reasoning(self, state: StateJigsaw, row: int, values: Values) -> tuple[str, int]:
        """Cell by cell, to the first piece that is not right, and where it belongs:
        ``"(0, 0) piece 0,0 right; (0, 1) piece 2,1 belongs to (2, 1)"``; ``values`` are not used.
        """
        level = state.level
        names = self.names(level)
        good = self.success_mask(state[row])[0]
        thoughts = list[str]()
        for cell, piece in enumerate(state.board[row].ravel().tolist()):
            place = (piece - 1) % state.board[row].size
            words = f"{write_cell(*divmod(cell, level.cols))} {names[piece]}"
            action = cell * state.board[row].size + place
            if piece and good[action]:
                end = (
                    "turn"
                    if cell == place
                    else "belongs to " + write_cell(*divmod(place, level.cols))
                )
                return "; ".join([*thoughts, f"{words} {end}"]), action
            thoughts.append(f"{words} {'right' if piece == cell + 1 else 'no'}")
        return "; ".join(thoughts), NO_ACTION
