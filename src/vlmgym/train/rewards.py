"""Rewards of GRPO: answers to recorded states, judged in batches, as TRL's reward functions and as
metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vlmgym.core import Game, State, concat
from vlmgym.core.simulation import Simulator
from vlmgym.dialogue.judge import Fault, Judgement, judge
from vlmgym.dialogue.reply import BLOCKS, Blocks
from vlmgym.dialogue.weights import Weights
from vlmgym.episodes.records import Turn
from vlmgym.evals.metrics import mean_of, shown_in
from vlmgym.games import read_state_text


class _Judge:
    """Judges each batch of completions once, for all reward functions; the last batch is kept."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.key: tuple[tuple[str, str, str], ...] = ()
        self.judged: list[Judgement] = []

    def __call__(
        self, completions: Sequence[Any], state: Sequence[str], reply: Sequence[str]
    ) -> tuple[list[Judgement], bool]:
        """The judgements, and whether the batch is a new one."""
        texts = [reply_text(completion) for completion in completions]
        key = tuple(zip(state, texts, reply, strict=True))
        is_new = key != self.key
        if is_new:
            states = [read_state_text(text) for text in state]
            blocks = [Blocks.of(names) for names in reply]
            oracle = self.weights.regret != 0
            self.judged, _ = judge_rows(states, texts, oracle, blocks, self.weights.simulates)
            self.key = key
        return self.judged, is_new


def reply_text(completion: Any) -> str:
    """The text of a completion, as TRL gives it (a string, or messages with text or blocks)."""
    content = completion if isinstance(completion, str) else completion[0]["content"]
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content)


def judge_rows(
    states: Sequence[tuple[Game, State]],
    texts: Sequence[str],
    oracle: bool,
    blocks: Sequence[Blocks] = (),
    simulator: Simulator | None = None,
) -> tuple[list[Judgement], list[tuple[State, int]]]:
    """Judge answers to states (one row each); those of one game and level are stepped as one batch.

    Args:
        states: game and state of each answer.
        texts: the answers.
        oracle: see :func:`vlmgym.dialogue.judge.judge`.
        blocks: what the blocks of each answer are called; none = the usual names.
        simulator: see :func:`vlmgym.dialogue.judge.judge`.

    Returns:
        A judgement for each answer, and the state after it, as a batch and a row in it.
    """
    all_blocks = blocks or [BLOCKS] * len(texts)
    batches: dict[Any, list[int]] = {}
    for number, (game, state) in enumerate(states):
        key = (game.name, state.level, all_blocks[number])
        batches.setdefault(key, []).append(number)
    judged: dict[int, Judgement] = {}
    states_after: dict[int, tuple[State, int]] = {}
    for members in batches.values():
        game, _ = states[members[0]]
        batch = concat([states[number][1] for number in members])
        replies = [texts[number] for number in members]
        names = all_blocks[members[0]]
        after, judgements = judge(
            game, batch, replies, oracle=oracle, blocks=names, simulator=simulator
        )
        for row, number in enumerate(members):
            judged[number] = judgements[row]
            states_after[number] = (after, row)
    in_order = range(len(texts))
    return (
        [judged[number] for number in in_order],
        [states_after[number] for number in in_order],
    )


def reward_functions(weights: Weights) -> tuple[list[Any], list[float]]:
    """TRL reward functions, one a term, and their weights; the first also logs P_acc, R_acc and the
    error attribution.
    """
    judge_once = _Judge(weights)

    def judged_terms(
        completions: Sequence[Any], state: Sequence[str], game: Sequence[str], columns: Any
    ) -> list[Mapping[str, float]]:
        """The terms of each reply; the metrics of a batch are logged when it is judged."""
        names_of_blocks = columns.get("reply") or [""] * len(state)
        judged, is_new = judge_once(completions, state, names_of_blocks)
        log_metric = columns.get("log_metric")
        if is_new and log_metric is not None:
            for name, value in batch_metrics(judged, game).items():
                log_metric(name, value)
        return [judgement.terms for judgement in judged]

    def make(term: str) -> Any:
        def function(
            completions: Sequence[Any], state: Sequence[str], game: Sequence[str], **columns: Any
        ) -> list[float]:
            if "terms" in columns:  # judged when the answers were generated
                all_terms = columns["terms"]
            else:
                all_terms = judged_terms(completions, state, game, columns)
            return [weights.rewarded(terms)[term] for terms in all_terms]

        function.__name__ = term
        return function

    factors = weights.factors()
    return [make(term) for term in factors], list(factors.values())


def batch_metrics(judged: Sequence[Judgement | Turn], games: Sequence[str]) -> dict[str, float]:
    """Means of a batch: of the metrics of training logs, for each game too where there are several,
    and of all faults.
    """
    metrics = {}
    for fault in Fault:
        metrics[f"fault/{fault.value}"] = mean_of(f"fault_{fault.value}", judged)
    metrics |= _training_means(judged)
    names = sorted(set(games))
    if len(names) > 1:
        for name in names:
            turns = [turn for turn, game in zip(judged, games, strict=True) if game == name]
            for metric, mean in _training_means(turns).items():
                metrics[f"{name}/{metric}"] = mean
    return {name: value for name, value in metrics.items() if not math.isnan(value)}


def _training_means(judged: Sequence[Judgement | Turn]) -> dict[str, float]:
    return {name: mean_of(name, judged) for name in shown_in("training")}
