"""The games as they are usually built: one Python object a game, NumPy boards, Pillow pictures, deep copies for branches.

It is what ``vlmgym bench`` compares with, and a second reading of the rules for the tests. Written to be read, not to be slow:
no loop does needless work, none is tuned. Simpler than in :mod:`vlmgym.games` are only fresh deals: those of Minesweeper may need
a guess, and those of Sokoban and of mazes are the first one again.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib import resources
from itertools import combinations
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vlmgym.core import Game, State
from vlmgym.drawing import SHAPES
from vlmgym.games import frozen_lake, minesweeper, sokoban
from vlmgym.games.parts.actions import STEPS
from vlmgym.games.parts.tile_kinds import COLOURS, NAMES, picture_classes, tile_types
from vlmgym.games.solvers import boxes as room
from vlmgym.games.solvers import mines as minefield
from vlmgym.games.solvers import walks as lake
from vlmgym.photos import photographs

TILE, GAP = 64, 4
GREY, PAPER = (96, 106, 125), (246, 240, 226)
Cell = tuple[int, int]
Face = tuple[Any, Any, str]
"""What a cell shows: its background, a text, shape or photograph, and the colour of that."""


class Plain(ABC):
    """One game: a board, its own random generator, rules, a picture and a text.

    Args:
        level: rule settings, as of the game in :mod:`vlmgym.games`.
        board: ``(rows, cols)``, as in its states.
        seed: of the generator.
    """

    names: ClassVar[Sequence[str]] = tuple(map(str, range(32)))
    actions = 4

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        self.level = level
        self.rng = np.random.default_rng(seed)
        self.board = np.array(board, np.int64)
        self.rows, self.cols = board.shape
        self.score, self.steps, self.terminated = 0, 0, False
        self.observation_space = gym.spaces.Box(0, 255, board.shape, np.uint8)
        self.action_space = gym.spaces.Discrete(self.actions)

    def reset(self) -> None:
        """A fresh game."""
        self.score, self.steps, self.terminated = 0, 0, False
        self._deal()

    def step(self, action: int) -> tuple[int, bool]:
        """Play one turn; returns (gain, terminated). An illegal action changes nothing."""
        gain = 0 if self.terminated else self._play(action)
        self.score += gain
        self.steps += 1
        return gain, self.terminated

    def legal(self) -> list[int]:
        """The actions that change the board."""
        return [] if self.terminated else sorted(self._legal())

    def rewards(self, actions: Iterable[int]) -> list[float]:
        """+1 where a move is good, else -1, each tried on a copy of its own."""
        good, out = self._good(), []
        for action in actions:
            twin = copy.deepcopy(self)
            gain, _ = twin.step(action)
            out.append(1.0 if (gain > 0 if good is None else action in good) else -1.0)
        return out

    def text(self) -> str:
        """The board in words."""
        return "\n".join("|".join(self._name(int(value)) for value in row) for row in self.board)

    def frame(self, width: int, height: int) -> NDArray[np.uint8]:
        """The picture, ``(height, width, 3)`` uint8."""
        image = Image.new("RGB", (self.cols * (TILE + GAP) + GAP, self.rows * (TILE + GAP) + GAP), (47, 53, 66))
        draw = ImageDraw.Draw(image)
        for r, c in np.ndindex(self.rows, self.cols):
            x, y = GAP + c * (TILE + GAP), GAP + r * (TILE + GAP)
            back, shown, colour = self._face((r, c))
            draw.rounded_rectangle((x, y, x + TILE - 1, y + TILE - 1), 8, fill=back)
            i, j, radius = x + TILE / 2, y + TILE / 2, 0.36 * TILE
            around = i - radius, j - radius, i + radius, j + radius
            if isinstance(shown, Image.Image):
                image.paste(shown.convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC), (x, y))
            elif shown == "circle":
                draw.ellipse(around, fill=colour)
            elif shown == "ring":
                draw.ellipse(around, outline=colour, width=8)
            elif shown in SHAPES:
                draw.polygon([(i + radius * u, j + radius * v) for u, v in SHAPES[shown]], fill=colour)
            elif shown:
                draw.text((i, j), shown, fill=colour, font=_font(16 if len(shown) > 4 else 30), anchor="mm")
        return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))

    def _inside(self, r: int, c: int) -> bool:
        return 0 <= r < self.rows and 0 <= c < self.cols

    def _cells(self, *values: int) -> list[Cell]:
        """The cells with one of these values, in reading order."""
        return [(int(r), int(c)) for r, c in np.argwhere(np.isin(self.board, values))]

    # What a game defines.
    @abstractmethod
    def _deal(self) -> None:
        """Lay out a fresh game."""

    @abstractmethod
    def _play(self, action: int) -> int:
        """The rules of a turn; returns the gain."""

    @abstractmethod
    def _legal(self) -> Iterable[int]:
        """The moves that are legal."""

    def _good(self) -> set[int] | None:
        """The moves worth +1; None: those with a gain."""
        return None

    def _name(self, value: int) -> str:
        return self.names[value]

    def _face(self, cell: Cell) -> Face:
        name = self._name(int(self.board[cell]))
        if name.isdigit() or name in ("floor", "hidden", "wall"):
            return PAPER if name == "floor" or name.isdigit() else GREY, name if name.isdigit() else "", "black"
        return PAPER, tuple(SHAPES)[self.board[cell] % len(SHAPES)], COLOURS[self.board[cell]]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    with resources.as_file(resources.files("vlmgym") / "skins" / "DejaVuSans-Bold.ttf") as path:
        return ImageFont.truetype(str(path), size)


def _first_moves(start: Any, moves: Callable[[Any], Iterable[tuple[int, Any]]], solved: Callable[[Any], bool]) -> set[int]:
    """The moves that a shortest solution may begin with, breadth first; none if there is no solution."""
    layer: dict[Any, set[int]] = {start: set()}
    seen = {start}
    while layer:
        ends = [first for position, first in layer.items() if solved(position)]
        if ends:
            return set().union(*ends)
        after: dict[Any, set[int]] = {}
        for position, first in layer.items():
            for move, new in moves(position):
                if new not in seen:
                    after.setdefault(new, set()).update(first or {move})
        seen |= after.keys()
        layer = after
    return set()


class Plain2048(Plain):
    """2048; the board holds the numbers themselves."""

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        super().__init__(level, board, seed)
        self.board = np.where(self.board > 0, 2**self.board, 0)

    def _deal(self) -> None:
        self.board[:] = 0
        for _ in range(self.level.start_tiles):
            self._spawn()
        self.terminated = not self.legal()

    def _spawn(self) -> None:
        value = 4 if self.rng.random() < self.level.four_prob else 2
        empty = np.argwhere(self.board == 0)
        r, c = empty[self.rng.integers(len(empty))]
        self.board[r, c] = value

    def _moved(self, action: int) -> tuple[NDArray[np.int64], int]:
        """The board after a slide, and its score: turned so that the tiles slide to the left."""
        turns = (1, 2, 3, 0)[action]
        board, gain = np.rot90(self.board, turns).copy(), 0
        for line in board:
            tiles, merged = [int(v) for v in line if v], []
            while tiles:
                tile = tiles.pop(0)
                if tiles and tiles[0] == tile:
                    tile += tiles.pop(0)
                    gain += tile
                merged.append(tile)
            line[:] = merged + [0] * (len(line) - len(merged))
        return np.rot90(board, -turns), gain

    def _play(self, action: int) -> int:
        board, gain = self._moved(action)
        if not np.array_equal(board, self.board):
            self.board = board.copy()
            self._spawn()
            self.terminated = bool(self.board.all()) and not self.legal()
        return gain

    def _legal(self) -> list[int]:
        return [a for a in range(4) if not np.array_equal(self._moved(a)[0], self.board)]

    def _name(self, value: int) -> str:
        return str(value)

    def _face(self, cell: Cell) -> Face:
        value = int(self.board[cell])
        step = value.bit_length()
        return ((250 - 10 * step, 230 - 6 * step, 60 + 9 * step), str(value), "black") if value else (GREY, "", "")


class Tiles(Plain):
    """What games with coloured tiles share: 0 = empty, 1 + 12 * colour + form = a tile."""

    def _types(self) -> list[int]:
        """The types that a deal is made from."""
        return tile_types(self.level.colours, self.level.shapes).tolist()

    def _name(self, value: int) -> str:
        return NAMES[self.level.tiles][value]

    def _face(self, cell: Cell) -> Face:
        colour, _, form = self._name(int(self.board[cell])).partition(" ")
        return (PAPER, form, colour) if form else (GREY, "", "")


class PlainShisenSho(Tiles):
    """Shisen-Sho."""

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        self.actions = board.size**2
        super().__init__(level, board, seed)

    def _deal(self) -> None:
        types = self.rng.choice(self._types(), self.board.size // self.level.copies, replace=False)
        self.board = self.rng.permutation(np.repeat(types, self.level.copies)).reshape(self.rows, self.cols)
        self.terminated = not any(True for _ in self._pairs())

    def _joined(self, a: int, b: int) -> bool:
        """Whether a path joins two equal tiles: straight runs from all places reached so far, one more bend each time."""
        one, other, margin = divmod(a, self.cols), divmod(b, self.cols), self.level.margin
        if a == b or not self.board[one] or self.board[one] != self.board[other]:
            return False
        reached, seen = {one}, {one}
        for _ in range(self.level.max_bends + 1):
            ahead = set()
            for r, c in reached:
                for dr, dc in STEPS:
                    i, j = r + dr, c + dc
                    while -margin <= i < self.rows + margin and -margin <= j < self.cols + margin:
                        if (i, j) == other:
                            return True
                        if self._inside(i, j) and self.board[i, j]:
                            break
                        ahead.add((i, j))
                        i, j = i + dr, j + dc
            reached = ahead - seen
            seen |= reached
        return False

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """The joinable pairs of cells, one after the other."""
        flat = self.board.ravel()
        for kind in np.unique(flat[flat > 0]):
            for a, b in combinations(np.flatnonzero(flat == kind).tolist(), 2):
                if self._joined(a, b):
                    yield a, b

    def _play(self, action: int) -> int:
        a, b = divmod(action, self.board.size)
        if not self._joined(a, b):
            return 0
        self.board.flat[[a, b]] = 0
        self.terminated = not any(True for _ in self._pairs())
        return 1

    def _legal(self) -> list[int]:
        return [action for a, b in self._pairs() for action in (a * self.board.size + b, b * self.board.size + a)]


class PlainPhotos(PlainShisenSho):
    """Shisen-Sho with photographs; each tile has a number, which picks one of its class."""

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0, photos: Any = None) -> None:
        super().__init__(level, board, seed)
        self.classes, self.photos = picture_classes(level.classes), np.array(photos)

    def _types(self) -> list[int]:
        return list(range(1, len(self.classes) + 1))

    def _deal(self) -> None:
        super()._deal()
        self.photos = self.rng.integers(1 << 20, size=self.board.shape)

    def _name(self, value: int) -> str:
        return self.classes[value - 1] if value else "empty"

    def _face(self, cell: Cell) -> Face:
        kind, source = int(self.board[cell]) - 1, photographs("auto", self.classes)
        if kind < 0:
            return GREY, "", ""
        return PAPER, source.load("train", kind, int(self.photos[cell]) % source.counts["train"][kind]), ""


@cache
def _swaps(rows: int, cols: int) -> list[tuple[Cell, Cell]]:
    """The two cells of each action."""
    across = [((r, c), (r, c + 1)) for r in range(rows) for c in range(cols - 1)]
    return across + [((r, c), (r + 1, c)) for r in range(rows - 1) for c in range(cols)]


class PlainSwap(Tiles):
    """Swap."""

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0) -> None:
        self.actions = len(_swaps(*board.shape))
        super().__init__(level, board, seed)
        self.types = self._types()

    def _in_line(self, r: int, c: int) -> bool:
        """Whether the tile on a cell stands in a line."""
        kind = self.board[r, c]
        for dr, dc in ((0, 1), (1, 0)):
            count = 1
            for sign in (1, -1):
                i, j = r + sign * dr, c + sign * dc
                while self._inside(i, j) and self.board[i, j] == kind:
                    count, i, j = count + 1, i + sign * dr, j + sign * dc
            if kind and count >= self.level.line:
                return True
        return False

    def _lines(self) -> list[Cell]:
        return [(r, c) for r in range(self.rows) for c in range(self.cols) if self._in_line(r, c)]

    def _exchange(self, action: int) -> None:
        one, other = _swaps(self.rows, self.cols)[action]
        self.board[one], self.board[other] = self.board[other], self.board[one]

    def _allowed(self, action: int) -> bool:
        """Whether a swap makes a line; the board is left as it was."""
        one, other = _swaps(self.rows, self.cols)[action]
        if not self.board[one] or not self.board[other] or self.board[one] == self.board[other]:
            return False
        self._exchange(action)
        fits = self._in_line(*one) or self._in_line(*other)
        self._exchange(action)
        return fits

    def _new_tile(self) -> int:
        return self.types[self.rng.integers(len(self.types))]

    def _settled(self) -> bool:
        """Whether there is no line, and a swap that makes one."""
        return not self._lines() and any(self._allowed(action) for action in range(self.actions))

    def _deal(self) -> None:
        for _ in range(256):
            self.board[:] = 0
            for cell in np.ndindex(self.rows, self.cols):
                while not self.board[cell] or self._in_line(*cell):
                    self.board[cell] = self._new_tile()
            if self._settled():
                return
        self.terminated = True

    def _play(self, action: int) -> int:
        if not self._allowed(action):
            return 0
        self._exchange(action)
        gain = 0
        while gone := self._lines():
            gain += len(gone) * (1 + (len(gone) - 2))
            for cell in gone:
                self.board[cell] = 0
            for c in range(self.cols):
                left = [v for v in self.board[:, c] if v]
                self.board[:, c] = [self._new_tile() for _ in range(self.rows - len(left))] + left
        for _ in range(256):
            if self._settled():
                return gain
            self.board = self.rng.permutation(self.board.ravel()).reshape(self.rows, self.cols)
        self._deal()
        return gain

    def _legal(self) -> list[int]:
        return [action for action in range(self.actions) if self._allowed(action)]


class PlainMinesweeper(Plain):
    """Minesweeper."""

    names = minesweeper.NAMES

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0, mines: Any = None) -> None:
        self.actions = board.size
        super().__init__(level, board, seed)
        self.mines = np.array(mines)

    def _near(self, r: int, c: int) -> list[Cell]:
        """The up to eight cells around."""
        return [(i, j) for i in (r - 1, r, r + 1) for j in (c - 1, c, c + 1) if (i, j) != (r, c) and self._inside(i, j)]

    def _deal(self) -> None:
        self.terminated = True
        while self.terminated:
            self.board[:], self.mines[:] = minefield.HIDDEN, False
            opening = divmod(int(self.rng.integers(self.board.size)), self.cols)
            taken = {opening, *self._near(*opening)} if self.board.size - 9 >= self.level.mines else {opening}
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
            elif to in boxes and beyond not in boxes and self._inside(*beyond) and self.board[beyond] != room.WALL:
                yield move, (to, boxes - {to} | {beyond})

    def _position(self) -> tuple[Cell, frozenset[Cell]]:
        return self._cells(room.PLAYER, room.PLAYER_ON_TARGET)[0], frozenset(self._cells(room.BOX, room.BOX_ON_TARGET))

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
        return set() if self.terminated else _first_moves(self._position(), self._moves, lambda position: position[1] <= targets)


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
            return _first_moves(self._position(), self._moves, lambda position: position == self.goal)
        left = _distances(self.rows, self.cols)
        near = {move: left[position] for move, position in self._moves(self._position()) if position in left}
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
    """FrozenLake and mazes; the rewards of single moves are for levels on which one does not slip."""

    names = frozen_lake.NAMES

    def __init__(self, level: Any, board: NDArray[np.uint8], seed: int = 0, under: Any = lake.FLOOR) -> None:
        super().__init__(level, board, seed)
        self.under, self.first = int(under), self.board.copy()

    def _deal(self) -> None:
        self.under, self.board = lake.FLOOR, self.first.copy()
        holes, found = round(self.level.density * self.board.size), self.level.field == "maze"
        while not found:
            rest = [lake.GOAL] + [lake.HOLE] * holes + [lake.FLOOR] * (self.board.size - holes - 2)
            self.board = np.array([lake.PLAYER, *self.rng.permutation(rest)]).reshape(self.rows, self.cols)
            found = bool(self._good())

    def _moves(self, cell: Cell) -> list[tuple[int, Cell]]:
        """The moves from a cell and where they lead."""
        ahead = [(move, (cell[0] + dr, cell[1] + dc)) for move, (dr, dc) in enumerate(STEPS)]
        return [(move, to) for move, to in ahead if self._inside(*to) and self.board[to] != lake.WALL]

    def _play(self, action: int) -> int:
        if self.rng.random() < self.level.slip:
            action = (action + (1 if self.rng.integers(2) else 3)) % 4
        player = self._cells(lake.PLAYER)[0]
        to = dict(self._moves(player)).get(action)
        if to is None:
            return 0
        self.board[player], self.under, self.board[to] = self.under, int(self.board[to]), lake.PLAYER
        self.terminated = self.under != lake.FLOOR
        return int(self.under == lake.GOAL)

    def _legal(self) -> set[int]:
        moves = {move for move, _ in self._moves(self._cells(lake.PLAYER)[0])}
        return moves | {(move + side) % 4 for move in moves for side in (1, 3)} if self.level.slip else moves

    def _good(self) -> set[int]:
        def dry(cell: Cell) -> list[tuple[int, Cell]]:
            return [(move, to) for move, to in self._moves(cell) if self.board[to] != lake.HOLE]

        start = self._cells(lake.PLAYER)[0]
        return set() if self.terminated else _first_moves(start, dry, lambda cell: self.board[cell] == lake.GOAL)


KINDS: dict[str, type[Plain]] = {
    "2048": Plain2048,
    "ShisenSho": PlainShisenSho,
    "ShisenShoPhotos": PlainPhotos,
    "Swap": PlainSwap,
    "Minesweeper": PlainMinesweeper,
    "Sokoban": PlainSokoban,
    "SlidingPuzzle": PlainSliding,
    "FrozenLake": PlainFrozenLake,
}


def make(game: Game, state: State, row: int = 0) -> Plain:
    """The plain object of one row of a batch; its luck is its own."""
    extra = {key: value[row] for key, value in state.arrays().items() if key in ("mines", "under", "photos")}
    one = KINDS[game.name](state.level, state.board[row], int(state.seed[row]), **extra)
    one.score, one.steps, one.terminated = int(state.score[row]), int(state.steps[row]), bool(state.terminated[row])
    return one
