"""What is asked: a game, its level and look, the prompt style, and where the states come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vlmgym.core import (
    MOST_SEEDS,
    ConfigError,
    Game,
    Level,
    Settings,
    State,
    concat,
    name_of,
    seeds_for,
    setting,
    whole,
)
from vlmgym.dialogue import prompt
from vlmgym.dialogue.reply import Blocks
from vlmgym.episodes.random_walk import walk
from vlmgym.games import get_game, own_name
from vlmgym.render.looks import Look, get_look

PATIENCE = 500
"""Walks for each state that is wanted, after which looking for states is given up."""


@dataclass(frozen=True)
class TaskNames:
    """A task's game, level and look as they were named: what stands in records, and what seeds
    depend on.
    """

    game: str
    level: str
    look: str


@dataclass(frozen=True)
class Task(Settings):
    """One game of a run: what is played, how it looks, and which states are asked about.

    It is made from names (``Task(game="2048", level="hard:rows=8")``, a mapping of a recipe; a Game
    stands for its name), and holds what they stand for. Tasks are equal if their names and further
    settings are.

    Attributes:
        names: how game, level and look were named.
    """

    game: Game = setting("2048", "name of the game")  # noqa: RUF009 - a name until it is resolved
    level: Level = setting("normal", "name of the level, or name:field=value,...")  # noqa: RUF009
    look: Look = setting("clean", "name of the look, or name:field=value,...")  # noqa: RUF009
    weight: float = setting(1.0, "share of the rows, relative to the other tasks", 0.0, 1e6)
    walk_min: int = setting(0, "fewest moves of the random walk to a state", 0, 100_000)
    walk_max: int = setting(100, "most moves of the random walk to a state", 0, 100_000)
    walk_legal: bool = setting(False, "walk by legal moves only (the paper: any moves)")
    prompt: str = setting("full", "prompt style", choices=prompt.STYLES)
    reply: str = setting(
        "",
        "names of the blocks, perception=NAME,think=NAME,answer=NAME (or a "
        "mapping); empty = these words",
    )
    names: TaskNames = field(init=False, repr=False)

    if TYPE_CHECKING:

        def __init__(
            self,
            game: str | int | Game = "2048",
            level: str = "normal",
            look: str = "clean",
            weight: float = 1.0,
            walk_min: int = 0,
            walk_max: int = 100,
            walk_legal: bool = False,
            prompt: str = "full",
            reply: str | Mapping[str, str] = "",
        ) -> None: ...

    def __post_init__(self) -> None:
        """Resolve the names, check the walk bounds."""
        game_name, level, look = (name_of(value) for value in (self.game, self.level, self.look))
        if isinstance(game_name, Game):
            game_name = own_name(game_name)
        for field_name, value in (("level", level), ("look", look)):
            if not isinstance(value, str):  # seeds depend on the name, which a Level does not know
                allowed = f"its name; task.override({field_name}=NAME) changes it in a copy"
                raise ConfigError(f"Task.{field_name}", value, allowed)
        names = TaskNames(game_name, level, look)
        for field_name, name in asdict(names).items():
            object.__setattr__(self, field_name, name)
        object.__setattr__(self, "reply", str(Blocks.of(self.reply)))
        super().__post_init__()
        game = get_game(game_name)
        own_name(game)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "game", game)
        object.__setattr__(self, "level", game.level(level))
        object.__setattr__(self, "look", get_look(look))
        if self.walk_max < self.walk_min:
            raise ConfigError(
                "Task.walk_max", self.walk_max, f"at least walk_min = {self.walk_min}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings with names for game, level and look, as recipes and summaries have them;
        :meth:`parse` reads it.
        """
        names = [setting.name for setting in fields(self) if setting.init]
        values = {name: getattr(self, name) for name in names}
        return values | asdict(self.names)

    def override(self, **values: Any) -> Self:
        """A copy with some fields changed; what is not changed keeps its name."""
        return type(self).parse({**self.to_dict(), **values})

    def __repr__(self) -> str:
        """As it is written in Python, with names and what differs from the defaults."""
        values = self.to_dict()
        arguments = [
            f"{setting.name}={values[setting.name]!r}"
            for setting in fields(self)
            if setting.init and values[setting.name] != setting.default
        ]
        return f"Task({', '.join(arguments)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Task):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(tuple(self.to_dict().values()))

    @property
    def blocks(self) -> Blocks:
        """What the blocks of a reply are called."""
        return Blocks.of(self.reply)

    def states(self, split: str, count: int, start: int = 0, hopeless: bool = False) -> State:
        """``count`` states in which some action succeeds, after a random walk; seeds ``start``
        onwards of the split.

        Seeds whose walk ends where nothing can succeed (2048: nothing merges) are passed over, so
        that every state asks a question; with ``hopeless`` they are kept, as whole games have such
        states as well.

        Raises:
            ConfigError: no such split, ``count`` or ``start`` are no whole numbers in their range,
                or walks of this length hardly ever end where something can succeed.
        """
        count = whole("count", count, MOST_SEEDS, 1)
        start = whole("start", start, 1 << 59)
        names = self.names
        states: list[State] = []
        missing = count
        tried = 0
        while missing:
            if tried > PATIENCE * count:
                allowed = (
                    "a length of walks that end where something can succeed "
                    f"({count - missing} of {tried} did)"
                )
                raise ConfigError("Task.walk_max", self.walk_max, allowed)
            first_seed = start * 4 + tried
            seeds = seeds_for(split, names.game, names.level, 2 * missing + 8, first_seed)
            tried += len(seeds)
            spread = self.walk_max - self.walk_min + 1
            steps = self.walk_min + (seeds >> np.uint64(7)) % np.uint64(spread)
            state = walk(self.game, self.level, seeds, steps.astype(np.int64), self.walk_legal)
            if not hopeless:
                state = state[self.game.success_mask(state).any(axis=1)]
            state = state[:missing]
            states.append(state)
            missing -= len(state)
        return concat(states)
