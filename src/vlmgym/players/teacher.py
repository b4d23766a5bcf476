"""The scripted teacher: sees the true board, reasons from actual outcomes to a move that works,
errs at a stated rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from vlmgym.core import NO_ACTION, ConfigError, Game, State
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import BLOCKS, Blocks, write_reply
from vlmgym.players.base import Player, Query, player_rng


class Teacher(Player):
    """Writes verified cold-start answers: true board, templated reasoning, and the move that it
    comes to.

    Args:
        error: probability that it jumps to a conclusion instead, a uniformly random well-formed
            action, so that a student can surpass the teacher.
        salt: seed of the errors.
    """

    def __init__(self, error: float = 0.3, salt: int = 0) -> None:
        if not 0 <= error <= 1:
            raise ConfigError("teacher.error", error, "0 to 1")
        self.error = error
        self.salt = salt
        self.name = "teacher"

    sees = "state"

    @override
    def describe(self) -> dict[str, Any]:
        return {"kind": "teacher", "error": self.error, "salt": self.salt}

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[str]]:
        return [self.reply(query.game, query.state, query.style, query.blocks) for query in queries]

    @override
    def reply(
        self, game: Game, state: State, style: str = "full", blocks: Blocks = BLOCKS
    ) -> list[str]:
        """The texts for each row; ``style`` of the prompt, see
        :func:`vlmgym.dialogue.perception.truth`, and what the blocks are called.
        """
        values = game.oracle(state)
        descriptions = truth(game, state, style)
        replies = []
        for row, description in enumerate(descriptions):
            generator = player_rng(self.salt, state, row)
            reasoning, action = game.reasoning(state, row, values[row])
            if generator.random() < self.error or action == NO_ACTION:
                reasoning = ""
                action = int(generator.integers(game.n_actions(state.level)))
            answer = game.encode(state.level, action)
            think = f"{reasoning}; so {answer}" if reasoning else f"so {answer}"
            replies.append(write_reply(description, think, answer, blocks))
        return replies
