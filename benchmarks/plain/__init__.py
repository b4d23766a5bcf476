"""The games as they are usually built: one Python object a game, deep copies for branches.

Boards are NumPy arrays, pictures are drawn by Pillow.

It is what the benchmark compares with, and a second reading of the rules for the tests. Written to
be read, not to be slow: no loop does needless work, none is tuned. Simpler than in
:mod:`vlmgym.games` are only fresh deals: those of Minesweeper may need a guess, and those of
Sokoban and of mazes are the first one again.
"""

from __future__ import annotations

from plain.base import Plain
from plain.puzzles import PlainFrozenLake, PlainMinesweeper, PlainSliding, PlainSokoban
from plain.tiles import Plain2048, PlainPhotos, PlainShisenSho, PlainSwap
from vlmgym.core import Game, State

__all__ = ["KINDS", "Plain", "Plain2048", "make"]

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
    extra = {
        key: value[row]
        for key, value in state.arrays().items()
        if key in ("mines", "under", "photos")
    }
    one = KINDS[game.name](state.level, state.board[row], int(state.seed[row]), **extra)
    one.score, one.steps, one.terminated = (
        int(state.score[row]),
        int(state.steps[row]),
        bool(state.terminated[row]),
    )
    return one
