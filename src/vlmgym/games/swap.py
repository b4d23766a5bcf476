"""Swap: exchange two neighbours so that equal tiles line up and vanish.

Rules as in the published VLM-Gym.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import LEGAL_STREAM, NO_ACTION, ConfigError, Scene, State, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.actions import Neighbours
from vlmgym.games.parts.boards import Actions, Arrays, Boards, GridLevel, Marks, Seeds, Values
from vlmgym.games.parts.explanations import seek_line
from vlmgym.games.parts.grid import Searched, Turn
from vlmgym.games.parts.habits import CAREFUL, Habit
from vlmgym.games.parts.lines import (
    Draws,
    draw_swaps,
    draw_without_lines,
    exchange,
    fall,
    find_swaps,
    list_swaps,
    mark_lines,
    measure,
    refill,
    scratch_for,
    shuffle_tiles,
    tiles_in_lines,
    try_swaps,
)
from vlmgym.games.parts.tile_kinds import (
    COLOURS,
    FORMS,
    KIND_OF,
    NAMES,
    WIDE,
    colours_taken_for,
    tile_types,
)
from vlmgym.games.solvers import cascades

MAX_WAVES = 100
"""Waves of one cascade; a board that is not stable after them is dealt afresh."""
MAX_TRIES = 256
"""Reshuffles, and then fresh deals, that are tried for a board with a valid swap; if none has, the
game ends.
"""


@dataclass(frozen=True)
class LevelSwap(GridLevel):
    """Rule settings of Swap."""

    rows: int = setting(8, "board rows", 2, 16)
    cols: int = setting(8, "board columns", 2, 16)
    colours: int = setting(4, "colours of the tiles", 1, len(COLOURS))
    shapes: int = setting(3, "shapes (or letters) of the tiles", 1, WIDE)
    tiles: str = setting("shapes", "what the tiles carry", choices=tuple(FORMS))
    line: int = setting(3, "equal tiles in a row or column that vanish", 2, 8)

    def __post_init__(self) -> None:
        """Check that a line fits and that boards without lines exist.

        Raises:
            ConfigError: a field is out of range, ``line`` is longer than the board, or there are
                fewer than 3 types (a cell has a left and an upper neighbour to differ from, so 3
                types always allow boards without lines).
        """
        super().__post_init__()
        if self.line > max(self.rows, self.cols):
            longer_side = max(self.rows, self.cols)
            allowed = f"2 to {longer_side} (the longer side of the board)"
            raise ConfigError("LevelSwap.line", self.line, allowed)
        if self.colours * self.shapes < 3:
            allowed = f"colours * shapes of at least 3; shapes is {self.shapes}"
            raise ConfigError("LevelSwap.colours", self.colours, allowed)


StateSwap: TypeAlias = State[LevelSwap]


# A board holds uint8: 0 = empty, 1 + 12 * colour + shape = a tile.
@kernel
def _deal(boards, seeds, types, line, terminated):
    scratch = scratch_for(boards.shape[1], boards.shape[2])
    for game in range(len(boards)):
        draws = Draws(seeds[game], 0, 0)
        found, _ = draw_without_lines(boards[game], draws, types, line, MAX_TRIES, scratch)
        terminated[game] = not found


@kernel
def _play(turn, actions, types, line):
    rows, cols = turn.board.shape[1:]
    scratch = scratch_for(rows, cols)
    for game in range(len(turn.board)):
        action = actions[game]
        if turn.over[game] or action < 0:
            continue
        board = turn.board[game]
        measure(board, scratch, line)
        find_swaps(board, scratch, line)
        if not scratch.fits[scratch.places[action]]:
            continue
        exchange(board, action)
        turn.changed[game] = True
        seed = turn.seeds[game]
        step = turn.steps[game] + 1  # the draws of turn 0 belong to the deal
        number = 0
        count = mark_lines(board, line, scratch)
        for _ in range(MAX_WAVES):
            if count == 0:
                break
            turn.gain[game] += count * (1 + (count - 2))
            fall(board, scratch.marks)
            number = refill(board, Draws(seed, step, number), types)
            count = mark_lines(board, line, scratch)
        playable = count == 0 and find_swaps(board, scratch, line) > 0
        if not playable and count == 0:
            draws = Draws(seed, step, number)
            playable, number = shuffle_tiles(board, draws, line, MAX_TRIES, scratch)
        if not playable:
            draws = Draws(seed, step, number)
            playable, _ = draw_without_lines(board, draws, types, line, MAX_TRIES, scratch)
        turn.terminated[game] = not playable


class Swap(Searched[LevelSwap, StateSwap]):
    """Swap on any board from 2x2 to 16x16."""

    name = "Swap"
    version = 2
    level_type = LevelSwap
    answers = Neighbours()
    LEVELS = MappingProxyType(
        {
            "easy": LevelSwap(rows=6, cols=6, colours=4, shapes=1, max_steps=50),
            "normal": LevelSwap(),
            "hard": LevelSwap(rows=10, cols=10, colours=6, shapes=4),
            "paper": LevelSwap(max_steps=100),
            "tiny": LevelSwap(rows=4, cols=4, colours=4, shapes=1, max_steps=16),
        }
    )

    tags = ("paper", "luck")
    sources = (
        "L. Chen et al., G1: Bootstrapping Perception and Reasoning Abilities of Vision-Language "
        "Model via Reinforcement Learning (2025), https://arxiv.org/abs/2505.13426",
        "Tile-matching games with swaps, https://en.wikipedia.org/wiki/Tile-matching_video_game",
    )
    RULES = (
        "This is Swap on a board of {rows} rows and {cols} columns. A move swaps two tiles that "
        "are neighbours in a row or a column. It counts only if {line} or more tiles of the same "
        "colour and {form} then stand in a line; else it is undone. Such tiles vanish, the tiles "
        "above fall down, new tiles fill the board from the top, and new lines vanish too. If n "
        "tiles vanish at once, they score n x (n - 1); the goal is a high score. Where no swap "
        "makes a line, all tiles are shuffled. A cell is written as its tile, such as {tile}."
    )

    def names(self, level: LevelSwap) -> tuple[str, ...]:
        """Those of :data:`vlmgym.games.parts.tile_kinds.NAMES`: 0 = empty, ``1 + 12 * colour +
        shape`` a tile.
        """
        return NAMES[level.tiles]

    def words(self, level: LevelSwap) -> dict[str, object]:
        """What tiles carry, and one of them."""
        return {"form": level.tiles[:-1], "tile": self.names(level)[1]}

    def deal(self, level: LevelSwap, seeds: Seeds, board: Boards) -> Arrays:
        """Boards without lines and with a valid swap; a game starts ended if 256 deals had none."""
        terminated = np.zeros(len(seeds), bool)
        types = tile_types(level.colours, level.shapes)
        _deal(board, seeds, types, level.line, terminated)
        return {"terminated": terminated}

    def play(self, state: StateSwap, actions: Actions, turn: Turn) -> None:
        """Lines vanish, and what they let fall into lines; the more at once, the more each tile
        gains.
        """
        level = state.level
        types = tile_types(level.colours, level.shapes)
        _play(turn.for_kernels(), actions, types, level.line)

    def legal_moves(self, state: StateSwap, legal: Marks) -> None:
        """The swaps that bring a tile into a line."""
        list_swaps(state.board, state.level.line, legal)

    @override
    def draw_legal(self, state: StateSwap, number: int = LEGAL_STREAM) -> Actions:
        line = state.level.line
        drawn: Actions = draw_swaps(state.board, state.ended, state.seed, state.steps, number, line)
        return drawn

    def _try(self, state: StateSwap, actions: Actions) -> Marks:
        good = np.empty(actions.shape, bool)
        try_swaps(state.board, state.ended, actions, state.level.line, good)
        return good

    def scene(self, state: StateSwap) -> Scene:
        """The board as it is; the kind follows from what the tiles carry."""
        level = state.level
        return self.view(state, state.board, self.names(level), KIND_OF[level.tiles])

    def oracle(self, state: StateSwap) -> Values:
        """Score of the move with its cascades among the tiles on the board; the tiles that refill
        it match nothing.
        """
        return cascades.values(state.board, state.ended, state.level.line)

    def explain(self, state: StateSwap, row: int, action: int) -> str:
        """Such as ``"3 red circle (0, 1) (1, 1)"``: the tiles of the first wave by type, or ``no
        line``, and the swap.
        """
        level = state.level
        swap = self.encode(level, action)
        names = self.names(level)
        if not self.legal(state[row])[0, action]:
            return f"no line {swap}"
        board = state.board[row].copy()
        exchange(board, action)
        counts = tiles_in_lines(board, level.line).items()
        vanished = [f"{count} {names[kind]}" for kind, count in counts]
        return f"{' and '.join(vanished)} {swap}"

    def search(self, state: StateSwap, habit: Habit = CAREFUL) -> tuple[str, int]:
        """Place by place where a line could be, rows before columns, with its tiles: ``"(0, 1) A
        (0, 2) B (0, 3) C no"``.

        Where all tiles but one are equal, that cell and its neighbours outside follow, to the first
        that could replace it: ``"(0, 1) A (0, 2) B (0, 3) A (0, 2) (1, 2) A"``.
        """
        level = state.level
        thoughts, swap = seek_line(state.board[0], self.names(level), level.line, habit)
        return thoughts, self.decode(level, swap).action if swap else NO_ACTION

    def taken_for(self, level: LevelSwap) -> NDArray[np.uint8]:
        """The last colour of the level is taken for the first: yellow for red."""
        return colours_taken_for({level.colours - 1: 0})

    def candidates(self, state: StateSwap, row: int) -> list[int]:
        """The first three valid swaps by action id; fewer if there are fewer."""
        return super().candidates(state, row)[:3]
