"""Which games an environment plays: those that the options of ``reset`` name, else fresh ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmgym.core import ConfigError, Game, Level, State, as_seeds_of, concat, known_split, seeds_for
from vlmgym.envs.arguments import is_whole_number
from vlmgym.envs.types import Keys, Rows

KEYS = 1 << 62
"""Keys of games that are dealt at random lie below: they are of the split ``train``."""


@dataclass(frozen=True)
class Openings:
    """The openings of one level of a game."""

    game: Game
    level: Level
    names: tuple[str, str]  # of the game and the level, as evaluations write them

    def open(
        self,
        options: Mapping[str, Any] | None,
        keys: Keys,
        rows: Rows,
        count: int,
    ) -> State:
        """The games of some rows: those that the options of ``reset`` name, else fresh ones.

        Args:
            options: of ``reset``; each value is one for all ``count`` rows, or a list of one a row.
            keys: ``(len(rows),)`` drawn at random, for the games that no option names.
            rows: which rows are opened.
            count: rows of the environment.
        """
        options = {} if options is None else options
        _check_options(options)
        if "state" in options:
            return self.copies_of(options["state"], count)[rows]
        if "split" in options:
            splits = _one_a_row("options['split']", options["split"], count)
            indices = _one_a_row("options['index']", options.get("index"), count)
            keys_of_splits = [
                self.key(splits[row], indices[row], key)
                for row, key in zip(rows, keys, strict=True)
            ]
            keys = np.array(keys_of_splits, np.uint64)
        return self.game.reset(self.level, keys)

    def key(self, split: object, index: Any, random_key: np.uint64) -> np.uint64:
        """The seed of game ``index`` of a split, as evaluations play it; without an index, one at
        random.
        """
        name = known_split("options['split']", split)
        if index is None:
            return np.uint64(as_seeds_of(name, np.array([random_key]))[0])
        if not is_whole_number(index) or not 0 <= index < KEYS:
            raise ConfigError("options['index']", index, f"a whole number from 0 to {KEYS - 1}")
        return np.uint64(seeds_for(name, *self.names, 1, int(index))[0])

    def copies_of(self, states: object, count: int) -> State:
        """Copies of ``count`` states, which come as values or bytes, in one piece or as a list.

        Raises:
            StateError: bytes of another game, or damaged.
            ConfigError: another level or number of games, or a game that has ended.
        """
        pieces = states if isinstance(states, (list, tuple)) else [states]
        batch = concat([self._copy(piece) for piece in pieces])
        if len(batch) not in (1, count):
            raise ConfigError("options['state']", f"{len(batch)} games", f"one game, or {count}")
        if batch.ended.any():
            raise ConfigError("options['state']", "a game that has ended", "a game that goes on")
        return batch if len(batch) == count else batch.repeat(count)

    def _copy(self, piece: object) -> State:
        """A checked copy of a state, or the state of bytes."""
        if not isinstance(piece, (bytes, State)):
            allowed = "a State, its bytes, or a list of these"
            raise ConfigError("options['state']", type(piece).__name__, allowed)
        state = self.game.from_bytes(piece) if isinstance(piece, bytes) else piece
        if state.level != self.level:
            raise ConfigError("level of options['state']", state.level, str(self.level))
        if isinstance(piece, bytes):
            return state
        return self.game.from_bytes(piece.to_bytes(self.game))


def _check_options(options: object) -> None:
    if not isinstance(options, Mapping):
        raise ConfigError("options", options, "a dict with split and index, or with state")
    for name, value in options.items():
        if name not in ("split", "index", "state"):
            raise ConfigError(f"options[{name!r}]", value, "split and index, or state")
    if "state" in options:
        if len(options) > 1:
            raise ConfigError("options", sorted(options), "split and index, or state alone")
    elif "index" in options and "split" not in options:
        allowed = "an index of a split: name it as well, as options['split']"
        raise ConfigError("options['index']", options["index"], allowed)


def _one_a_row(name: str, value: Any, count: int) -> Sequence[Any]:
    """One value a row: a list is one already, anything else is for all rows."""
    if isinstance(value, (list, tuple, np.ndarray)):
        if np.ndim(np.asarray(value, object)) != 1 or len(value) != count:
            raise ConfigError(name, value, f"one value, or a list of {count}")
        return list(value)
    return [value] * count
