"""The kinds of sources that questions come from, and which training states each has for itself."""

from __future__ import annotations

from dataclasses import dataclass

from vlmgym.core import ConfigError, Settings, setting
from vlmgym.core.random import (
    FIRST_STATES,
    NEAR_WALKS,
    SEEDED_STATES,
    STATES_OF_A_USE,
    WALKS_APART,
)

CHUNK = 64
"""States walked to at once for each task."""
USES = tuple(FIRST_STATES)
"""What training states are for: random walks of GRPO, cold start, the beginnings of a policy pool,
and its later deals.
"""


@dataclass(frozen=True)
class Source(Settings):
    """One source of states, and its share of the questions."""

    kind: str = setting(
        "random_walk",
        "where states come from",
        choices=("random_walk", "policy_pool", "replay", "rollback"),
    )
    weight: float = setting(1.0, "share of the questions, relative to the other sources", 0.0, 1e6)
    games: int = setting(64, "policy_pool: games under way for each task", 1, 1_000_000)
    patience: int = setting(
        8, "policy_pool: useless answers in a row that end a game", 1, 1_000_000
    )
    trace: str = setting("", "replay: a trace.jsonl, or a folder with one")
    target: float = setting(0.6, "rollback: success rate to keep", 0.05, 0.95)
    step: float = setting(
        0.02,
        "rollback: moves further from the end that a success and a failure together are worth",
        1e-6,
        10.0,
    )
    hopeless: bool = setting(
        False,
        "random_walk: also where no action succeeds (2048: nothing merges); the paper: all walks",
    )

    def __post_init__(self) -> None:
        """Check that a replay has a trace, and that only walks keep what is hopeless."""
        super().__post_init__()
        if self.hopeless and self.kind != "random_walk":
            raise ConfigError(
                "Source.hopeless",
                True,
                "false for the other kinds: they ask where something can succeed",
            )
        if (self.kind == "replay") != bool(self.trace):
            raise ConfigError(
                "Source.trace", self.trace, "a file for kind replay, and nothing for the others"
            )


def first_state(use: str, seed: int) -> int:
    """Number of the first training state of a use (one of :data:`USES`) with a seed of the run.

    No two uses and seeds share any, as long as none takes more than :data:`STATES_OF_A_USE` of a
    task (random walks of seeds below 128: a million). So another seed is another cold start, other
    questions and other games of a pool.
    """
    if seed == 0:
        return FIRST_STATES[use]
    if use == "walk" and seed < NEAR_WALKS:
        return seed * WALKS_APART // CHUNK * CHUNK
    uses_before = len(USES) * (seed - 1) + USES.index(use)
    return SEEDED_STATES + uses_before * STATES_OF_A_USE
