"""What symbols are taken for, and where boards are misread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Game, State, concat
from vlmgym.episodes.records import Turn


@dataclass(frozen=True)
class Confusion:
    """What symbols are described as, in numbers of cells."""

    names: tuple[str, ...]  # of the S symbols
    # (S, S + 1): true symbol, described symbol; the last column: not stated, or with no clear name
    counts: NDArray[np.int64]

    @cached_property
    def wrong(self) -> NDArray[np.int64]:
        """``(S, S)``: the counts of cells that are stated wrongly, 0 on the diagonal."""
        counts = self.counts[:, :-1].copy()
        np.fill_diagonal(counts, 0)
        return counts

    def worst(self, limit: int) -> list[int]:
        """Up to ``limit`` symbols of the most frequent confusions (filled up with the most frequent
        symbols), in their order.
        """
        confused = np.argwhere(self.wrong)  # (pairs, 2): true symbol, described symbol
        counts = self.wrong[confused[:, 0], confused[:, 1]]
        commonest_first = confused[np.argsort(-counts, kind="stable")]
        by_frequency = np.argsort(-self.counts.sum(axis=1), kind="stable")
        present = [int(symbol) for symbol in by_frequency if self.counts[symbol].any()]
        ranked = dict.fromkeys([*commonest_first.ravel().tolist(), *present])
        return sorted(list(ranked)[:limit])


def _truths(
    turns: Sequence[Turn],
) -> list[tuple[tuple[str, ...], NDArray[np.int16], NDArray[np.int16]]]:
    """For each level among the turns: names of the symbols, true and described symbols, both ``(B,
    rows, cols)``.
    """
    groups: dict[Any, tuple[Game, list[State], list[Any]]] = {}
    for turn in turns:
        game, state = turn.load()
        _, states, descriptions = groups.setdefault((game.name, state.level), (game, [], []))
        states.append(state)
        descriptions.append(turn.seen)
    names = sorted({name for name, _ in groups})
    if len(names) > 1:
        raise ConfigError("turns", names, "turns of one game")
    truths = []
    for game, states, descriptions in groups.values():
        scene = game.scene(concat(states))
        described = np.array(descriptions, np.int16).reshape(scene.symbols.shape)
        truths.append((scene.names, scene.symbols, described))
    return truths


def confusion(turns: Sequence[Turn]) -> Confusion:
    """Count what the cells of the boards are described as.

    Args:
        turns: of one game, any levels; symbols of several levels are put together by their names.

    Raises:
        ConfigError: turns of several games.
        StateError: states of other rules.
    """
    groups = _truths(turns)
    names = tuple(dict.fromkeys(name for symbols, _, _ in groups for name in symbols))
    size = len(names)
    counts = np.zeros((size, size + 1), np.int64)
    for symbols, true, described in groups:
        # from a symbol of the level to the number of its name; -1, not stated, is the last
        name_numbers = np.array([*map(names.index, symbols), size])
        pairs = name_numbers[true.ravel()] * (size + 1) + name_numbers[described.ravel()]
        counts += np.bincount(pairs, minlength=counts.size).reshape(counts.shape)
    return Confusion(names, counts)


def misread(turns: Sequence[Turn]) -> NDArray[np.float64]:
    """The share of wrong cells among those that are stated, by place, ``(rows, cols)``; NaN where
    none is ever stated.

    Args:
        turns: of one game and one board size, at least one.

    Raises:
        ConfigError: no turns, several games, or several board sizes.
        StateError: states of other rules.
    """
    groups = _truths(turns)
    sizes = sorted({true.shape[1:] for _, true, _ in groups})
    if len(sizes) != 1:
        raise ConfigError("turns", sizes, "turns of one board size")
    stated = np.zeros(sizes[0], np.int64)
    wrong = np.zeros(sizes[0], np.int64)
    for _, true, described in groups:
        is_stated = described >= 0
        stated += is_stated.sum(axis=0)
        wrong += (is_stated & (described != true)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.true_divide(wrong, stated), np.float64)
