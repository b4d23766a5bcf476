"""Lights Out: press lamps until all are off. A whole game of vlmgym in one file, to copy from."""

from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from types import MappingProxyType

import numpy as np

from vlmgym.core import NO_ACTION, Decoded, Game, Level, Outcome, draw_rows, setting
from vlmgym.games.text import read_cell, write_cell


@dataclass(frozen=True)
class LevelLightsOut(Level):
    """The settings of a level; ``max_steps`` and ``restart`` are inherited."""

    rows: int = setting(4, "board rows", 2, 5)
    cols: int = setting(4, "board columns", 2, 5)
    presses: int = setting(5, "different cells that are pressed on the dark board to make a deal (at most all)", 1, 25)


@cache
def presses_of(rows: int, cols: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Presses as vectors over GF(2): their order never matters, and pressing a cell twice does nothing.

    Returns:
        What each press toggles; a map from solvable boards to one solution; the sums of lamps that are even on solvable
        boards; the sets of presses that do nothing together, which lead from one solution to all others.
    """
    n = rows * cols
    row, col = np.divmod(np.arange(n), cols)
    toggles = (abs(row[:, None] - row) + abs(col[:, None] - col) <= 1).astype(np.uint8)
    work, pivots = np.hstack([toggles, np.eye(n, dtype=np.uint8)]), []
    for c in range(n):  # Gaussian elimination
        top = len(pivots)
        found = top + np.flatnonzero(work[top:, c])
        if len(found):
            work[[top, found[0]]] = work[[found[0], top]]
            work[(work[:, c] == 1) & (np.arange(n) != top)] ^= work[top]
            pivots.append(c)
    free = [c for c in range(n) if c not in pivots]
    idle, solver = np.zeros((len(free), n), np.uint8), np.zeros((n, n), np.uint8)
    idle[:, free], idle[:, pivots] = np.eye(len(free)), work[: len(pivots), free].T
    solver[pivots] = work[: len(pivots), n:]
    return toggles, solver, work[len(pivots) :, n:], np.array(list(product((0, 1), repeat=len(free))), np.uint8) @ idle % 2


class LightsOut(Game):
    """Lights Out on boards from 2x2 to 5x5. ``State.board`` holds 1 where a lamp is on; action ``row * cols + col``."""

    name, version, level_type = "LightsOut", 1, LevelLightsOut
    sources = ("M. Anderson, T. Feil, Turning Lights Out with Linear Algebra (1998), https://doi.org/10.2307/2690705",)
    LEVELS = MappingProxyType({
        "easy": LevelLightsOut(rows=3, cols=3, presses=3, max_steps=15),
        "normal": LevelLightsOut(max_steps=30),
        "hard": LevelLightsOut(rows=5, cols=5, presses=9, max_steps=50),
    })  # fmt: skip

    def n_actions(self, level):
        """One a cell."""
        return level.rows * level.cols

    def reset(self, level, seeds):
        """Presses on the dark board, so that there is a solution; every draw is a function of seed, turn and a number."""
        n = level.rows * level.cols
        order = np.stack([draw_rows(seeds, 0, k, np.full(len(seeds), 1 << 30)) for k in range(n)], axis=1)
        pressed = (order.argsort(axis=1, kind="stable").argsort(axis=1) < level.presses).astype(np.uint8)
        toggles = presses_of(level.rows, level.cols)[0]
        pressed[~(pressed @ toggles % 2).any(axis=1), 0] ^= 1  # presses that did nothing together: one more or less does
        return self.start(level, (pressed @ toggles % 2).reshape(-1, level.rows, level.cols), seeds)

    def legal(self, state):
        """Every press changes the board, until the game has ended."""
        return np.repeat(~state.ended[:, None], self.n_actions(state.level), axis=1)

    def _step(self, state, actions):
        played = ~state.ended & (actions != NO_ACTION)
        toggles = presses_of(state.level.rows, state.level.cols)[0]
        board = state.board ^ (toggles[actions] * played[:, None]).reshape(state.board.shape)
        won = played & ~board.any(axis=(1, 2))
        over, steps = state.terminated | won, state.steps + ~state.ended
        new = replace(state, board=board, score=state.score + won, steps=steps, terminated=over)
        return new, Outcome(gain=won.astype(np.int64), changed=played, terminated=over)

    def _lengths(self, state):
        """Presses of a shortest solution, ``(B, 1)``, and of one that begins with each press, ``(B, A)``; inf if none does."""
        _, solver, even, idle = presses_of(state.level.rows, state.level.cols)
        lamps = state.board.reshape(len(state), self.n_actions(state.level))
        solutions = (lamps @ solver.T % 2)[:, None] ^ idle  # (B, solutions, A)
        count = solutions.sum(axis=2, dtype=np.float64) + np.where((lamps @ even.T % 2).any(axis=1), np.inf, 0)[:, None]
        return count.min(axis=1, keepdims=True), (count[..., None] + 2 - 2 * solutions).min(axis=1)

    def oracle(self, state):
        """Minus the presses of a shortest solution that begins with this one; -1000 on boards that have no solution."""
        return np.where(self.legal(state), -np.minimum(self._lengths(state)[1], 1000), np.nan)

    def successes(self, state):
        """The presses of all shortest solutions; ``good`` must say the same of what was played."""
        shortest, first = self._lengths(state)
        return self.legal(state) & np.isfinite(first) & (first == shortest)

    def good(self, state, actions, outcome):
        """See ``successes``: the score alone would reward the last press only."""
        return self.successes(state)[np.arange(len(state)), actions] & (actions != NO_ACTION)

    def scene(self, state):
        """What is seen: symbol 0 is drawn as an empty cell, the others by their names."""
        return self.view(state, state.board, ("off", "yellow circle"), "shape")

    def from_symbols(self, level, symbols):
        """The game that a picture (or a player's description of one) shows."""
        return self.start(level, symbols.astype(np.uint8))

    def encode(self, level, action):
        """Such as ``(0, 1)``."""
        return write_cell(*divmod(action, level.cols))

    def decode(self, level, text):
        """One cell, and nothing else."""
        cell = read_cell(text)
        if cell is None:
            return Decoded(NO_ACTION, "not_a_move")
        inside = cell[0] < level.rows and cell[1] < level.cols
        return Decoded(cell[0] * level.cols + cell[1]) if inside else Decoded(NO_ACTION, "out_of_range")

    def rules(self, level):
        """What a player must know, and how cells are written."""
        return (
            f"This is Lights Out on a board of {level.rows} rows and {level.cols} columns. A move presses a cell: its lamp and "
            "the lamps above, below, left and right of it go on if they are off, and off if they are on. The goal is to turn "
            "all lamps off in as few moves as possible. Cells are written as off, or yellow circle for a lamp that is on."
        )

    def answer_format(self, level):
        """What belongs into an answer."""
        return "the cell to press as (row, column), counted from 0 at the top left, such as (0, 1) for row 0, column 1"

    def explain(self, state, row, action):
        """Such as ``(0, 1) then 3 more``, for the scripted teacher's reasoning."""
        length = self._lengths(state[row])[1][0, action]
        return f"{self.encode(state.level, action)} {f'then {length - 1:.0f} more' if np.isfinite(length) else 'no solution'}"

    def candidates(self, state, row):
        """The three best presses, in reading order."""
        return sorted(np.argsort(self._lengths(state[row])[1][0], kind="stable")[:3].tolist())
