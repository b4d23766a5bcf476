"""An evaluation under way: turns are written as they come, and a bar goes on."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from tqdm import tqdm

from vlmgym.core.files import shown
from vlmgym.episodes.batch import EpisodeBatch, play
from vlmgym.episodes.trace import TraceWriter, Turn
from vlmgym.players.base import Player


def play_all(
    lanes: Sequence[EpisodeBatch],
    writers: Sequence[TraceWriter | None],
    player: Player,
    what: str,
    progress: bool,
) -> None:
    """Play all lanes to their ends; turns are written, the bar goes on, and the first fault of each
    kind is said.
    """
    journal = dict(zip(map(id, lanes), writers, strict=True))
    have = sum(len(lane.turns) for lane in lanes)
    total = sum(lane.most_turns() for lane in lanes)
    name = shown(player.name)
    bar = tqdm(
        total=total,
        initial=have,
        desc=f"{name} on {what}",
        unit="turn",
        file=sys.stderr,
        disable=not progress,
    )
    hits = [sum(r.terms["game"] > 0 for lane in lanes for r in lane.turns), have]
    met = set[str]()

    def show(lane: EpisodeBatch, records: list[Turn]) -> None:
        if writer := journal[id(lane)]:
            writer.write(*records)
        hits[0] += sum(r.terms["game"] > 0 for r in records)
        hits[1] += len(records)
        if hits[1]:
            bar.set_postfix(success=f"{hits[0] / hits[1]:.2f}", refresh=False)
        bar.update(max(hits[1] - bar.n, 0))

    def say(fault: str) -> None:
        kind = re.sub(r"\d+", "0", fault)
        if kind not in met and len(met) < 20:
            met.add(kind)
            tqdm.write(shown(fault), file=sys.stderr)

    player.on_answers, player.on_fault = bar.update, say if progress else None
    try:
        with bar:
            play(lanes, player, show)
    finally:
        player.on_answers = player.on_fault = None
