"""Sokoban: push every box onto a target. Rooms are dealt from an exact search, so each can be solved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym import core
from vlmgym.core import ConfigError, Decoded, Outcome, Scene, State, best_rows, draw_below, setting
from vlmgym.games.parts.actions import MOVE_FORMAT, MOVES, STEPS, read_number, write_cell
from vlmgym.kernels import apart, inner, kernel

NAMES = ("floor", "wall", "target", "box", "box on target", "player", "player on target")
"""Text of each board value."""
FLOOR, WALL, TARGET, BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET = range(7)
MAX_BOXES = 4
MAX_POSITIONS = 3_000_000
"""Positions (player cell times sets of box cells) that a search may tell apart: what bounds its time and memory."""
DEAD = -1000.0
"""Oracle value of a move after which the boxes can no longer all reach targets."""
TRIES = 16
"""Rooms that are tried for a start within ``min_moves`` .. ``max_moves``; else the longest solution found is dealt."""
_STEPS = np.array(STEPS)


@dataclass(frozen=True)
class LevelSokoban(core.Level):
    """Rule settings of Sokoban."""

    rows: int = setting(7, "board rows, the walls around included", 4, 12)
    cols: int = setting(7, "board columns, the walls around included", 4, 12)
    boxes: int = setting(2, "boxes, and targets", 1, MAX_BOXES)
    walls: int = setting(4, "inner walls; fewer where they would cut the room in two", 0, 40)
    min_moves: int = setting(8, "moves of a shortest solution, at least (where a few rooms offer that)", 1, 500)
    max_moves: int = setting(25, "moves of a shortest solution, at most", 1, 500)

    def __post_init__(self) -> None:
        """Check that rooms of this level can be dealt and searched.

        Raises:
            ConfigError: a field is out of range, the room is too small, or it has too many positions for the exact search.
        """
        super().__post_init__()
        inner = (self.rows - 2) * (self.cols - 2)
        if max(self.rows, self.cols) < 5:
            raise ConfigError("LevelSokoban.cols", self.cols, "5 or more where rows is 4: a push needs 3 cells in a line")
        if inner - self.walls < 4 * self.boxes + 2:
            room = f"{inner} inner cells less walls of at least 4 * boxes + 2; boxes is {self.boxes}"
            raise ConfigError("LevelSokoban.walls", self.walls, room)
        if comb(inner, self.boxes) * inner > MAX_POSITIONS:
            most = max(k for k in range(1, self.boxes) if comb(inner, k) * inner <= MAX_POSITIONS)
            allowed = f"1 to {most} on {inner} inner cells, so that a search has at most {MAX_POSITIONS} positions"
            raise ConfigError("LevelSokoban.boxes", self.boxes, allowed)
        if self.min_moves > self.max_moves:
            raise ConfigError("LevelSokoban.min_moves", self.min_moves, f"1 to max_moves, {self.max_moves}")


# The board holds uint8 indices into NAMES, with at most one player. Moves: 0 up, 1 right, 2 down, 3 left.
@kernel
def _player(board):
    """Row and column of the player; (-1, -1) without one."""
    rows, cols = board.shape
    for r in range(rows):
        for c in range(cols):
            if board[r, c] >= PLAYER:
                return r, c
    return -1, -1


@kernel
def _effect(board, r, c, move):
    """What a move of the player on (r, c) meets: 0 a wall, 1 a box that is stuck, 2 a free cell, 3 a box that moves."""
    rows, cols = board.shape
    dr, dc = _STEPS[move]
    if not (0 <= r + dr < rows and 0 <= c + dc < cols) or board[r + dr, c + dc] == WALL:
        return 0
    if board[r + dr, c + dc] < BOX:
        return 2
    if not (0 <= r + 2 * dr < rows and 0 <= c + 2 * dc < cols):
        return 1
    beyond = board[r + 2 * dr, c + 2 * dc]
    return 3 if beyond in (FLOOR, TARGET) else 1


@inner
def _has_box(board):
    for r in range(board.shape[0]):
        for c in range(board.shape[1]):
            if board[r, c] == BOX:
                return True
    return False


@kernel
def _play(board, actions, ended, gain, changed, terminated):
    for b in range(len(board)):
        r, c = _player(board[b])
        if ended[b] or actions[b] < 0 or r < 0:
            continue
        effect = _effect(board[b], r, c, actions[b])
        if effect < 2:
            continue
        dr, dc = _STEPS[actions[b]]
        changed[b], ahead = True, board[b, r + dr, c + dc]
        if effect == 3:
            onto = board[b, r + 2 * dr, c + 2 * dc] == TARGET
            board[b, r + 2 * dr, c + 2 * dc] = BOX_ON_TARGET if onto else BOX
            gain[b] = np.int64(onto) - np.int64(ahead == BOX_ON_TARGET)
        board[b, r, c] = TARGET if board[b, r, c] == PLAYER_ON_TARGET else FLOOR
        board[b, r + dr, c + dc] = PLAYER_ON_TARGET if ahead in (TARGET, BOX_ON_TARGET) else PLAYER
        terminated[b] = not _has_box(board[b])


@kernel
def _legal(board, ended, legal):
    for b in range(len(board)):
        r, c = _player(board[b])
        if not ended[b] and r >= 0:
            for move in range(4):
                legal[b, move] = _effect(board[b], r, c, move) >= 2


# A position is the number of the player's cell among the cells without walls, and the numbers of the boxes' cells in
# ascending order; a key packs them in bytes (player lowest), and ``_place`` numbers them without holes.
@inner
def _place(player, boxes, choose, cells):
    rank = np.int64(0)
    for i in range(len(boxes)):
        rank += choose[boxes[i], i + 1]
    return rank * cells + player


@inner
def _key(player, boxes):
    key = np.int64(player)
    for i in range(len(boxes)):
        key |= np.int64(boxes[i]) << np.int64(8 * (i + 1))
    return key


@apart
def _moved(boxes, i, to, out):
    """``boxes`` with the i-th on cell ``to``, in ascending order, in ``out``."""
    for k in range(len(boxes)):
        out[k] = boxes[k]
    while i > 0 and out[i - 1] > to:
        out[i] = out[i - 1]
        i -= 1
    while i + 1 < len(out) and out[i + 1] < to:
        out[i] = out[i + 1]
        i += 1
    out[i] = to


@inner
def _index(boxes, cell):
    for i in range(len(boxes)):
        if boxes[i] == cell:
            return i
    return -1


@apart
def _search(board, count, player):
    """Moves to the nearest solved position from each position of ``count`` boxes, breadth first and backwards.

    With ``player``, the cell of the board's own player, only up to the board's own position: of what it may become in one
    move, the nearest to a solution is known by then. Without, -1, all positions.

    Returns:
        The number of each cell (-1 = wall), flat; the table of binomials; ``distance`` by place, -1 where the boxes cannot
        be brought onto targets, of length 0 where there are too few targets or too many positions; and the keys of all
        other positions in the order of their distance.
    """
    rows, cols = board.shape
    number, cells, targets = np.full(rows * cols, -1, np.int64), 0, np.empty(rows * cols, np.int64)
    goals = 0
    for k in range(rows * cols):
        value = board[k // cols, k % cols]
        if value != WALL:
            if value in (TARGET, BOX_ON_TARGET, PLAYER_ON_TARGET):
                targets[goals] = cells
                goals += 1
            number[k] = cells
            cells += 1
    choose = np.zeros((cells + 1, MAX_BOXES + 1), np.int64)
    choose[:, 0] = 1
    for k in range(1, cells + 1):
        for i in range(1, MAX_BOXES + 1):
            choose[k, i] = choose[k - 1, i - 1] + choose[k - 1, i]
    if count < 1 or count > min(goals, MAX_BOXES) or choose[cells, count] * cells > MAX_POSITIONS:
        return number, choose, np.empty(0, np.int16), np.empty(0, np.int64)
    last, found = number[player] if player >= 0 else -1, 0
    near = np.full((cells, 4), -1, np.int64)
    for k in range(rows * cols):
        if player >= 0 and board[k // cols, k % cols] in (BOX, BOX_ON_TARGET):
            found += 1
            last |= number[k] << (8 * found)
        for move in range(4):
            r, c = k // cols + _STEPS[move, 0], k % cols + _STEPS[move, 1]
            if number[k] >= 0 and 0 <= r < rows and 0 <= c < cols:
                near[number[k], move] = number[r * cols + c]
    distance = np.full(choose[cells, count] * cells, -1, np.int16)
    queue = np.empty(len(distance), np.int64)
    head, tail = 0, 0
    chosen, boxes, pulled = np.arange(count), np.empty(count, np.int64), np.empty(count, np.int64)
    while True:  # every set of targets that the boxes can cover
        for i in range(count):
            boxes[i] = targets[chosen[i]]
        for player in range(cells):
            if _index(boxes, player) < 0:
                distance[_place(player, boxes, choose, cells)] = 0
                queue[tail] = _key(player, boxes)
                tail += 1
        i = count - 1
        while i >= 0 and chosen[i] == goals - count + i:
            i -= 1
        if i < 0:
            break
        chosen[i] += 1
        for j in range(i + 1, count):
            chosen[j] = chosen[j - 1] + 1
    while head < tail and queue[head] != last:
        player = queue[head] & 255
        for i in range(count):
            boxes[i] = (queue[head] >> (8 * (i + 1))) & 255
        head += 1
        here = _place(player, boxes, choose, cells)
        for move in range(4):
            back, ahead = near[player, (move + 2) % 4], near[player, move]
            if back < 0 or _index(boxes, back) >= 0:
                continue
            place = here - player + back  # the player has come from ``back`` ...
            if distance[place] < 0:
                distance[place] = distance[here] + 1
                queue[tail] = _key(back, boxes)
                tail += 1
            i = _index(boxes, ahead) if ahead >= 0 else -1
            if i >= 0:  # ... and may have pushed the box ahead, which stood here
                _moved(boxes, i, player, pulled)
                place = _place(back, pulled, choose, cells)
                if distance[place] < 0:
                    distance[place] = distance[here] + 1
                    queue[tail] = _key(back, pulled)
                    tail += 1
    return number, choose, distance, queue[:tail]


@kernel
def _oracle(board, ended, best, value):
    """Minus the moves of a shortest solution that begins with a move; with ``best`` right for the best moves only, and sooner."""
    cols = board.shape[2]
    for b in range(len(board)):
        value[b] = np.nan
        r, c = _player(board[b])
        if ended[b] or r < 0:
            continue
        crates = np.flatnonzero((board[b].ravel() == BOX) | (board[b].ravel() == BOX_ON_TARGET))
        number, choose, distance, _ = _search(board[b], len(crates), r * cols + c if best else -1)
        boxes, after = number[crates], np.empty(len(crates), np.int64)
        for move in range(4):
            effect = _effect(board[b], r, c, move)
            if effect < 2:
                continue
            value[b, move] = DEAD
            if len(distance) == 0:
                continue
            to, stride = (r + _STEPS[move, 0]) * cols + c + _STEPS[move, 1], _STEPS[move, 0] * cols + _STEPS[move, 1]
            if effect == 3:
                _moved(boxes, _index(boxes, number[to]), number[to + stride], after)
            left = distance[_place(number[to], after if effect == 3 else boxes, choose, len(choose) - 1)]
            if left >= 0:
                value[b, move] = -1.0 - left


@apart
def _connected(board, free, stack):
    """Whether the cells without walls, ``free`` in number, hang together; walls surround them."""
    rows, cols = board.shape
    seen, tail, found = np.zeros(rows * cols, np.bool_), 0, 0
    for k in range(rows * cols):
        if board[k // cols, k % cols] != WALL:
            seen[k], stack[0], tail = True, k, 1
            break
    while tail:
        tail -= 1
        k = stack[tail]
        found += 1
        for stride in (-cols, 1, cols, -1):
            if not seen[k + stride] and board[(k + stride) // cols, (k + stride) % cols] != WALL:
                seen[k + stride] = True
                stack[tail] = k + stride
                tail += 1
    return found == free


@apart
def _room(board, seed, draws, walls, targets):
    """Draw a connected room with its targets; returns the number of the next draw."""
    rows, cols = board.shape
    free, inner, stack = (rows - 2) * (cols - 2), np.empty((rows - 2) * (cols - 2), np.int64), np.empty(rows * cols, np.int64)
    for r in range(rows):
        for c in range(cols):
            board[r, c] = WALL
            if 0 < r < rows - 1 and 0 < c < cols - 1:
                board[r, c] = FLOOR
                inner[(r - 1) * (cols - 2) + c - 1] = r * cols + c
    for k in range(free - 1, 0, -1):
        other = draw_below(seed, 0, draws, k + 1)
        inner[k], inner[other] = inner[other], inner[k]
        draws += 1
    for cell in inner:
        r, c = cell // cols, cell % cols
        if len(inner) - free < walls:
            board[r, c] = WALL
            if _connected(board, free - 1, stack):
                free -= 1
                continue
            board[r, c] = FLOOR
    for cell in inner[::-1]:  # cells in drawn order, from the other end: those that no wall was tried on come first
        if targets and board[cell // cols, cell % cols] == FLOOR:
            board[cell // cols, cell % cols] = TARGET
            targets -= 1
    return draws


@apart
def _start(room, count, seed, draws, low, high):
    """Draw a start in a room: a solution of ``low`` .. ``high`` moves and no box on a target, else the longest there is.

    Returns:
        Its key (-1 if none), a rating that is best where it fits, and the number of each cell.
    """
    number, choose, distance, queue = _search(room, count, -1)
    goal, boxes = (room.ravel() == TARGET)[number >= 0], np.empty(count, np.int64)
    fits, fit, rating, pick = np.empty(len(queue), np.int64), 0, 0, np.int64(-1)
    for q in range(len(queue)):
        off = True
        for i in range(count):
            boxes[i] = (queue[q] >> (8 * (i + 1))) & 255
            off &= not goal[boxes[i]]
        moves = distance[_place(queue[q] & 255, boxes, choose, len(goal))]
        if moves < 1 or moves > high:
            continue
        if off and moves >= low:
            fits[fit] = queue[q]
            fit += 1
        if moves + 1000 * off > rating:
            rating, pick = moves + 1000 * off, queue[q]
    if fit:
        return fits[draw_below(seed, 0, draws, fit)], 2000, number
    return pick, rating, number


@kernel
def _reset(board, terminated, seeds, walls, count, low, high):
    rows, cols = board.shape[1:]
    room = np.empty((rows, cols), np.uint8)
    for b in range(len(board)):
        best, draws = np.int64(-1), np.int64(0)
        for attempt in range(TRIES):
            if best == 2000:
                break
            draws = _room(room, seeds[b], draws, walls if attempt < TRIES - 2 else 0, count) + 1
            key, rating, number = _start(room, count, seeds[b], draws - 1, low, high)
            if rating <= best:
                continue
            best = rating
            for k in range(rows * cols):
                r, c = k // cols, k % cols
                board[b, r, c] = room[r, c]
                for i in range(count + 1 if key >= 0 else 0):
                    if number[k] >= 0 and number[k] == (key >> (8 * i)) & 255:
                        board[b, r, c] = (BOX if i else PLAYER) + (room[r, c] == TARGET)
        terminated[b] = not _has_box(board[b])


class Sokoban(core.Game[LevelSokoban, State[LevelSokoban]]):
    """Sokoban in small rooms with up to four boxes."""

    name = "Sokoban"
    version = 1
    level_type = LevelSokoban
    sources = (
        "H. Imabayashi, Sokoban (1982), https://en.wikipedia.org/wiki/Sokoban",
        "J. Culberson, Sokoban is PSPACE-complete (1997), https://doi.org/10.7939/R3JM23K33",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelSokoban(rows=6, cols=6, boxes=1, walls=2, min_moves=4, max_moves=12, max_steps=30),
            "normal": LevelSokoban(max_steps=60),
            "hard": LevelSokoban(rows=8, cols=8, boxes=3, walls=6, min_moves=20, max_moves=60, max_steps=150),
            "tiny": LevelSokoban(rows=5, cols=5, boxes=1, walls=0, min_moves=2, max_moves=8, max_steps=16),
        }
    )

    def n_actions(self, level: LevelSokoban) -> int:
        """Four."""
        return 4

    def reset(self, level: LevelSokoban, seeds: NDArray[np.uint64]) -> State[LevelSokoban]:
        """Rooms with a solution of ``min_moves`` to ``max_moves`` moves; after 16 rooms without one, the longest found."""
        seeds = np.ascontiguousarray(seeds, np.uint64)
        board, terminated = np.empty((len(seeds), level.rows, level.cols), np.uint8), np.zeros(len(seeds), bool)
        _reset(board, terminated, seeds, level.walls, level.boxes, level.min_moves, level.max_moves)
        return self.start(level, board, seeds, terminated=terminated)

    def legal(self, state: State[LevelSokoban]) -> NDArray[np.bool_]:
        """See :class:`vlmgym.core.Game`."""
        legal = np.zeros((len(state), 4), bool)
        _legal(state.board, state.ended, legal)
        return legal

    def successes(self, state: State[LevelSokoban]) -> NDArray[np.bool_]:
        """``(B, 4)``: the moves that a shortest solution begins with; none where the room can no longer be solved."""
        value, best = np.empty((len(state), 4)), np.empty((len(state), 4), bool)
        _oracle(state.board, state.ended, True, value)
        best_rows(value, DEAD, 0.0, best)
        return best

    def good(self, state: State[LevelSokoban], actions: NDArray[np.int64], outcome: Outcome) -> NDArray[np.bool_]:
        """``(B,)``: the move lies on a shortest solution."""
        return (actions >= 0) & self.successes(state)[np.arange(len(state)), actions]

    def _step(self, state: State[LevelSokoban], actions: NDArray[np.int64]) -> tuple[State[LevelSokoban], Outcome]:
        """A box that comes onto a target gains 1, one that leaves it costs 1.

        The game ends when no box is off the targets; a room that can no longer be solved goes on until ``max_steps``.
        """
        ended, n = state.ended, len(state)
        board, gain, changed = state.board.copy(), np.zeros(n, np.int64), np.zeros(n, bool)
        terminated = state.terminated.copy()
        _play(board, actions, ended, gain, changed, terminated)
        new = replace(state, board=board, score=state.score + gain, steps=state.steps + ~ended, terminated=terminated)
        return new, Outcome(gain, changed, terminated)

    def blank(self, level: LevelSokoban) -> State[LevelSokoban]:
        """See :class:`vlmgym.core.Game`."""
        board = np.zeros((1, level.rows, level.cols), np.uint8)
        return self.start(level, board)

    def scene(self, state: State[LevelSokoban]) -> Scene:
        """The board as it is."""
        return self.view(state, state.board, NAMES, "sprite")

    def from_symbols(self, level: LevelSokoban, symbols: NDArray[np.int16]) -> State[LevelSokoban]:
        """Of several players the first in reading order stays; without one no move is legal; no box to move ends the game."""
        board = symbols.astype(np.uint8)
        flat = board.reshape(len(board), board.shape[1] * board.shape[2])
        players = flat >= PLAYER
        extra = players & (players.cumsum(axis=1) > 1)
        flat[extra] = np.where(flat[extra] == PLAYER, FLOOR, TARGET)
        return self.start(level, board, terminated=~(flat == BOX).any(axis=1))

    def oracle(self, state: State[LevelSokoban]) -> NDArray[np.float64]:
        """Minus the moves of a shortest solution that begins with the move, whatever the turn limit.

        It is exact; a move after which the room cannot be solved has :data:`DEAD`. So have all moves of a described board
        with more boxes than targets, with more than 4 boxes, or with more than :data:`MAX_POSITIONS` positions.
        """
        value = np.empty((len(state), 4))
        _oracle(state.board, state.ended, False, value)
        return value

    def encode(self, level: LevelSokoban, action: int) -> str:
        """``"0"`` to ``"3"``."""
        return str(action)

    def decode(self, level: LevelSokoban, text: str) -> Decoded:
        """A lone number 0 to 3."""
        return read_number(text, 4)

    def rules(self, level: LevelSokoban) -> str:
        """See :class:`vlmgym.core.Game`."""
        return (
            f"This is Sokoban in a room of {level.rows} rows and {level.cols} columns. A move takes the player one cell in one "
            "direction. A box ahead is pushed one cell further, if the cell behind it holds no wall and no other box; boxes "
            "cannot be pulled. The goal is to push every box onto a target, in as few moves as possible. Cells are written as "
            f"{', '.join(NAMES[:-1])} or {NAMES[-1]}."
        )

    def answer_format(self, level: LevelSokoban) -> str:
        """See :class:`vlmgym.core.Game`."""
        return MOVE_FORMAT

    def explain(self, state: State[LevelSokoban], row: int, action: int) -> str:
        """Such as ``"0 up box to (1, 2) 5 to go"`` (moves of a shortest solution after it, or ``dead``), ``"1 right wall"``."""
        board, text = state.board[row], f"{action} {MOVES[action]}"
        r, c = _player(board)
        if state.ended[row] or r < 0:
            return f"{text} no"
        effect = _effect(board, r, c, action)
        if effect < 2:
            return f"{text} {'box stuck' if effect else 'wall'}"
        if effect == 3:
            text += f" box to {write_cell(r + 2 * STEPS[action][0], c + 2 * STEPS[action][1])}"
        value = self.oracle(state[row])[0, action]
        return f"{text} dead" if value <= DEAD else f"{text} {-1 - int(value)} to go"

    def candidates(self, state: State[LevelSokoban], row: int) -> list[int]:
        """The legal moves."""
        return np.flatnonzero(self.legal(state[row])[0]).tolist()
