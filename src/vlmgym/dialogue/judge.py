"""What a reply is worth: reward terms, weights and error attribution, from one judgement of (state,
reply).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, Game, Level, State, best_action
from vlmgym.core.potential import turn_values
from vlmgym.core.simulation import Simulator
from vlmgym.dialogue.perception import Perception, read_perception
from vlmgym.dialogue.reply import BLOCKS, Blocks, Reply, parse
from vlmgym.dialogue.thinking import NamedTiles, named_tiles


def constant_cells(boards: NDArray[np.int16]) -> float:
    """The chance level of ``cells``: the largest share of cells that one tile for all cells gets
    right on all boards together.

    Args:
        boards: ``(B, rows, cols)`` symbols; NaN for none.
    """
    if not boards.size:
        return float("nan")
    cells_of = np.bincount(boards.ravel())  # by symbol
    return float(cells_of.max() / boards.size)


ATTRIBUTION = 2
"""The number of the way in which faults are told apart; in that before it, 1, there was no
``misread``: such turns were ``reasoning``.
"""


class Fault(StrEnum):
    """Whose fault a failed turn is, as far as description, think block and move can tell: it is
    not tested what the reasoning has read.
    """

    colour: str  # the same in all pictures
    meaning: str

    def __new__(cls, value: str, colour: str = "", meaning: str = "") -> Fault:
        """A word with what belongs to it."""
        fault = str.__new__(cls, value)
        fault._value_ = value
        fault.colour = colour
        fault.meaning = meaning
        return fault

    NONE = "none", "#4caf6d", "the move did something"
    FORMAT = "format", "#8b93a1", "no action could be read from the reply"
    PERCEPTION = (
        "perception",
        "#f0a330",
        ("the description is wrong; the move would have worked on the board as described"),
    )
    BOTH = "both", "#9c2a64", "the description is wrong, and the move fails even on it"
    MISREAD = (
        "misread",
        "#5c2a0c",
        (
            "the description is right, the move is not, and the think block names a tile otherwise "
            "than it is on the board"
        ),
    )
    REASONING = (
        "reasoning",
        "#4a6fd0",
        (
            "the description is right, the move is not, and every tile that the think block names "
            "is right as well (or it names none)"
        ),
    )
    UNKNOWN = "unknown", "#1b1b30", "the move failed, and the game has no truth text to tell why"
    UNAVOIDABLE = (
        "unavoidable",
        "#d5d9e0",
        ("no move of this board is good, or it was right on all that is to be seen"),
    )

    @property
    def word(self) -> str:
        """What it is called in tables and legends."""
        return "success" if self is Fault.NONE else self.value

    @property
    def phrase(self) -> str:
        """What a turn with it is called."""
        return _PHRASES.get(self, f"{self.value} error")

    @property
    def ink(self) -> str:
        """A colour of letters that can be read on its own colour."""
        is_light = self in (Fault.PERCEPTION, Fault.UNAVOIDABLE, Fault.NONE)
        return "#20242c" if is_light else "#ffffff"

    @classmethod
    def of(cls, word: str) -> Fault:
        """The fault that a record names; a word of another version is ``unknown``."""
        words = {fault.value for fault in cls}
        return cls(word) if word in words else cls.UNKNOWN


_PHRASES = {
    Fault.NONE: "success",
    Fault.BOTH: "perception and reasoning error",
    Fault.MISREAD: "misreading",
    Fault.UNAVOIDABLE: "unavoidable",
}


@dataclass(frozen=True)
class Judgement:
    """All that is known of a turn, once its reply is read and played."""

    reply: Reply
    seen: Perception
    gain: int
    changed: bool
    terms: dict[str, float]  # of each of TERMS
    fault: Fault
    p_acc: bool | None  # the description equals the board; None: the game has no truth text
    oracle_value: float  # of the chosen action; NaN if illegal or none
    oracle_best: float  # of the best action; NaN if there is none
    oracle_action: int  # a best action, or NO_ACTION
    named_tiles: NamedTiles | None  # of the think block; None: the game has no truth text


def judge(
    game: Game,
    state: State,
    replies: Sequence[str],
    mode: str = "strict",
    oracle: bool = True,
    blocks: Blocks = BLOCKS,
    simulator: Simulator | None = None,
) -> tuple[State, list[Judgement]]:
    """Read the replies, play them, and say what each is worth.

    Args:
        game: the game.
        state: ``B`` states, none ended; a fork with several replies to one state is
            ``state.repeat(n)``.
        replies: ``B`` texts.
        mode: see :func:`vlmgym.dialogue.reply.parse`.
        oracle: also compute oracle values; without, they are NaN and the regret term is 0.
        blocks: what the blocks of the replies are called.
        simulator: how the rest of the game is simulated; without, the value term is 0.

    Returns:
        The states after the turn, and ``B`` judgements.
    """
    scene = game.scene(state)
    parsed = [parse(game, state.level, text, mode, blocks) for text in replies]
    perceptions = [read_perception(reply.perception, scene, mode) for reply in parsed]
    actions = np.array([reply.action for reply in parsed], np.int64)
    after, outcome = game.step(state, actions)
    success = game.success(state, actions, outcome)
    succeeds_as_described = _replay(game, state, actions, success, perceptions)
    possible = _success_possible(game, state, success)
    values = game.oracle(state) if oracle else None
    worth = np.zeros(len(state))
    if simulator is not None:
        worth = turn_values(game, state, actions, after, simulator)
    judgements = []
    for row, (reply, perception) in enumerate(zip(parsed, perceptions, strict=True)):
        truth = scene.symbols[row]
        described = _description_terms(perception, truth)
        exact = bool(described["perception"]) if truth.size else None
        verdict = _oracle_verdict(None if values is None else values[row], reply.action)
        tiles = None
        if truth.size:
            think = reply.think or ""
            tiles = named_tiles(think, scene.names, truth, perception.symbols, game.covered)
        judgement = Judgement(
            reply=reply,
            seen=perception,
            gain=int(outcome.gain[row]),
            changed=bool(outcome.changed[row]),
            terms={
                "game": 1.0 if success[row] else -1.0,
                "format": float(reply.well_formed),
                **described,
                "regret": -verdict.regret,
                "value": float(worth[row]),
            },
            fault=_fault(
                bool(success[row]),
                reply.action,
                exact,
                bool(succeeds_as_described[row]),
                bool(possible[row]),
                tiles is not None and tiles.right < tiles.named,
            ),
            p_acc=exact,
            oracle_value=verdict.value,
            oracle_best=verdict.best,
            oracle_action=verdict.best_action,
            named_tiles=tiles,
        )
        judgements.append(judgement)
    return after, judgements


def _description_terms(perception: Perception, truth: NDArray[np.int16]) -> dict[str, float]:
    """The reward terms of a description; ``truth`` is ``(rows, cols)``, empty without a truth
    text.
    """
    if not truth.size:
        return {"perception": 0.0, "cells": 0.0, "balanced": 0.0}
    return {
        "perception": float(perception.exact(truth)),
        "cells": perception.accuracy(truth),
        "balanced": float(perception.balanced(truth)),
    }


def _success_possible(game: Game, state: State, success: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(B,)``: where some action succeeds; it is only looked up where the one played did not."""
    possible = np.ones(len(state), bool)
    failed = np.flatnonzero(~success)
    if failed.size:
        possible[failed] = game.success_mask(state[failed]).any(axis=1)
    return possible


