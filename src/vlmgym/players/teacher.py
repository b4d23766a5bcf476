"""The scripted teacher: sees the true board, reasons from actual outcomes to a move that works;
errs at a stated rate, or by a habit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from vlmgym.core import NO_ACTION, ConfigError, Game, State
from vlmgym.core.random import CAREFUL_SALT
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import BLOCKS, Blocks, write_reply
from vlmgym.games.parts.habits import find_habit
from vlmgym.players.base import Player, Query, player_rng

GUESS = "I guess"
"""How a think block ends whose search has found nothing."""


class Teacher(Player):
    """Writes verified cold-start answers: true board, templated reasoning, and the move that it
    comes to.

    Args:
        error: probability that it jumps to a conclusion instead, a uniformly random well-formed
            action, so that a student can surpass the teacher.
        salt: seed of the errors.
        habit: a name of :data:`vlmgym.games.parts.habits.HABITS`, how it looks at the board; empty
            = carefully. Its description stays the true one, its think block is what it believes,
            and its move what follows from that. Where it finds nothing it says so, and guesses.
        careful: share of the turns in which it looks carefully all the same.
    """

    def __init__(
        self, error: float = 0.3, salt: int = 0, habit: str = "", careful: float = 0.0
    ) -> None:
        for name, share in {"error": error, "careful": careful}.items():
            if not 0 <= share <= 1:
                raise ConfigError(f"teacher.{name}", share, "0 to 1")
        if habit:
            find_habit(habit)
        self.error = error
        self.salt = salt
        self.habit = habit
        self.careful = careful
        self.name = f"teacher:{habit}" if habit else "teacher"

    sees = "state"

    @override
    def describe(self) -> dict[str, Any]:
        named = {"habit": self.habit, "careful": self.careful}
        said = {name: value for name, value in named.items() if value}
        return {"kind": "teacher", "error": self.error, "salt": self.salt, **said}

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
        values = game.oracle(state) if self.careful or not self.habit else None
        descriptions = truth(game, state, style)
        replies = []
        for row, description in enumerate(descriptions):
            generator = player_rng(self.salt, state, row)
            habit = "" if self._is_careful(state, row) else self.habit
            if habit or values is None:
                reasoning, action = game.reasoning_by_habit(state, row, habit)
            else:
                reasoning, action = game.reasoning(state, row, values[row])
            jumps = generator.random() < self.error
            if jumps or action == NO_ACTION:
                found_nothing = habit and not jumps
                reasoning = f"{reasoning}; {GUESS}" if found_nothing else ""
                action = int(generator.integers(game.n_actions(state.level)))
            answer = game.encode(state.level, action)
            think = f"{reasoning}; so {answer}" if reasoning else f"so {answer}"
            replies.append(write_reply(description, think, answer, blocks))
        return replies

    def _is_careful(self, state: State, row: int) -> bool:
        """Whether it looks without its habit this time: luck apart from that of its guesses."""
        return player_rng(self.salt ^ CAREFUL_SALT, state, row).random() < self.careful
