"""What is written down of episodes: the run, each turn, each episode."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import vlmgym
from vlmgym.core import Game, State
from vlmgym.core.provenance import revision
from vlmgym.dialogue.judge import Judgement
from vlmgym.dialogue.reply import patterns
from vlmgym.games import read_state_text, state_text
from vlmgym.players.base import Answer

SCHEMA = 1
USAGE = ("input_tokens", "output_tokens", "reasoning_tokens", "cost", "attempts", "finish")
ENDS = ("terminated", "truncated", "stopped", "stuck", "failed")
"""How an episode can end: by the rules, at its turn limit, as fewer turns were asked for, in a
loop, without an answer.
"""


NEEDED = ("told", "before", "never")
"""What a good move needs to know: the player was told it (by this picture, or by an earlier one in
its history), it was shown before that, or never.
"""


@dataclass(frozen=True)
class EvaluationRun:
    """The first line of a trace: what was run."""

    player: str
    game: str
    level: str
    look: str
    prompt: str = "full"
    mode: str = "strict"
    # all settings of vlmgym.evals.evaluation.Evaluation
    evaluation: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)  # see Player.describe
    identity: str = ""  # see Player.identity; "" in traces of versions before there was one
    sees: str = "picture"  # see Player.sees
    schema: int = SCHEMA
    version: str = field(default_factory=lambda: vlmgym.__version__)
    revision: str = field(default_factory=revision)
    # names of the blocks, see vlmgym.dialogue.reply.Blocks; empty = the usual ones
    reply: str = ""
    # how faults are told apart, see vlmgym.dialogue.judge.ATTRIBUTION; 1 where a trace does not say
    attribution: int = 1


@dataclass(frozen=True)
class Turn:
    """One reply to one state."""

    episode: int
    turn: int
    seed: int
    state: str  # base64 of State.to_bytes, one row
    reply: str
    action: int  # -1: none
    problem: str  # see prompt.Problem
    fault: str  # see vlmgym.dialogue.judge.Fault
    gain: int
    terms: dict[str, float]  # reward terms, unweighted
    p_acc: bool | None  # None: the game has no truth text
    localises: bool
    enumerates: bool
    seen: list[list[int]]  # (rows, cols) symbols as described, -1 = not stated
    oracle_value: float | None
    oracle_best: float | None
    oracle_action: int
    seconds: float  # wall time of the reply, its share of the batch
    reasoning: str = ""  # told apart from the reply by the endpoint
    # input_tokens, output_tokens, reasoning_tokens, cost, attempts, finish
    usage: dict[str, Any] = field(default_factory=dict)
    # the five counts of vlmgym.dialogue.thinking.NamedTiles; None: the game has no truth text, or
    # the trace is of a version that did not count them
    named_tiles: list[int] | None = None
    needed: str = ""  # one of NEEDED; "" where the game's pictures show all that counts

    @staticmethod
    def of(
        game: Game,
        state: State,
        judgement: Judgement,
        episode: int,
        turn: int,
        answer: Answer,
        history: int = 0,
    ) -> Turn:
        """The record of a state (one row), the answer and its judgement; ``history``: earlier turns
        that were told again, -1 = all.
        """
        reply = judgement.reply
        localises, enumerates = patterns(reply, game.sample(state.level).names)
        usage = {}
        for name in USAGE:
            value = getattr(answer, name)
            if value != getattr(Answer, name):
                usage[name] = value
        return Turn(
            episode=episode,
            turn=turn,
            seed=int(state.seed[0]),
            state=state_text(game, state),
            reply=reply.text,
            action=reply.action,
            problem=reply.problem,
            fault=judgement.fault,
            gain=judgement.gain,
            terms=judgement.terms,
            p_acc=judgement.p_acc,
            localises=localises,
            enumerates=enumerates,
            seen=judgement.seen.symbols.tolist(),
            oracle_value=_none_for_nan(judgement.oracle_value),
            oracle_best=_none_for_nan(judgement.oracle_best),
            oracle_action=judgement.oracle_action,
            seconds=round(answer.seconds, 6),
            reasoning=answer.reasoning,
            usage=usage,
            named_tiles=list(judgement.named_tiles) if judgement.named_tiles else None,
            needed=_needed(game, state, turn, history),
        )

    def load(self) -> tuple[Game, State]:
        """The game and the state (one row) that the reply answered."""
        return read_state_text(self.state)


@dataclass(frozen=True)
class Episode:
    """A finished episode."""

    episode: int
    seed: int
    turns: int
    score: int
    reward: float  # sum of the game terms (+1 / -1) over its turns
    # "terminated", "truncated" (turn limit), "stopped" (fewer turns were asked for), "stuck" or
    # "failed"
    end: str
    repeat: int = 0  # number of the repetition of this start
    reason: str = ""  # why it failed: it counts as missing, not as lost


def _needed(game: Game, state: State, turn: int, history: int) -> str:
    """What a good move needs to know, one of :data:`NEEDED`."""
    shown_ago = game.shown_ago(state)
    if shown_ago is None:
        return ""
    ago = int(shown_ago[0])
    if ago < 0:
        return "never"
    told = turn if history < 0 else min(history, turn)
    return "told" if ago <= told else "before"


def _none_for_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