def _replay(
    game: Game,
    state: State,
    actions: NDArray[np.int64],
    success: NDArray[np.bool_],
    perceptions: Sequence[Perception],
) -> NDArray[np.bool_]:
    """``(B,)``: the failed actions that do something on the board as it was described."""
    failed = np.where(success, NO_ACTION, actions)
    return succeeds_as_described(game, state.level, failed, perceptions)


def succeeds_as_described(
    game: Game, level: Level, actions: NDArray[np.int64], perceptions: Sequence[Perception]
) -> NDArray[np.bool_]:
    """``(B,)``: the actions that do something on the board as it was described.

    Args:
        game: the game.
        level: its level.
        actions: ``(B,)``; none does nothing.
        perceptions: ``B`` descriptions; one that states nothing is no board.
    """
    succeeds = np.zeros(len(actions), bool)
    rows = []
    boards = []
    for row, perception in enumerate(perceptions):
        stated = perception.symbols >= 0
        if actions[row] != NO_ACTION and stated.any():
            rows.append(row)
            boards.append(np.where(stated, perception.symbols, game.unnamed))
    if rows:
        succeeds[rows] = game.would_succeed(level, np.stack(boards), actions[rows])
    return succeeds


def judged_as_described(game: Game, level: Level, judged: Sequence[Judgement]) -> NDArray[np.bool_]:
    """``(B,)``: the judged replies whose move does something on the board that they describe."""
    actions = np.array([judgement.reply.action for judgement in judged], np.int64)
    return succeeds_as_described(game, level, actions, [judgement.seen for judgement in judged])


def _fault(
    success: bool,
    action: int,
    exact: bool | None,
    succeeds_as_described: bool,
    possible: bool,
    misread: bool,
) -> Fault:
    if success:
        return Fault.NONE
    if action == NO_ACTION:
        return Fault.FORMAT
    if not possible or (exact and succeeds_as_described):
        return Fault.UNAVOIDABLE
    if exact is None:
        return Fault.UNKNOWN
    if succeeds_as_described:
        return Fault.PERCEPTION
    if not exact:
        return Fault.BOTH
    return Fault.MISREAD if misread else Fault.REASONING


class _OracleVerdict(NamedTuple):
    """What the oracle says of an action."""

    value: float = float("nan")  # of the action; NaN if it is illegal or none
    best: float = float("nan")  # value of the best action; NaN if there is none
    best_action: int = NO_ACTION
    regret: float = 0.0  # 0 = best, 1 = worst legal, illegal or none


def _oracle_verdict(values: NDArray[np.float64] | None, action: int) -> _OracleVerdict:
    """The verdict on one action; ``values`` are those of all actions, ``(A,)``, or None without an
    oracle.
    """
    best_id = NO_ACTION if values is None else best_action(values)
    if values is None or best_id == NO_ACTION:
        return _OracleVerdict()
    best = float(values[best_id])
    worst = float(np.nanmin(values))
    value = float(values[action]) if action != NO_ACTION else float("nan")
    if np.isnan(value):
        regret = 1.0
    elif best > worst:
        regret = (best - value) / (best - worst)
    else:
        regret = 0.0
    return _OracleVerdict(value, best, best_id, regret)
