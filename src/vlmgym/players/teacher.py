"""The scripted teacher: sees the true board, reasons from actual outcomes, errs at a stated rate."""

from __future__ import annotations

import numpy as np

from vlmgym import prompt
from vlmgym.core import ConfigError, Game, State
from vlmgym.players.base import Player, player_rng


def reason(game: Game, state: State, row: int, action: int, best: int) -> str:
    """The think text: what each candidate move (and the best one) does, then the choice ``action``."""
    weighed = game.candidates(state, row)
    if best >= 0 and best not in weighed:
        weighed = [*weighed, best]
    return "; ".join([*(game.explain(state, row, a) for a in weighed), f"so {game.encode(state.level, action)}"])


class Teacher(Player):
    """Writes verified cold-start answers: true board, templated reasoning, oracle move.

    Args:
        error: probability that the choice is a uniformly random well-formed action instead of the oracle's, so that a
            student can surpass the teacher.
        salt: seed of the errors.
    """

    def __init__(self, error: float = 0.3, salt: int = 0) -> None:
        if not 0 <= error <= 1:
            raise ConfigError("teacher.error", error, "0 to 1")
        self.error, self.salt, self.name = error, salt, "teacher"

    def reply(self, game: Game, state: State) -> list[str]:
        """See :class:`Player`."""
        values, texts, out = game.oracle(state), prompt.truth(game, state), []
        for row in range(len(state)):
            rng = player_rng(self.salt, state, row)
            best = -1 if np.isnan(values[row]).all() else int(np.nanargmax(values[row]))
            action = best
            if rng.random() < self.error or best < 0:
                action = int(rng.integers(game.n_actions(state.level)))
            think = reason(game, state, row, action, best)
            out.append(prompt.write_reply(texts[row], think, game.encode(state.level, action)))
        return out
