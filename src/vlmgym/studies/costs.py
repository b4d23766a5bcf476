"""What the jobs of a study cost, in answers of GRPO, roughly: for the bar and the list alone."""

from __future__ import annotations

from vlmgym.evals.protocol import Protocol
from vlmgym.studies.entries import Branched
from vlmgym.train.recipe import Recipe

SFT_COST = 0.5
"""Time of a row of SFT, in answers of GRPO; for the bar alone."""
ASK_COST = 0.2
"""Time of an answer of an evaluation, likewise."""
BRANCH_COST = 0.06
"""Time of a continuation of a table of blocks."""


def training_cost(recipe: Recipe) -> float:
    """What a training run costs."""
    tasks = len(recipe.tasks)
    cost = 0.0
    if recipe.pretrain:
        cost += SFT_COST * recipe.sft.steps * recipe.sft.batch
    if recipe.cold_start:
        cost += SFT_COST * recipe.cold_start.states * tasks * recipe.sft.epochs
    if recipe.grpo:
        cost += recipe.grpo.steps * recipe.grpo.batch
        if recipe.checks.every:
            checks = recipe.grpo.steps // recipe.checks.every + 1
            cost += ASK_COST * checks * recipe.checks.states * tasks
    return cost


def turns_of(protocol: Protocol) -> int:
    """The turns of a protocol, at most."""
    turns = 0
    for task, evaluation in protocol.entries:
        turns += evaluation.episodes * (evaluation.turns or task.level.max_steps)
    return turns


def branching_cost(branched: Branched) -> float:
    """What the tables of blocks of a player cost."""
    return branched.states * branching_cost_of_state(branched)


def branching_cost_of_state(branched: Branched) -> float:
    """The share of one state."""
    return branched.descriptions * (ASK_COST + BRANCH_COST * branched.continuations)
