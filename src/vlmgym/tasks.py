"""What is asked: a game, its level and look, the prompt style, and where the states come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlmgym import prompt
from vlmgym.core import MOST_SEEDS, ConfigError, Game, Level, Settings, State, concat, name_of, seeds_for, setting, whole
from vlmgym.games import get_game, own_name
from vlmgym.looks import Look, get_look
from vlmgym.prompt import Blocks
from vlmgym.rollout import walk

PATIENCE = 500
"""Walks for each state that is wanted, after which looking for states is given up."""


@dataclass(frozen=True)
class Task(Settings):
    """One game of a run: what is played, how it looks, and which states are asked about."""

    game: str = setting("2048", "name of the game")
    level: str = setting("normal", "name of the level, or name:field=value,...")
    look: str = setting("clean", "name of the look, or name:field=value,...")
    weight: float = setting(1.0, "share of the rows, relative to the other tasks", 0.0, 1e6)
    walk_min: int = setting(0, "fewest moves of the random walk to a state", 0, 100_000)
    walk_max: int = setting(100, "most moves of the random walk to a state", 0, 100_000)
    walk_legal: bool = setting(False, "walk by legal moves only (the paper: any moves)")
    prompt: str = setting("full", "prompt style", choices=prompt.STYLES)
    reply: str = setting("", "names of the blocks, perception=NAME,think=NAME,answer=NAME (or a mapping); empty = these words")

    def __post_init__(self) -> None:
        """Check the names and the order of the walk bounds as well; a Game or a number for the name of one is taken, too."""
        for key in ("game", "level", "look"):
            object.__setattr__(self, key, name_of(getattr(self, key)))
        game: object = self.game
        if isinstance(game, Game):
            object.__setattr__(self, "game", own_name(game))
        object.__setattr__(self, "reply", str(Blocks.of(self.reply)))
        super().__post_init__()
        found = get_game(self.game)
        own_name(found)
        found.level(self.level)
        get_look(self.look)
        if self.walk_max < self.walk_min:
            raise ConfigError("Task.walk_max", self.walk_max, f"at least walk_min = {self.walk_min}")

    def rules(self) -> tuple[Game, Level, Look]:
        """The game, level and look that the names stand for."""
        game = get_game(self.game)
        return game, game.level(self.level), get_look(self.look)

    @property
    def blocks(self) -> Blocks:
        """What the blocks of a reply are called."""
        return Blocks.of(self.reply)

    def states(self, split: str, count: int, start: int = 0, hopeless: bool = False) -> State:
        """``count`` states in which some action succeeds, after a random walk; seeds ``start`` onwards of the split.

        Seeds whose walk ends where nothing can succeed (2048: nothing merges) are passed over, so that every state asks a
        question; with ``hopeless`` they are kept, as whole games have such states as well.

        Raises:
            ConfigError: no such split, ``count`` or ``start`` are no whole numbers in their range, or walks of this length
                hardly ever end where something can succeed.
        """
        game, level, _ = self.rules()
        count, start = whole("count", count, MOST_SEEDS, 1), whole("start", start, 1 << 59)
        found: list[State] = []
        have, at = 0, start * 4
        while have < count:
            if at - start * 4 > PATIENCE * count:
                tried = at - start * 4
                allowed = f"a length of walks that end where something can succeed ({have} of {tried} did)"
                raise ConfigError("Task.walk_max", self.walk_max, allowed)
            seeds = seeds_for(split, self.game, self.level, 2 * (count - have) + 8, at)
            at += len(seeds)
            spread = self.walk_max - self.walk_min + 1
            steps = self.walk_min + (seeds >> np.uint64(7)) % np.uint64(spread)
            state = walk(game, level, seeds, steps.astype(np.int64), self.walk_legal)
            state = state if hopeless else state[game.successes(state).any(axis=1)]
            found.append(state[: count - have])
            have += len(found[-1])
        return concat(found)
