"""Rewards of GRPO: answers to recorded states, judged in batches, as TRL's reward functions and as
metrics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from vlmgym.core import Game, State, concat
from vlmgym.dialogue.judge import Fault, Judgement, Weights, judge
from vlmgym.dialogue.reply import BLOCKS, Blocks
from vlmgym.episodes.trace import Turn
from vlmgym.evals.metrics import mean_of, shown_in
from vlmgym.games import read_state_text


class _Judge:
    """Judges each batch of completions once, for all reward functions; the last batch is kept."""

    def __init__(self, oracle: bool) -> None:
        self.oracle = oracle
        self.key: tuple[tuple[str, str, str], ...] = ()
        self.judged: list[Judgement] = []

    def __call__(
        self, completions: Sequence[Any], state: Sequence[str], reply: Sequence[str]
    ) -> tuple[list[Judgement], bool]:
        texts = [reply_text(c) for c in completions]
        key = tuple(zip(state, texts, reply, strict=True))
        fresh = key != self.key
        if fresh:
            blocks = [Blocks.of(one) for one in reply]
            self.judged = judge_rows(
                [read_state_text(one) for one in state], texts, self.oracle, blocks
            )[0]
            self.key = key
        return self.judged, fresh


def reply_text(completion: Any) -> str:
    """The text of a completion, as TRL gives it (a string, or messages with text or blocks)."""
    content = completion if isinstance(completion, str) else completion[0]["content"]
    return (
        content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
    )


def judge_rows(
    states: Sequence[tuple[Game, State]],
    texts: Sequence[str],
    oracle: bool,
    blocks: Sequence[Blocks] = (),
) -> tuple[list[Judgement], list[tuple[State, int]]]:
    """Judge answers to states (one row each); those of one game and level are stepped as one batch.

    Args:
        states: game and state of each answer.
        texts: the answers.
        oracle: see :func:`vlmgym.dialogue.judge.judge`.
        blocks: what the blocks of each answer are called; none = the usual names.

    Returns:
        A judgement for each answer, and the state after it, as a batch and a row in it.
    """
    kinds: dict[Any, list[int]] = {}
    called = blocks or [BLOCKS] * len(texts)
    for i, (game, state) in enumerate(states):
        kinds.setdefault((game.name, state.level, called[i]), []).append(i)
    judged: dict[int, tuple[Judgement, tuple[State, int]]] = {}
    for members in kinds.values():
        batch = concat([states[i][1] for i in members])
        after, found = judge(
            states[members[0]][0],
            batch,
            [texts[i] for i in members],
            oracle=oracle,
            blocks=called[members[0]],
        )
        judged |= {
            i: (one, (after, row)) for row, (i, one) in enumerate(zip(members, found, strict=True))
        }
    return [judged[i][0] for i in range(len(texts))], [judged[i][1] for i in range(len(texts))]


def reward_functions(weights: Weights) -> tuple[list[Any], list[float]]:
    """TRL reward functions, one a term, and their weights; the first also logs P_acc, R_acc and the
    error attribution.
    """
    judge_once = _Judge(oracle=weights.regret != 0)

    def make(term: str) -> Any:
        def function(
            completions: Sequence[Any], state: Sequence[str], game: Sequence[str], **columns: Any
        ) -> list[float]:
            if "terms" in columns:  # judged when the answers were generated
                return [weights.rewarded(terms)[term] for terms in columns["terms"]]
            judged, fresh = judge_once(
                completions, state, columns.get("reply") or [""] * len(state)
            )
            log = columns.get("log_metric")
            if fresh and log is not None:
                for name, value in batch_metrics(judged, game).items():
                    log(name, value)
            return [weights.rewarded(one.terms)[term] for one in judged]

        function.__name__ = term
        return function

    terms = weights.factors()
    return [make(term) for term in terms], list(terms.values())


def batch_metrics(judged: Sequence[Judgement | Turn], games: Sequence[str]) -> dict[str, float]:
    """Means of a batch: of the metrics of training logs, for each game too where there are several,
    and of all faults.
    """
    names = sorted(set(games))
    found = {f"fault/{fault.value}": mean_of(f"fault_{fault.value}", judged) for fault in Fault}
    for name in ["", *(names if len(names) > 1 else [])]:
        group = [one for one, game in zip(judged, games, strict=True) if name in ("", game)]
        prefix = f"{name}/" if name else ""
        found |= {f"{prefix}{metric}": mean_of(metric, group) for metric in shown_in("training")}
    return {name: value for name, value in found.items() if not math.isnan(value)}
