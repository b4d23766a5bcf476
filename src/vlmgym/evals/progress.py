"""An evaluation under way: turns are written as they come, and a bar goes on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from vlmgym.core.files import shown
from vlmgym.episodes.batch import EpisodeBatch, play
from vlmgym.episodes.records import Turn
from vlmgym.episodes.seats import Seat
from vlmgym.evals.resuming import Journal
from vlmgym.players.base import Player

MOST_FAULTS = 20
"""Kinds of faults of a player that are said."""


class Progress:
    """How far an evaluation is, as a bar on standard error.

    Args:
        batches: the episodes; those of their turns that are recorded already count.
        title: what stands before the bar.
        visible: whether anything is written.

    Attributes:
        turns: recorded so far.
        successes: those of them with a good move.
    """

    def __init__(self, batches: Sequence[EpisodeBatch], title: str, visible: bool) -> None:
        self.turns = 0
        self.successes = 0
        for batch in batches:
            self._count(batch.turns)
        self.bar = tqdm(
            total=sum(batch.most_turns() for batch in batches),
            initial=self.turns,
            desc=title,
            unit="turn",
            file=sys.stderr,
            disable=not visible,
        )
        self._fault_kinds = set[str]()

    def _count(self, turns: Sequence[Turn]) -> None:
        self.turns += len(turns)
        self.successes += sum(turn.terms["game"] > 0 for turn in turns)

    def record(self, turns: Sequence[Turn]) -> None:
        """Count turns that have been recorded."""
        self._count(turns)
        if self.turns:
            self.bar.set_postfix(success=f"{self.successes / self.turns:.2f}", refresh=False)
        self.bar.update(max(self.turns - self.bar.n, 0))

    def say(self, fault: str) -> None:
        """Say a fault of the player; of those that differ in numbers alone only the first."""
        kind = re.sub(r"\d+", "0", fault)
        if kind not in self._fault_kinds and len(self._fault_kinds) < MOST_FAULTS:
            self._fault_kinds.add(kind)
            tqdm.write(shown(fault), file=sys.stderr)


def play_all(
    batches: Sequence[EpisodeBatch],
    journals: Mapping[EpisodeBatch, Journal],
    player: Player,
    name: str,
    visible: bool,
) -> None:
    """Play all batches to their ends.

    Args:
        batches: the episodes of each task.
        journals: where turns are written, if anywhere.
        player: who plays.
        name: of the tasks.
        visible: show a bar, and the first fault of each kind.
    """
    progress = Progress(batches, f"{shown(player.name)} on {name}", visible)
    with _watched(progress, journals, [player], visible) as record:
        play(batches, player, record)


def play_against(
    seats: Sequence[tuple[Player, Sequence[Seat]]],
    journals: Mapping[EpisodeBatch, Journal],
    name: str,
    visible: bool,
) -> None:
    """Let players who play against each other move by turns until all games are over.

    Args:
        seats: the players, each with its seats.
        journals: where turns are written, if anywhere.
        name: of the game.
        visible: show a bar, and the first fault of each kind.
    """
    players = [player for player, _ in seats]
    title = " against ".join(shown(player.name) for player in players)
    progress = Progress([seat for _, own in seats for seat in own], f"{title} on {name}", visible)
    with _watched(progress, journals, players, visible) as record:
        while any(seat.live().size for _, own in seats for seat in own):
            for player, own in seats:
                if to_move := [seat for seat in own if seat.live().size]:
                    play(to_move, player, record)


@contextmanager
def _watched(
    progress: Progress,
    journals: Mapping[EpisodeBatch, Journal],
    players: Sequence[Player],
    visible: bool,
) -> Iterator[Callable[[EpisodeBatch, list[Turn]], None]]:
    """What records the turns of players, who tell of their answers and faults meanwhile."""

    def record(batch: EpisodeBatch, turns: list[Turn]) -> None:
        if batch in journals:
            journals[batch].writer.write(*turns)
        progress.record(turns)

    for player in players:
        player.on_answers = progress.bar.update
        player.on_fault = progress.say if visible else None
    try:
        with progress.bar:
            yield record
    finally:
        for player in players:
            player.on_answers = None
            player.on_fault = None
