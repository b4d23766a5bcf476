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
from vlmgym.episodes.records import Turn
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
        texts = [reply_text(completion) for completion in completions]
        key = tuple(zip(state, texts, reply, strict=True))
        fresh = key != self.key
        if fresh:
            blocks = [Blocks.of(names) for names in reply]
            states = [read_state_text(text) for text in state]
            self.judged, _ = judge_rows(states, texts, self.oracle, blocks)
            self.key = key
        return self.judged, fresh


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
    called = blocks or [BLOCKS] * len(texts)
    batches: dict[Any, list[int]] = {}
    for number, (game, state) in enumerate(states):
        key = (game.name, state.level, called[number])
        batches.setdefault(key, []).append(number)
    judged: dict[int, Judgement] = {}
    after: dict[int, tuple[State, int]] = {}
    for members in batches.values():
        game = states[members[0]][0]
        before = concat([states[number][1] for number in members])
        replies = [texts[number] for number in members]
        stepped, judgements = judge(game, before, replies, oracle=oracle, blocks=called[members[0]])
        for row, number in enumerate(members):
            judged[number] = judgements[row]
            after[number] = (stepped, row)
    numbers = range(len(texts))
    return [judged[number] for number in numbers], [after[number] for number in numbers]


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
            replies = columns.get("reply") or [""] * len(state)
            judged, fresh = judge_once(completions, state, replies)
            log = columns.get("log_metric")
            if fresh and log is not None:
                for name, value in batch_metrics(judged, game).items():
                    log(name, value)
            return [weights.rewarded(judgement.terms)[term] for judgement in judged]

        function.__name__ = term
        return function

    terms = weights.factors()
    return [make(term) for term in terms], list(terms.values())


def batch_metrics(judged: Sequence[Judgement | Turn], games: Sequence[str]) -> dict[str, float]:
    """Means of a batch: of the metrics of training logs, for each game too where there are several,
    and of all faults.
    """
    metrics = {f"fault/{fault.value}": mean_of(f"fault_{fault.value}", judged) for fault in Fault}
    for name in shown_in("training"):
        metrics[name] = mean_of(name, judged)
    names = sorted(set(games))
    for game in names if len(names) > 1 else []:
        of_game = [turn for turn, name in zip(judged, games, strict=True) if name == game]
        for name in shown_in("training"):
            metrics[f"{game}/{name}"] = mean_of(name, of_game)
    return {name: value for name, value in metrics.items() if not math.isnan(value)}
