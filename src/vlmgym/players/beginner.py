"""The demonstrator of pretraining: sees the board, knows what moves do when it is asked, and plays
by guessing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from vlmgym.core import NO_ACTION, Game, State
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import BLOCKS, Blocks, write_reply
from vlmgym.games.parts.actions import write_cell
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

    def reply(self, game: Game, state: State, blocks: Blocks = BLOCKS) -> list[str]:
        """See :class:`vlmgym.players.base.Player`; ``blocks``: what the blocks are called."""
        out = []
        for row, perception in enumerate(truth(game, state, "brief")):
            rng = player_rng(self.salt, state, row)
            if self.asked or rng.random() < self.searches:
                think, action = game.reasoning(state, row, game.oracle(state[row])[0])
            else:
                think = ""
                action = NO_ACTION
            if action == NO_ACTION:
                think, action = self._guess(game, state[row], rng)
            move = game.encode(state.level, action)
            whole = write_reply(perception, f"{think}; so {move}", move, blocks)
            out.append(whole[: whole.rindex(blocks.begin(blocks.answer))] if self.asked else whole)
        return out

    def _guess(self, game: Game, state: State, rng: np.random.Generator) -> tuple[str, int]:
        """A think block that does not search, and a well-formed move."""
        scene = game.scene(state)
        board = scene.symbols[0]
        action = int(rng.integers(game.n_actions(state.level)))
        habit = rng.choice(len(HABITS), p=HABITS)
        if habit == 0:
            return GUESSES[rng.integers(len(GUESSES))], action
        if habit == 2:
            kinds = rng.permutation(np.unique(board[board > 0]))
            return ", ".join(
                f"{(board == kind).sum()} x {scene.names[kind]}" for kind in kinds
            ), action
        said = list[str]()
        cells = np.argwhere(board > 0)
        for _ in range(int(rng.integers(1, 5))):
            first = cells[rng.integers(len(cells))]
            steps = np.abs(cells - first).sum(axis=1)
            others = cells[steps == 1] if (steps == 1).any() else cells[steps > 0]
            pair = sorted(
                [tuple(first.tolist()), tuple(others[rng.integers(len(others))].tolist())]
            )
            said.append(
                "; ".join(f"{write_cell(*cell)} {scene.names[board[cell]]}" for cell in pair)
            )
        chosen = game.decode(state.level, " ".join(write_cell(*cell) for cell in pair)).action
        return "; ".join(said), action if chosen == NO_ACTION else chosen
