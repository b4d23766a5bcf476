"""The reward terms of a turn, and how much each of them counts."""

from __future__ import annotations

from dataclasses import dataclass

from vlmgym.core import Settings, setting
from vlmgym.core.simulation import Simulator


@dataclass(frozen=True)
class Weights(Settings):
    """Weights of the reward terms; the defaults are the paper's main runs (game + format)."""

    game: float = setting(1.0, "+1 if the move did something (2048: a merge), else -1", -100, 100)
    format: float = setting(1.0, "1 if the reply is well formed, else 0", -100, 100)
    perception: float = setting(0.0, "1 if the description equals the board, else 0", -100, 100)
    cells: float = setting(
        0.0,
        "share of the cells described correctly, 0 to 1 (part of it can be had without looking)",
        -100,
        100,
    )
    balanced: float = setting(
        0.0,
        "the same, each symbol counting alike: -1 to 1; one tile for all cells gets 0",
        -100,
        100,
    )
    regret: float = setting(
        0.0,
        "minus the normalised regret to the oracle, -1 to 0; no or an illegal action: -1",
        -100,
        100,
    )

    value: float = setting(
        0.0,
        "what the turn changed in the simulated rest of the game, -1 to 1; no or an illegal "
        "action: -1",
        -100,
        100,
    )

    simulator: Simulator = setting(  # noqa: RUF009 - it is frozen
        Simulator(), "how the rest of a game is simulated, for value"
    )
    seeing: bool = setting(
        False, "the game term is +1 only where the description equals the board as well"
    )

    def __post_init__(self) -> None:
        """Read the simulator's settings.

        Raises:
            ConfigError: a field is out of range.
        """
        if not isinstance(self.simulator, Simulator):
            object.__setattr__(self, "simulator", Simulator.parse(self.simulator))
        super().__post_init__()

    def factors(self) -> dict[str, float]:
        """The weight of each term."""
        return {name: getattr(self, name) for name in TERM_RANGES}

    @property
    def simulates(self) -> Simulator | None:
        """How the rest of a game is simulated; None where the value has no weight."""
        return self.simulator if self.value else None

    def rewarded(self, terms: dict[str, float]) -> dict[str, float]:
        """The terms of a turn as they are rewarded, before the weights."""
        if self.seeing and not terms["perception"]:
            return {**terms, "game": -1.0}
        return terms

    def total(self, terms: dict[str, float]) -> float:
        """The weighted sum of such terms."""
        return sum(weight * terms[name] for name, weight in self.factors().items())

    def of_description(self, terms: dict[str, float]) -> float:
        """The part of such a sum that the description has alone, whatever follows it."""
        factors = self.factors()
        return sum(factors[name] * terms[name] for name in OF_DESCRIPTION)


OF_DESCRIPTION = ("perception", "cells", "balanced")
"""The reward terms that do not depend on what follows the description."""


TERM_RANGES: dict[str, tuple[float, float]] = {
    "game": (-1.0, 1.0),
    "format": (0.0, 1.0),
    "perception": (0.0, 1.0),
    "cells": (0.0, 1.0),
    "balanced": (-1.0, 1.0),
    "regret": (-1.0, 0.0),
    "value": (-1.0, 1.0),
}
"""The least and the most that each reward term of a turn can be."""
TERMS = tuple(TERM_RANGES)
"""The names of the reward terms, in the order in which they are shown."""
