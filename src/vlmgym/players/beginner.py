"""The demonstrator of pretraining: sees the board, knows what moves do when it is asked, and plays
by guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from vlmgym.core import NO_ACTION, Game, State
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import BLOCKS, Blocks, write_reply
from vlmgym.games.parts.action_texts import write_cell
from vlmgym.players.base import Player, Query, player_rng

GUESSES = ("I will try this one", "it looks good", "let me try this move", "I guess")
HABITS = (0.4, 0.45, 0.15)
"""How often it guesses, names neighbours in pairs and moves the last pair (where moves are pairs),
or counts tiles.
"""
SEARCHES = 0.05
"""How often it searches before it plays, as it always does when it is asked about the moves."""


class Beginner(Player):
    """The demonstrator of pretraining: it sees the board, knows what moves do when asked, and
    seldom asks itself when it plays.

    Asked about the moves, it describes the board and searches for one. Asked for a move, it
    describes the board and guesses; some of its think blocks count the tiles, or say which tiles
    stand in neighbouring cells, and then the move is the last two. One time in twenty it does
    search. It always answers what it has come to.

    Args:
        asked: whether the question is about the moves.
        searches: how often it searches before it plays.
        salt: seed of the choices.
    """

    def __init__(self, asked: bool = False, searches: float = SEARCHES, salt: int = 1) -> None:
        self.asked = asked
        self.searches = searches
        self.salt = salt
        self.name = "beginner"

    sees = "state"

    @override
    def describe(self) -> dict[str, Any]:
        return {
            "kind": "beginner",
            "asked": self.asked,
            "searches": self.searches,
            "salt": self.salt,
        }

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[str]]:
        return [self.reply(query.game, query.state, query.blocks) for query in queries]

    @override
    def reply(self, game: Game, state: State, blocks: Blocks = BLOCKS) -> list[str]:
        """The texts for each row; ``blocks``: what the blocks are called."""
        replies = []
        for row, description in enumerate(truth(game, state, "brief")):
            generator = player_rng(self.salt, state, row)
            think = ""
            action = NO_ACTION
            if self.asked or generator.random() < self.searches:
                think, action = game.reasoning(state, row, game.oracle(state[row])[0])
            if action == NO_ACTION:
                think, action = self._guess(game, state[row], generator)
            move = game.encode(state.level, action)
            reply = write_reply(description, f"{think}; so {move}", move, blocks)
            if self.asked:
                reply = reply[: reply.rindex(blocks.begin(blocks.answer))]
            replies.append(reply)
        return replies

    def _guess(self, game: Game, state: State, generator: np.random.Generator) -> tuple[str, int]:
        """A think block that does not search, and a well-formed move."""
        scene = game.scene(state)
        board = scene.symbols[0]
        action = int(generator.integers(game.n_actions(state.level)))
        habit = generator.choice(len(HABITS), p=HABITS)
        if habit == 0:
            return GUESSES[generator.integers(len(GUESSES))], action
        if habit == 2:
            symbols = generator.permutation(np.unique(board[board > 0]))
            counts = [f"{(board == symbol).sum()} x {scene.names[symbol]}" for symbol in symbols]
            return ", ".join(counts), action
        descriptions = list[str]()
        for _ in range(int(generator.integers(1, 5))):
            pair = _draw_neighbours(board, generator)
            texts = [f"{write_cell(*cell)} {scene.names[board[cell]]}" for cell in pair]
            descriptions.append("; ".join(texts))
        answer = " ".join(write_cell(*cell) for cell in pair)
        last_pair = game.decode(state.level, answer).action
        return "; ".join(descriptions), action if last_pair == NO_ACTION else last_pair


def _draw_neighbours(
    board: NDArray[np.uint8], generator: np.random.Generator
) -> list[tuple[int, ...]]:
    """Two neighbouring cells with tiles, in reading order; any two where a tile stands alone."""
    cells = np.argwhere(board > 0)
    first = cells[generator.integers(len(cells))]
    distances = np.abs(cells - first).sum(axis=1)
    neighbours = cells[distances == 1]
    others = neighbours if len(neighbours) else cells[distances > 0]
    second = others[generator.integers(len(others))]
    return sorted([tuple(first.tolist()), tuple(second.tolist())])
