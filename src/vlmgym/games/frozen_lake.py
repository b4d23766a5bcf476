"""FrozenLake: walk to the goal, over a lake with holes (on which one may slip) or through a maze."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import PER_GAME, ConfigError, Decoded, Outcome, Scene, State, best_rows, draw_below, draw_unit, setting
from vlmgym.games.text import MOVE_FORMAT, MOVES, STEPS, read_number
from vlmgym.kernels import apart, inner, kernel

NAMES = ("floor", "wall", "hole", "goal", "player")
FLOOR, WALL, HOLE, GOAL, PLAYER = range(5)
TRIES = 64
"""Lakes that are drawn for one with a long enough way; then a way is carved into the last one."""
DEAD = -1000.0
"""Oracle value (without slipping) of a move into a hole, or after which no goal can be reached."""
DISCOUNT = 0.99
"""Factor by which each move after this one lessens the oracle value (with slipping)."""
SWEEPS = 5000
"""Most sweeps of the value iteration; at the discount, 2,800 take any error below 1e-12."""
TIE = 1e-9
"""Oracle values closer than this count as equal."""
_STEPS = np.array(STEPS)


@dataclass(frozen=True)
class LevelFrozenLake(core.Level):
    """Rule settings of FrozenLake; mazes have passages on the cells of odd row and column, and walls between."""

    rows: int = setting(8, "board rows; a maze of an odd number has a wall all around, else none at the bottom", 2, 16)
    cols: int = setting(8, "board columns; a maze of an odd number has a wall all around, else none at the right", 2, 16)
    field: str = setting("lake", "lake: holes end the game; maze: walls block the way", choices=("lake", "maze"))
    density: float = setting(0.2, "share of the cells that are holes (lakes)", 0.0, 0.9)
    loops: float = setting(0.0, "probability with which a wall between two passages is taken out (mazes)", 0.0, 1.0)
    slip: float = setting(0.0, "probability that a move goes to one of its two sides instead", 0.0, 0.9)

    def __post_init__(self) -> None:
        """Check that a maze has two passages at least.

        Raises:
            ConfigError: a field is out of range, or the maze is too small.
        """
        super().__post_init__()
        if self.field == "maze" and max(self.rows, self.cols) < 4:
            raise ConfigError("LevelFrozenLake.rows", self.rows, f"4 to 16 for a maze of fewer than 4 columns ({self.cols})")


@dataclass(frozen=True, eq=False)
class StateFrozenLake(State[LevelFrozenLake]):
    """A state of FrozenLake; ``board`` holds indices into :data:`NAMES`, the player drawn over what it stands on."""

    # (B,) what the player stands on: floor, or where the game has ended a hole or a goal
    under: NDArray[np.uint8] = field(metadata=PER_GAME)


# ------------------------------------------------------------------------------------------------------------ rules
@kernel
def _player(board):
    """The first cell with a player in reading order; -1 if there is none."""
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] == PLAYER:
                return r * cols + c
    return -1


@kernel
def _ahead(board, cell, move):
    """The cell that a step leads to; -1 if a wall or the edge is in the way."""
    rows, cols = board.shape
    r, c = cell // cols + _STEPS[move, 0], cell % cols + _STEPS[move, 1]
    return r * cols + c if 0 <= r < rows and 0 <= c < cols and board[r, c] != WALL else -1


@kernel
def _play(board, under, actions, steps, seeds, ended, slip, gain, changed, terminated):
    cols = board.shape[2]
    for b in range(len(board)):
        if ended[b] or actions[b] < 0:
            continue
        cell, move, step = _player(board[b]), actions[b], steps[b] + 1  # the draws of turn 0 belong to reset
        if draw_unit(seeds[b], step, 0) < slip:
            move = (move + (1 if draw_below(seeds[b], step, 1, 2) else 3)) % 4
        to = _ahead(board[b], cell, move) if cell >= 0 else -1
        if to < 0:
            continue
        changed[b] = True
        board[b, cell // cols, cell % cols] = under[b]
        under[b] = board[b, to // cols, to % cols]
        board[b, to // cols, to % cols] = PLAYER
        gain[b] = under[b] == GOAL
        terminated[b] = under[b] != FLOOR


@kernel
def _legal(board, ended, slip, legal):
    for b in range(len(board)):
        cell = _player(board[b])
        for move in range(4):
            if not ended[b] and cell >= 0 and _ahead(board[b], cell, move) >= 0:
                legal[b, move] = True
                if slip > 0.0:
                    legal[b, (move + 1) % 4] = legal[b, (move + 3) % 4] = True


# ----------------------------------------------------------------------------------------------------------- oracle
@apart
def _distances(board, source):
    """Moves between each cell and the nearest cell that holds ``source``, over floor; -1 where there is no way."""
    rows, cols = board.shape
    wide = cols + 2  # with a wall around, no step leaves the field
    far, queue, tail = np.full((rows + 2) * wide, -2, np.int64), np.empty(rows * cols, np.int64), 0
    for r in range(rows):
        for c in range(cols):
            cell, kind = (r + 1) * wide + c + 1, board[r, c]
            if kind == source:
                far[cell], queue[tail] = 0, cell
                tail += 1
            elif kind in (FLOOR, PLAYER):
                far[cell] = -1
    head = 0
    while head < tail:
        cell = queue[head]
        head += 1
        for to in (cell - wide, cell + 1, cell + wide, cell - 1):
            if far[to] == -1:
                far[to], queue[tail] = far[cell] + 1, to
                tail += 1
    distance = np.empty(rows * cols, np.int64)
    for r in range(rows):
        for c in range(cols):
            distance[r * cols + c] = max(far[(r + 1) * wide + c + 1], -1)
    return distance


@inner
def _worth(worth, to, cell, move, slip):
    """Value of a move, from what it is worth to be where its three outcomes lead."""
    sides = worth[to[cell, (move + 1) % 4]] + worth[to[cell, (move + 3) % 4]]
    return (1.0 - slip) * worth[to[cell, move]] + slip / 2.0 * sides


@inner
def _iterate(board, slip):
    """What it is worth to be on a cell after a move: 1 on a goal, 0 in a hole, else the discounted best next value.

    Value iteration; sweeps that try all moves take turns with cheaper ones that repeat the best moves found.

    Returns:
        The values, and the cell that each move leads to from each cell.
    """
    rows, cols = board.shape
    cells = rows * cols
    worth, to, policy = np.zeros(cells), np.empty((cells, 4), np.int64), np.full(cells, -1, np.int64)
    for cell in range(cells):
        worth[cell] = board[cell // cols, cell % cols] == GOAL
        if board[cell // cols, cell % cols] in (FLOOR, PLAYER):
            policy[cell] = 0
        for move in range(4):
            ahead = _ahead(board, cell, move)
            to[cell, move] = ahead if ahead >= 0 else cell
    for sweep in range(SWEEPS):
        error, spread = 0.0, False
        for k in range(cells):
            cell = k if sweep % 2 else cells - 1 - k
            if policy[cell] < 0:
                continue
            old = worth[cell]
            if sweep % 10 == 0:
                for move in range(4):
                    if _worth(worth, to, cell, move, slip) > _worth(worth, to, cell, policy[cell], slip):
                        policy[cell] = move
            worth[cell] = DISCOUNT * _worth(worth, to, cell, policy[cell], slip)
            error = max(error, abs(worth[cell] - old))
            spread |= old == 0.0 and worth[cell] > 0.0
        if sweep % 10 == 0 and error < 1e-12 and not spread:  # right to 1e-12 / (1 - DISCOUNT) = 1e-10
            break
    return worth, to


@kernel
def _oracle(board, legal, slip, value):
    for b in range(len(board)):
        value[b] = np.nan
        if not legal[b].any():
            continue
        cell = _player(board[b])
        if slip > 0.0:
            worth, to = _iterate(board[b], slip)
            for move in range(4):
                if legal[b, move]:
                    value[b, move] = _worth(worth, to, cell, move, slip)
            continue
        distance = _distances(board[b], GOAL)
        for move in range(4):
            if legal[b, move]:
                left = distance[_ahead(board[b], cell, move)]
                value[b, move] = -1.0 - left if left >= 0 else DEAD


# ------------------------------------------------------------------------------------------------------------ deals
@inner
def _lake(board, seed, holes):
    """Draw a lake with the player in the top left corner; returns the number of the next draw and the moves to each cell."""
    rows, cols = board.shape
    flat, number, order = board.reshape(rows * cols), 0, np.arange(1, rows * cols)
    for _ in range(TRIES):
        flat[:] = FLOOR
        flat[0] = PLAYER
        for k in range(holes):
            other = k + draw_below(seed, 0, number, len(order) - k)
            order[k], order[other] = order[other], order[k]
            flat[order[k]] = HOLE
            number += 1
        distance = _distances(board, PLAYER)
        if distance.max() >= (rows + cols) * 2 // 3:
            return number, distance
    r, c = 0, 0
    while r + 1 < rows or c + 1 < cols:
        if c + 1 == cols or (r + 1 < rows and draw_below(seed, 0, number, 2) == 0):
            r += 1
        else:
            c += 1
        number += 1
        board[r, c] = FLOOR
    return number, _distances(board, PLAYER)


@inner
def _maze(board, seed, loops):
    """Draw a maze by depth-first search from the drawn cell of the player; returns what :func:`_lake` returns."""
    rows, cols = board.shape
    number, tail, stack = 2, 1, np.empty(rows * cols, np.int64)
    r, c = 1 + 2 * draw_below(seed, 0, 0, rows // 2), 1 + 2 * draw_below(seed, 0, 1, cols // 2)
    board[:] = WALL
    board[r, c] = PLAYER
    stack[0] = r * cols + c
    options = np.empty(4, np.int64)
    while tail:
        r, c, count = stack[tail - 1] // cols, stack[tail - 1] % cols, 0
        for move in range(4):
            i, j = r + 2 * _STEPS[move, 0], c + 2 * _STEPS[move, 1]
            if 0 < i < rows and 0 < j < cols and board[i, j] == WALL:
                options[count] = move
                count += 1
        if count == 0:
            tail -= 1
            continue
        move = options[draw_below(seed, 0, number, count)]
        number += 1
        board[r + _STEPS[move, 0], c + _STEPS[move, 1]] = FLOOR
        board[r + 2 * _STEPS[move, 0], c + 2 * _STEPS[move, 1]] = FLOOR
        stack[tail] = (r + 2 * _STEPS[move, 0]) * cols + c + 2 * _STEPS[move, 1]
        tail += 1
    for r in range(1, rows):
        for c in range(1, cols):
            inner = (r % 2 == 1 and c % 2 == 0 and c + 1 < cols) or (r % 2 == 0 and c % 2 == 1 and r + 1 < rows)
            if inner and board[r, c] == WALL:
                if draw_unit(seed, 0, number) < loops:
                    board[r, c] = FLOOR
                number += 1
    return number, _distances(board, PLAYER)


@kernel
def _reset(board, seeds, maze, holes, loops):
    cols = board.shape[2]
    for b in range(len(board)):
        number, distance = _maze(board[b], seeds[b], loops) if maze else _lake(board[b], seeds[b], holes)
        far = np.flatnonzero(distance >= distance.max() - distance.max() // 4)
        goal = far[draw_below(seeds[b], 0, number, len(far))]
        board[b, goal // cols, goal % cols] = GOAL


class FrozenLake(core.Game[LevelFrozenLake, StateFrozenLake]):
    """FrozenLake on any board from 2x2 to 16x16, and mazes."""

    name = "FrozenLake"
    version = 1
    level_type = LevelFrozenLake
    state_type = StateFrozenLake
    sources = (
        "Gymnasium, Frozen Lake, https://gymnasium.farama.org/environments/toy_text/frozen_lake/",
        "R. Sutton, A. Barto, Reinforcement Learning (2018), chapter 4 (value iteration), http://incompleteideas.net/book/the-book.html",
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

    def n_actions(self, level: LevelFrozenLake) -> int:
        """Four."""
        return 4

    def reset(self, level: LevelFrozenLake, seeds: NDArray[np.uint64]) -> StateFrozenLake:
        """Fresh games, one per seed, all with a way to the goal, which is drawn among the farthest quarter of distances.

        The player starts in the top left corner of a lake, or on any passage of a maze (small mazes are few).
        """
        seeds = np.ascontiguousarray(seeds, np.uint64)
        board, cells = np.empty((len(seeds), level.rows, level.cols), np.uint8), level.rows * level.cols
        _reset(board, seeds, level.field == "maze", min(round(level.density * cells), cells - 2), level.loops)
        return self.start(level, board, seeds, under=np.full(len(seeds), FLOOR, np.uint8))

    def legal(self, state: StateFrozenLake) -> NDArray[np.bool_]:
        """``(B, 4)``: the moves that can change the board; where one may slip, what a move to either side does counts too."""
        legal = np.zeros((len(state), 4), bool)
        _legal(state.board, state.ended, state.level.slip, legal)
        return legal

    def successes(self, state: StateFrozenLake) -> NDArray[np.bool_]:
        """``(B, 4)``: the best moves by :meth:`oracle`; none where no goal can be reached."""
        none = 0.0 if state.level.slip else DEAD
        value = self.oracle(state)
        best = np.empty(value.shape, bool)
        best_rows(value, none, TIE, best)
        return best

    def good(self, state: StateFrozenLake, actions: NDArray[np.int64], outcome: Outcome) -> NDArray[np.bool_]:
        """``(B,)``: the move was a best one, wherever it slipped to."""
        return (actions >= 0) & self.successes(state)[np.arange(len(state)), actions]

    def _step(self, state: StateFrozenLake, actions: NDArray[np.int64]) -> tuple[StateFrozenLake, Outcome]:
        """The goal gains 1; the goal and holes end the game."""
        ended, n, under = state.ended, len(state), state.under.copy()
        board, gain, changed = state.board.copy(), np.zeros(n, np.int64), np.zeros(n, bool)
        terminated, slip = state.terminated.copy(), state.level.slip
        _play(board, under, actions, state.steps, state.seed, ended, slip, gain, changed, terminated)
        score, steps = state.score + gain, state.steps + ~ended
        new = replace(state, board=board, score=score, steps=steps, terminated=terminated, under=under)
        return new, Outcome(gain, changed, terminated)

    def blank(self, level: LevelFrozenLake) -> StateFrozenLake:
        """See :class:`vlmgym.core.Game`."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board, under=np.zeros(1, np.uint8))

    def scene(self, state: StateFrozenLake) -> Scene:
        """The board as it is; the player hides what it stands on."""
        return self.view(state, state.board, NAMES, "sprite")

    def from_symbols(self, level: LevelFrozenLake, symbols: NDArray[np.int16]) -> StateFrozenLake:
        """Of several players the first in reading order stays, the others become floor; without one no move is legal."""
        board = np.ascontiguousarray(symbols, np.uint8).copy()
        flat = board.reshape(len(board), board.shape[1] * board.shape[2])
        players = flat == PLAYER
        flat[players & (players.cumsum(axis=1) > 1)] = FLOOR
        return self.start(level, board, under=np.full(len(board), FLOOR, np.uint8))

    def verify(self, state: StateFrozenLake) -> None:
        """See :class:`vlmgym.core.Game`; what lies under the player comes to be seen when it leaves."""
        super().verify(state)
        under = state.under
        if len(state) and under.max() >= len(NAMES):
            raise core.StateError(f"under = {under.max()}: allowed are 0 to {len(NAMES) - 1}")

    def oracle(self, state: StateFrozenLake) -> NDArray[np.float64]:
        """``(B, 4)``; it is exact, whatever the turn limit.

        Without slipping: minus the moves of a shortest way to a goal that begins with this move; :data:`DEAD` for a step into
        a hole and where there is no way. With slipping: the highest probability to reach a goal after this move, 0 to 1,
        where each further move that it takes counts :data:`DISCOUNT` times (by value iteration, to 1e-10).
        """
        value = np.empty((len(state), 4))
        _oracle(state.board, self.legal(state), state.level.slip, value)
        return value

    def encode(self, level: LevelFrozenLake, action: int) -> str:
        """``"0"`` to ``"3"``."""
        return str(action)

    def decode(self, level: LevelFrozenLake, text: str) -> Decoded:
        """A lone number 0 to 3."""
        return read_number(text, 4)

    def rules(self, level: LevelFrozenLake) -> str:
        """See :class:`vlmgym.core.Game`."""
        place = "a maze" if level.field == "maze" else "a frozen lake"
        blocked = "Walls block the way" if level.field == "maze" else "Stepping into a hole ends the game"
        slip = (
            f" The ice is slippery: with probability {level.slip:g} a move goes to one of its two sides instead (up or down for "
            "a move left or right, and the other way round)."
            if level.slip
            else ""
        )
        aim = "with the best chance" if level.slip else "in as few moves as possible"
        return (
            f"This is {place} of {level.rows} rows and {level.cols} columns. A move takes the player one cell in one direction; "
            f"a move off the board changes nothing. {blocked}.{slip} The goal is to reach the goal cell {aim}. Cells are "
            "written as floor, wall, hole, goal or player."
        )

    def answer_format(self, level: LevelFrozenLake) -> str:
        """See :class:`vlmgym.core.Game`."""
        return MOVE_FORMAT

    def explain(self, state: StateFrozenLake, row: int, action: int) -> str:
        """Such as ``"0 up floor 5 left"``, ``"2 down hole"``, ``"1 right wall"``, ``"3 left edge"``.

        The number is that of the moves left on a shortest way after the move (``no way`` if there is none); where one may
        slip, ``"0 up floor 0.53"`` has the move's oracle value instead.
        """
        board, text = state.board[row], f"{action} {MOVES[action]}"
        cell = _player(board)
        if state.ended[row] or cell < 0:
            return f"{text} no"
        r, c = cell // board.shape[1] + STEPS[action][0], cell % board.shape[1] + STEPS[action][1]
        kind = board[r, c] if 0 <= r < board.shape[0] and 0 <= c < board.shape[1] else -1
        text += f" {NAMES[kind]}" if kind >= 0 else " edge"
        value = self.oracle(state[row])[0, action]
        if np.isnan(value):
            return text
        if state.level.slip:
            return f"{text} {value:.2f}"
        if kind == HOLE:
            return text
        return f"{text} no way" if value <= DEAD else f"{text} {-1 - int(value)} left"

    def candidates(self, state: StateFrozenLake, row: int) -> list[int]:
        """The legal moves."""
        return np.flatnonzero(self.legal(state[row])[0]).tolist()
