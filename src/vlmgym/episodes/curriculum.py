"""Adaptive difficulty: walk a ladder of levels or looks so that a policy keeps succeeding at a
chosen rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from vlmgym.core import ConfigError, Settings, setting
from vlmgym.episodes.task import Task
from vlmgym.games import get_game
from vlmgym.render.looks import get_look

DIALS = ("level", "look")


@dataclass(frozen=True)
class Curriculum(Settings):
    """A ladder on one dial, and where a policy stands on it.

    A value: :meth:`update` returns the next one.

    The place moves by the weighted up-down rule (Kaernbach 1991, "Simple adaptive testing with the
    weighted up-down method"): each success moves it up by ``step * (1 - target)``, each failure
    down by ``step * target``, so that it comes to rest where the success rate is ``target``.
    Nothing is drawn at random.
    """

    dial: str = setting("look", "which dial the ladder is on", choices=DIALS)
    rungs: tuple[str, ...] = field(
        default=("clean", "normal", "hard"), metadata={"doc": "presets, easiest first"}
    )
    target: float = setting(0.6, "success rate to keep", 0.05, 0.95)
    step: float = setting(0.02, "rungs that a success and a failure together are worth", 1e-6, 10.0)
    place: float = setting(0.0, "where the policy stands, 0 to number of rungs - 1", 0.0, 1e6)
    answers: int = setting(0, "answers seen so far", 0, 2**62)

    def __post_init__(self) -> None:
        """Check the ladder.

        Raises:
            ConfigError: a field is out of range, there are fewer than two rungs, or the place is
                above the last one.
        """
        if isinstance(self.rungs, list):  # as JSON and YAML give them
            object.__setattr__(self, "rungs", tuple(self.rungs))
        super().__post_init__()
        if (
            not isinstance(self.rungs, tuple)
            or len(self.rungs) < 2
            or not all(isinstance(rung, str) for rung in self.rungs)
        ):
            raise ConfigError("Curriculum.rungs", self.rungs, "two or more names of presets")
        if self.place > len(self.rungs) - 1:
            raise ConfigError("Curriculum.place", self.place, f"0 to {len(self.rungs) - 1}")

    @classmethod
    def sweep(
        cls, dial: str, preset: str, name: str, values: Sequence[Any], **settings: Any
    ) -> Self:
        """A ladder on one field of a preset, such as ``sweep("look", "clean", "noise",
        np.linspace(0, 0.3, 7))``.

        Raises:
            ConfigError: the preset or the field is no name, or the values are none.
        """
        for argument, value in (("preset", preset), ("name", name)):
            if not isinstance(value, str):
                raise ConfigError(argument, value, "a name")
        if isinstance(values, str) or not np.iterable(values):
            raise ConfigError("values", values, "two or more values of the field")
        separator = "," if ":" in preset else ":"
        rungs = tuple(f"{preset}{separator}{name}={_text_of(value)}" for value in values)
        return cls(dial=dial, rungs=rungs, **settings)

    @property
    def rung(self) -> str:
        """The preset that is asked now."""
        return self.rungs[int(self.place + 0.5)]

    def task(self, task: Task) -> Task:
        """``task`` at the present difficulty.

        Raises:
            ConfigError: the game has no such level, or there is no such look.
        """
        if self.dial == "level":
            return task.override(level=self.rung)
        return task.override(look=self.rung)

    def check(self, game: str) -> None:
        """Check all rungs at once, before a run.

        Raises:
            ConfigError: the game has no such level, or there is no such look.
        """
        for rung in self.rungs:
            if self.dial == "level":
                get_game(game).level(rung)
            else:
                get_look(rung)

    def update(self, successes: int, answers: int) -> Self:
        """The curriculum after ``answers`` answers, of which ``successes`` were right.

        Raises:
            ConfigError: fewer answers than successes, or no whole numbers.
        """
        for argument, number in (("successes", successes), ("answers", answers)):
            if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, np.integer)):
                raise ConfigError(argument, number, "a whole number")
        if not 0 <= successes <= answers:
            raise ConfigError("successes", successes, f"0 to the number of answers, {answers}")
        place = self.place + self.step * (successes - self.target * answers)
        place = float(np.clip(place, 0.0, len(self.rungs) - 1))
        return replace(self, place=place, answers=self.answers + int(answers))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read back what ``dataclasses.asdict`` gave (through JSON or YAML), to go on where a run
        stopped.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(cls.__name__, values, "a table of its fields")
        return cls.parse(values)


def _text_of(value: Any) -> str:
    """A value of a field as presets have it."""
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    return str(value)
