"""Lights Out 2000: press lamps of two colours until all are off. A whole game of vlmgym in one
file, to copy from.
"""

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np

from vlmgym.core import NO_ACTION, draw_rows, setting
from vlmgym.games.parts.actions import Cells
from vlmgym.games.parts.boards import GridLevel
from vlmgym.games.parts.grid import Puzzle


@dataclass(frozen=True)
class LevelLightsOut2000(GridLevel):
    """The settings of a level; ``max_steps`` and ``restart`` are inherited."""

    rows: int = setting(4, "board rows", 2, 5)
    cols: int = setting(4, "board columns", 2, 5)
    presses: int = setting(5, "presses of drawn cells on the dark board that make a deal", 1, 25)


@cache
def reach(level: LevelLightsOut2000) -> np.ndarray:
    """``(A, A)``: 1 where a press (row) takes a lamp (column) one state on.

    Presses add up modulo 3, in any order.
    """
    row, col = np.divmod(np.arange(level.rows * level.cols), level.cols)
    return (abs(row[:, None] - row) + abs(col[:, None] - col) <= 1).astype(np.uint8)


class LightsOut2000(Puzzle):
    """Lights Out 2000 on boards from 2x2 to 5x5.

    ``State.board`` holds 0 = off, 1 = red, 2 = green; action ``row * cols + col``.
    """

    name, version, level_type = "LightsOut2000", 1, LevelLightsOut2000
    answers = Cells("the cell to press")
    # symbol 0 is drawn as an empty cell, the others by their names
    symbols, kind = ("off", "red circle", "green circle"), "shape"
    sources = (
        "Tiger Electronics, Lights Out 2000 (1997), "
        "https://en.wikipedia.org/wiki/Lights_Out_(game)",
    )
    LEVELS = MappingProxyType({
        "easy": LevelLightsOut2000(rows=3, cols=3, presses=3, max_steps=15),
        "normal": LevelLightsOut2000(max_steps=30),
        "hard": LevelLightsOut2000(rows=5, cols=5, presses=9, max_steps=50),
    })  # fmt: skip
    RULES = (
        "This is Lights Out 2000 on a board of {rows} rows and {cols} columns. A move presses a "
        "cell: its lamp and the lamps above, below, left and right of it change, from off to red, "
        "from red to green, and from green to off. The goal is to turn all lamps off in as few "
        "moves as possible. Cells are written as off, red circle or green circle."
    )

    def deal(self, level, seeds, board):
        """Presses on the dark board, so that there is a solution."""
        # every draw is a function of seed, turn and a number
        bounds = np.full(len(seeds), self.n_actions(level))
        cells = np.array([draw_rows(seeds, 0, number, bounds) for number in range(level.presses)])
        pressed = (cells[:, :, None] == np.arange(self.n_actions(level))).sum(axis=0)
        # if they cancel out: one more does not
        pressed[~(pressed @ reach(level) % 3).any(axis=1), 0] += 1
        board[:] = (pressed @ reach(level) % 3).reshape(board.shape)
        return {}

    def play(self, state, actions, turn):
        """The press that turns the last lamp off gains 1 and ends the game."""
        turn.changed[:] = ~turn.over & (actions != NO_ACTION)
        steps = reach(state.level)[actions] * turn.changed[:, None]
        turn.board[:] = (turn.board + steps.reshape(turn.board.shape)) % 3
        turn.gain[:] = turn.changed & ~turn.board.any(axis=(1, 2))
        turn.terminated |= turn.gain > 0

    def legal_moves(self, state, legal):
        """Every press changes the board."""
        legal[:] = True

    def _lengths(self, state):
        """Presses of a shortest solution that begins with each press, ``(B, A)``; inf: none."""
        level, n = state.level, self.n_actions(state.level)
        # presses of row 0: all ways
        ways = np.arange(3**level.cols)[:, None] // 3 ** np.arange(level.cols) % 3
        lamps = np.repeat(state.board.reshape(len(state), 1, n), len(ways), axis=1)
        pressed = np.zeros_like(lamps)  # (B, ways, A)
        # a lamp left on is put out from the cell below: no choice
        for here in np.arange(n).reshape(level.rows, level.cols):
            pressed[..., here] = (3 - lamps[..., here - level.cols]) % 3 if here[0] else ways
            lamps = (lamps + pressed[..., here] @ reach(level)[here]) % 3
        count = np.where(lamps.any(axis=2), np.inf, pressed.sum(axis=2))
        return (count[..., None] + 3.0 * (pressed == 0)).min(axis=1)

    def oracle(self, state):
        """Minus the presses of a shortest solution that begins with this one; -1000 on boards that
        have no solution.
        """
        return np.where(self.legal(state), -np.minimum(self._lengths(state), 1000), np.nan)

    def success_mask(self, state):
        """The presses of all shortest solutions; a dark board (that was described) needs none."""
        return super().success_mask(state) & state.board.any(axis=(1, 2))[:, None]

    def explain(self, state, row, action):
        """Such as ``(0, 1) then 3 more``, for the scripted teacher's reasoning."""
        length = self._lengths(state[row])[0, action]
        after = f"then {length - 1:.0f} more" if np.isfinite(length) else "no solution"
        return f"{self.encode(state.level, action)} {after}"

    def candidates(self, state, row):
        """The three best presses, in reading order."""
        return sorted(np.argsort(self._lengths(state[row])[0], kind="stable")[:3].tolist())
