"""What metrics see in a turn: its value, or NaN where it does not count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vlmgym.core import DEAD
from vlmgym.dialogue.judge import Fault, Judgement
from vlmgym.dialogue.thinking import NamedTiles
from vlmgym.episodes.records import Episode, Turn
from vlmgym.evals.estimates import NAN


def success(turn: Turn | Judgement) -> float:
    """1 for a good move, else 0."""
    return float(turn.terms["game"] > 0)


def of_description(term: str) -> Callable[[Any], float]:
    """A reward term of the description."""

    def value(turn: Turn | Judgement) -> float:
        return NAN if turn.p_acc is None else turn.terms.get(term, NAN)

    return value


def of_named_tiles(part: str, whole: str) -> Callable[[Any], float]:
    """The share that one count of :class:`vlmgym.dialogue.thinking.NamedTiles` is of another."""

    def value(turn: Turn | Judgement) -> float:
        if turn.named_tiles is None:
            return NAN
        counts = dict(zip(NamedTiles._fields, turn.named_tiles, strict=True))
        return counts[part] / counts[whole] if counts[whole] else NAN

    return value


def has_fault(fault: Fault) -> Callable[[Any], float]:
    """1 where a turn failed by this fault, else 0."""
    return lambda turn: float(turn.fault == fault)


def memory_gap(turn: Turn) -> float:
    """What is missing to the success of the oracle, in games whose pictures do not show all."""
    return 1.0 - success(turn) if turn.needed else NAN


def where_needed(needed: str) -> Callable[[Any], float]:
    """The success of the turns whose good moves need that."""
    return lambda turn: success(turn) if turn.needed == needed else NAN


LAST_MOVE = -1.5
"""A puzzle's move is worth minus the moves of a shortest solution that begins with it: more than
this is the move that solves it.
"""


def path_efficiency(episode: Episode, turns: Sequence[Turn]) -> float:
    """How short the way was: the moves of a shortest solution over those that were taken, 0 where
    the puzzle was not solved (success weighted by path length; Anderson et al. 2018, arXiv
    1807.06757).

    NaN where that cannot be said: the oracle was not asked or is not exact, turns draw, there was
    no solution, or the evaluation asked for fewer turns than the game has.
    """
    if not turns or episode.end == "stopped":
        return NAN
    first = turns[0]
    if first.oracle_best is None or first.oracle_best <= DEAD:
        return NAN
    game, state = first.load()
    if not game.counts_moves(state.level):
        return NAN
    last = turns[-1].oracle_value
    solved = episode.end == "terminated" and last is not None and last > LAST_MOVE
    least = -first.oracle_best
    return least / max(least, episode.turns) if solved else 0.0


MEMORY = (
    (
        "recalls_told",
        "told",
        "pair told",
        "both cards of a pair are shown by this picture or by the earlier turns that are told "
        "again: a failure is no forgetting",
    ),
    (
        "recalls_before",
        "before",
        "pair shown before",
        "both cards of a pair were shown, but not all of it is told: only a memory of one's own, "
        "or luck, finds it",
    ),
    (
        "explores",
        "never",
        "no pair shown",
        "no pair was shown: a card that was not shown is to be turned over",
    ),
)
"""The metrics by what a good move needs to know (:data:`vlmgym.episodes.records.NEEDED`)."""
