"""Lights Out: press lamps until all are off. A whole game of vlmgym in one file, to copy from."""
# ruff: noqa: D102 - what each method must do is said in vlmgym.core.Game

from dataclasses import dataclass, replace
from functools import cache
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
def toggles(level: LevelLightsOut) -> np.ndarray:
    """``(A, A)``: 1 where a press (row) switches a lamp (column). Presses add up modulo 2, in any order."""
    row, col = np.divmod(np.arange(level.rows * level.cols), level.cols)
    return (abs(row[:, None] - row) + abs(col[:, None] - col) <= 1).astype(np.uint8)


class LightsOut(Game):
    """Lights Out on boards from 2x2 to 5x5. ``State.board`` holds 1 where a lamp is on; action ``row * cols + col``."""

    name, version, level_type = "LightsOut", 1, LevelLightsOut
    sources = ("Tiger Electronics, Lights Out (1995), https://en.wikipedia.org/wiki/Lights_Out_(game)",)
    LEVELS = MappingProxyType({
        "easy": LevelLightsOut(rows=3, cols=3, presses=3, max_steps=15),
        "normal": LevelLightsOut(max_steps=30),
        "hard": LevelLightsOut(rows=5, cols=5, presses=9, max_steps=50),
    })  # fmt: skip

    def n_actions(self, level):
        return level.rows * level.cols

    def reset(self, level, seeds):
        """Presses on the dark board, so that there is a solution; every draw is a function of seed, turn and a number."""
        draws = [draw_rows(seeds, 0, k, np.full(len(seeds), 1 << 30)) for k in range(self.n_actions(level))]
        pressed = (np.argsort(np.argsort(draws, axis=0, kind="stable"), axis=0) < level.presses).astype(np.uint8).T
        pressed[~(pressed @ toggles(level) % 2).any(axis=1), 0] ^= 1  # if they cancel out: one more or less does not
        return self.start(level, (pressed @ toggles(level) % 2).reshape(-1, level.rows, level.cols), seeds)

    def legal(self, state):
        """Every press changes the board, until the game has ended."""
        return np.repeat(~state.ended[:, None], self.n_actions(state.level), axis=1)

    def _step(self, state, actions):
        played = ~state.ended & (actions != NO_ACTION)
        board = state.board ^ (toggles(state.level)[actions] * played[:, None]).reshape(state.board.shape)
        won = played & ~board.any(axis=(1, 2))
        over, steps = state.terminated | won, state.steps + ~state.ended
        new = replace(state, board=board, score=state.score + won, steps=steps, terminated=over)
        return new, Outcome(gain=won.astype(np.int64), changed=played, terminated=over)

    def _lengths(self, state):
        """Presses of a shortest solution, ``(B, 1)``, and of one that begins with each press, ``(B, A)``; inf: none."""
        level, n = state.level, self.n_actions(state.level)
        first = (np.arange(1 << level.cols)[:, None] >> np.arange(level.cols) & 1).astype(np.uint8)  # presses of row 0: all ways
        lamps = np.repeat(state.board.reshape(len(state), 1, n), len(first), axis=1)
        pressed = np.zeros_like(lamps)  # (B, ways, A)
        for here in np.arange(n).reshape(level.rows, level.cols):  # a lamp left on is put out from the cell below: no choice
            pressed[..., here] = lamps[..., here - level.cols] if here[0] else first
            lamps ^= pressed[..., here] @ toggles(level)[here] % 2
        count = np.where(lamps.any(axis=2), np.inf, pressed.sum(axis=2))
        return count.min(axis=1, keepdims=True), (count[..., None] + 2 - 2.0 * pressed).min(axis=1)

    def oracle(self, state):
        """Minus the presses of a shortest solution that begins with this one; -1000 on boards that have no solution."""
        return np.where(self.legal(state), -np.minimum(self._lengths(state)[1], 1000), np.nan)

    def successes(self, state):
        """The presses of all shortest solutions; ``good`` says the same of what was played (by default: that it scored)."""
        shortest, first = self._lengths(state)
        return self.legal(state) & np.isfinite(first) & (first == shortest)

    def good(self, state, actions, outcome):
        return self.successes(state)[np.arange(len(state)), actions] & (actions != NO_ACTION)

    def scene(self, state):
        """What is seen: symbol 0 is drawn as an empty cell, the others by their names."""
        return self.view(state, state.board, ("off", "yellow circle"), "shape")

    def from_symbols(self, level, symbols):
        return self.start(level, symbols.astype(np.uint8))

    def encode(self, level, action):
        return write_cell(*divmod(action, level.cols))

    def decode(self, level, text):
        cell = read_cell(text)
        if cell and cell[0] < level.rows and cell[1] < level.cols:
            return Decoded(cell[0] * level.cols + cell[1])
        return Decoded(NO_ACTION, "out_of_range" if cell else "not_a_move")

    def rules(self, level):
        return (
            f"This is Lights Out on a board of {level.rows} rows and {level.cols} columns. A move presses a cell: its lamp and "
            "the lamps above, below, left and right of it go on if they are off, and off if they are on. The goal is to turn "
            "all lamps off in as few moves as possible. Cells are written as off, or yellow circle for a lamp that is on."
        )

    def answer_format(self, level):
        return "the cell to press as (row, column), counted from 0 at the top left, such as (0, 1) for row 0, column 1"

    def explain(self, state, row, action):
        """Such as ``(0, 1) then 3 more``, for the scripted teacher's reasoning."""
        length = self._lengths(state[row])[1][0, action]
        return f"{self.encode(state.level, action)} {f'then {length - 1:.0f} more' if np.isfinite(length) else 'no solution'}"

    def candidates(self, state, row):
        """The three best presses, in reading order."""
        return sorted(np.argsort(self._lengths(state[row])[1][0], kind="stable")[:3].tolist())
