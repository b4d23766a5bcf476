"""FrozenLake: walk to the goal, over a lake with holes (on which one may slip) or through a
maze.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import (
    DEAD,
    PER_GAME,
    ConfigError,
    Scene,
    State,
    StateError,
    setting,
)
from vlmgym.games.parts.actions import Moves
from vlmgym.games.parts.boards import (
    Actions,
    Arrays,
    Boards,
    GridLevel,
    Marks,
    Seeds,
    Symbols,
    Values,
    all_but_first,
    first_from,
    step_from,
)
from vlmgym.games.parts.explanations import say_moves_left
from vlmgym.games.parts.grid import Puzzle, Turn
from vlmgym.games.parts.lakes import AT_GOAL, IN_HOLE, NAMES, as_shown, play_moves
from vlmgym.games.parts.mazes import deal_fields
from vlmgym.games.solvers import walks
from vlmgym.games.solvers.walks import FLOOR, GOAL, HOLE, PLAYER, mark_moves


@dataclass(frozen=True)
class LevelFrozenLake(GridLevel):
    """Rule settings of FrozenLake; mazes have passages on the cells of odd row and column, and
    walls between.
    """

    rows: int = setting(
        8,
        "board rows; a maze of an odd number has a wall all around, else none at the bottom",
        2,
        16,
    )
    cols: int = setting(
        8,
        "board columns; a maze of an odd number has a wall all around, else none at the right",
        2,
        16,
    )
    field: str = setting(
        "lake", "lake: holes end the game; maze: walls block the way", choices=("lake", "maze")
    )
    density: float = setting(0.2, "share of the cells that are holes (lakes)", 0.0, 0.9)
    loops: float = setting(
        0.0, "probability with which a wall between two passages is taken out (mazes)", 0.0, 1.0
    )
    slip: float = setting(
        0.0, "probability that a move goes to one of its two sides instead", 0.0, 0.9
    )

    def __post_init__(self) -> None:
        """Check that a maze has two passages at least.

        Raises:
            ConfigError: a field is out of range, or the maze is too small.
        """
        super().__post_init__()
        if self.field == "maze" and max(self.rows, self.cols) < 4:
            raise ConfigError(
                "LevelFrozenLake.rows",
                self.rows,
                f"4 to 16 for a maze of fewer than 4 columns ({self.cols})",
            )


@dataclass(frozen=True, eq=False)
class StateFrozenLake(State[LevelFrozenLake]):
    """A state of FrozenLake; ``board`` holds the values of :mod:`vlmgym.games.solvers.walks`, the
    player in place of what it stands on.
    """

    # (B,) what the player stands on: floor, or where the game has ended a hole or a goal
    under: NDArray[np.uint8] = field(metadata=PER_GAME)


class FrozenLake(Puzzle[LevelFrozenLake, StateFrozenLake]):
    """FrozenLake on any board from 2x2 to 16x16, and mazes."""

    name = "FrozenLake"
    version = 1
    level_type = LevelFrozenLake
    state_type = StateFrozenLake
    answers = Moves()
    symbols = NAMES
    kind = "sprite"
    TIE = 1e-9
    tags = ("search", "luck")
    sources = (
        "Gymnasium, Frozen Lake, https://gymnasium.farama.org/environments/toy_text/frozen_lake/",
        "R. Sutton, A. Barto, Reinforcement Learning (2018), chapter 4 (policy iteration), "
        "http://incompleteideas.net/book/the-book.html",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelFrozenLake(rows=4, cols=4, max_steps=30),
            "normal": LevelFrozenLake(max_steps=60),
            "hard": LevelFrozenLake(slip=0.5, max_steps=200),
            "maze_easy": LevelFrozenLake(rows=7, cols=7, field="maze", max_steps=60),
            "maze_normal": LevelFrozenLake(rows=11, cols=11, field="maze", max_steps=120),
            "maze_hard": LevelFrozenLake(rows=15, cols=15, field="maze", loops=0.1, max_steps=240),
            "tiny": LevelFrozenLake(rows=4, cols=4, max_steps=16),
        }
    )
    RULES = (
        "This is {place} of {rows} rows and {cols} columns. A move takes the player one cell in "
        "one direction; a move off the board changes nothing. {blocked}.{slips} The goal is to "
        "reach the goal cell {aim}. Cells are written as floor, wall, hole, goal or player."
    )
    SLIPPERY = (
        " The ice is slippery: with probability {slip:g} a move goes to one of its two sides "
        "instead (up or down for a move left or right, and the other way round)."
    )
    SLIPPERY_AIM = (
        "with the best chance, of which each further move takes "
        f"{100 * (1 - walks.DISCOUNT):.1g} % away"
    )

    def words(self, level: LevelFrozenLake) -> dict[str, object]:
        """What lakes and mazes, and slippery and other ice, are said to be."""
        maze = level.field == "maze"
        return {
            "place": "a maze" if maze else "a frozen lake",
            "blocked": "Walls block the way" if maze else "Stepping into a hole ends the game",
            "slips": self.SLIPPERY.format(slip=level.slip) if level.slip else "",
            "aim": self.SLIPPERY_AIM if level.slip else "in as few moves as possible",
        }

    def further(self, board: Boards) -> Arrays:
        """The player stands on floor."""
        return {"under": np.full(len(board), FLOOR, np.uint8)}

    def deal(self, level: LevelFrozenLake, seeds: Seeds, board: Boards) -> Arrays:
        """A field with a way to the goal, which is drawn among the farthest quarter of distances.

        The player starts in the top left corner of a lake, or on any passage of a maze (small mazes
        are few).
        """
        cells = level.rows * level.cols
        holes = min(round(level.density * cells), cells - 2)
        deal_fields(board, seeds, level.field == "maze", holes, level.loops)
        return self.further(board)

    def play(self, state: StateFrozenLake, actions: Actions, turn: Turn) -> None:
        """The goal gains 1; the goal and holes end the game."""
        under = turn.copy_of("under")
        play_moves(turn.for_kernels(), under, actions, state.level.slip)

    def points(self, state: StateFrozenLake) -> NDArray[np.float64]:
        """Lost in a hole."""
        return np.where(state.terminated, state.under == GOAL, np.nan)

    def legal_moves(self, state: StateFrozenLake, legal: Marks) -> None:
        """The moves that can change the board; where one may slip, what a move to either side does
        counts too.
        """
        mark_moves(state.board, state.level.slip, legal)

    def scene(self, state: StateFrozenLake) -> Scene:
        """The board, and where the player has come to an end."""
        symbols = as_shown(state.board, state.under)
        return self.view(state, symbols, NAMES, self.kind)

    def from_symbols(self, level: LevelFrozenLake, symbols: Symbols) -> StateFrozenLake:
        """Of several players the first in reading order stays, the others become what they stand
        on; without one no move is legal; one in a hole or at the goal has ended the game.
        """
        board = np.array(symbols, np.uint8, order="C")
        kept = board >= PLAYER
        kept &= ~all_but_first(kept)
        under = np.zeros(len(board), np.uint8)
        for symbol, ground in ((PLAYER, FLOOR), (IN_HOLE, HOLE), (AT_GOAL, GOAL)):
            standing = board == symbol
            under[(standing & kept).any(axis=(1, 2))] = ground
            board[standing] = ground
        board[kept] = PLAYER
        return self.start(level, board, under=under, terminated=under != FLOOR)

    def verify(self, state: StateFrozenLake) -> None:
        """What lies under the player comes to be seen when it leaves."""
        super().verify(state)
        for name, values in (("board", state.board), ("under", state.under)):
            if len(state) and values.max() > PLAYER:
                raise StateError(f"{name} = {values.max()}: allowed are 0 to {PLAYER}")

    def least(self, level: LevelFrozenLake) -> float:
        """On slippery ice a chance of 0."""
        return 0.0 if level.slip else DEAD

    def oracle(self, state: StateFrozenLake) -> Values:
        """``(B, 4)``; it is exact, whatever the turn limit.

        Without slipping: minus the moves of a shortest way to a goal that begins with this move;
        :data:`DEAD` for a step into a hole and where there is no way. With slipping: the highest
        probability to reach a goal after this move, 0 to 1, where each further move that it takes
        counts :data:`vlmgym.games.solvers.walks.DISCOUNT` times (by policy iteration).
        """
        return walks.values(state.board, self.legal(state), state.level.slip)

    def explain(self, state: StateFrozenLake, row: int, action: int) -> str:
        """Such as ``"0 up floor 5 left"``, ``"2 down hole"``, ``"1 right wall"``, ``"3 left
        edge"``.

        The number is that of the moves left on a shortest way after the move (``no way`` if there
        is none); where one may slip, ``"0 up floor 0.53"`` has the chance to reach a goal,
        however late, by this move and then the best ones.
        """
        board = state.board[row]
        text = self.answers.say(state.level, action)
        cell = first_from(board, PLAYER)
        if state.ended[row] or cell < 0:
            return f"{text} no"
        target = step_from(board, cell, action)
        kind = board.flat[target] if target >= 0 else -1
        text += f" {NAMES[kind]}" if kind >= 0 else " edge"
        value = self.oracle(state[row])[0, action]
        if np.isnan(value):
            return text
        if state.level.slip:
            chance = walks.chances(state.board[row][None], self.legal(state[row]), state.level.slip)
            return f"{text} {chance[0, action]:.2f}"
        if kind == HOLE:
            return text
        return f"{text} {say_moves_left(value, 'left', 'no way')}"
