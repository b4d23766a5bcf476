"""The differences that a study asked for, each with its test and its verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vlmgym.evals import crossed_effects, stats
from vlmgym.evals.estimates import NAN
from vlmgym.evals.metrics import METRICS
from vlmgym.studies.g1.findings import (
    GAMES,
    TITLES,
    TURNED,
    StudyResults,
    Table,
    difference,
    estimate,
    knows_a_move,
    points,
)
from vlmgym.studies.study import BASE

PAPER = {
    "2048": {"base": 246, "g0": 759, "teacher": 892, "g1": 1070, "rl": "0.2 to 0.52"},
    "ShisenSho": {"base": 1.9, "g0": 12.8, "teacher": 15.3, "g1": 17.5, "rl": "-0.3 to 0.85"},
    "ShisenShoPhotos": {"base": 0.4, "g0": 8.0, "teacher": 8.7, "g1": 14.1, "rl": "0.5 to 0.86"},
    "Swap": {"base": 2, "g0": 5, "teacher": 43, "g1": 78, "rl": "-0.8 to 0.45"},
}
"""Scores of Qwen2.5-VL-7B, G0-7B, Claude-3.7-Sonnet-Thinking and G1-7B in the paper (arXiv
2505.13426, figures), and the mean training reward of G1 from the first step to the last."""
MARGIN = 0.05
"""Shares that differ by less are called equal where equality is the claim."""


@dataclass(frozen=True)
class Claim:
    """A difference that a study asked for, and what came out."""

    claim: str
    paper: str  # what the paper has; "-" where the question is ours
    numbers: str
    p: float  # of the hypothesis that there is no difference (that it is outside of the margin)
    # the verdict where p is below 0.05 after Holm: "larger", "smaller", "within the margin"
    holds: str
    adjusted: float = NAN  # p after Holm over all claims

    @property
    def verdict(self) -> str:
        """What may be said: ``holds``, or that it is not decided."""
        return self.holds if self.adjusted < 0.05 else "not decided"


def halfway(steps: NDArray[np.int64], table: Table) -> list[float]:
    """For each seed the first step at which half of the rise is done; nothing where a seed rises by
    less than 0.1.
    """
    results = []
    for line in table:
        if line[-1] - line[0] < 0.1:
            return []
        middle = (line[0] + line[-1]) / 2
        index = int(np.argmax(line >= middle))
        results.append(float(steps[index]))
    return results


def claims(results: StudyResults) -> list[Claim]:
    """The differences that a study asked for, each with its p-value; one whose runs were left out
    is not there.

    A difference is tested against 0 (two-sided). That something is as good is tested against being
    worse by :data:`MARGIN` (one-sided), that two are equal against differing by it (two one-sided
    tests; Schuirmann 1987): no evidence is never taken for equality. All p-values of a study are
    adjusted together (Holm 1979). No claim is primary unless it was named before a study was run,
    so all of them are exploratory.
    """
    collected = _Claims(results)
    _on_the_base(collected)
    _on_training(collected)
    _on_one_model(collected)
    _on_turned_tiles(collected)
    _on_localisation(collected)
    adjusted = stats.holm([claim.p for claim in collected.claims])
    return [
        replace(claim, adjusted=float(p))
        for claim, p in zip(collected.claims, adjusted, strict=True)
    ]


@dataclass(frozen=True)
class _Place:
    """Where and by what two players are compared."""

    evaluation: str
    game: str
    metric: str


class _Claims:
    """The claims of a study as they are collected."""

    def __init__(self, results: StudyResults) -> None:
        self.results = results
        self.claims: list[Claim] = []

    def add(
        self, title: str, paper: str, pair: tuple[str, str], place: _Place, kind: str = "differ"
    ) -> None:
        """Add the difference of two players, unless one of them was not asked.

        Args:
            title: what is claimed.
            paper: what the paper has.
            pair: first minus second.
            place: where they are compared.
            kind: see :func:`_claim`.
        """
        tables = []
        for player in pair:
            tables.append(self.results.table(place.evaluation, place.game, player, place.metric))
        table = difference(*tables)
        if table.size:
            compared = f"{pair[0]} - {pair[1]}, {place.metric}, {place.evaluation}"
            claim = _claim(title, paper, table, place.metric, compared, kind)
            self.claims.append(claim)


def _on_the_base(collected: _Claims) -> None:
    """What the base knows, and what it makes of it."""
    results = collected.results
    for game, title in TITLES.items():
        knows = results.each("moves", game, BASE, lambda turn: float(knows_a_move(turn)))
        does = results.table("states", game, BASE, "success")
        if knows.size and does.size:
            shared = min(knows.shape[-1], does.shape[-1])
            gap = difference(knows[:, :shared], does[:, :shared])
            claimed = f"{title}: the base knows more moves than it makes (as it was pretrained to)"
            collected.claims.append(_claim(claimed, "yes", gap, "success", "knows - does"))
        better = f"{title}: the base plays better than a random player"
        collected.add(better, "-", (BASE, "random"), _Place("states", game, "success"))


def _on_training(collected: _Claims) -> None:
    """The differences of the paper's table, and those between the two bases."""
    for title, first, second, paper in (
        ("G0 - base", "g0-{}", BASE, "{base} to {g0}"),
        ("G1 - its teacher", "g1-{}", collected.results.teacher, "{g1} against {teacher}"),
        ("G1 - G0", "g1-{}", "g0-{}", "{g1} against {g0}"),
        ("G1 - cold start, sampled alike", "g1-{}", "cold-{}", "reward {rl}"),
    ):
        for game, suffix in GAMES.items():
            pair = first.format(suffix), second.format(suffix)
            place = _Place(f"episodes-{suffix}", game, "score")
            numbers = paper.format(**PAPER[game])
            collected.add(f"{TITLES[game]}: {title}", numbers, pair, place)
    for game, suffix in GAMES.items():
        pair = f"g0-{suffix}", f"g0-shy-{suffix}"
        title = "G0 from a base that searches now and then - from one that never does"
        place = _Place("states", game, "success")
        collected.add(f"{TITLES[game]}: {title}", "-", pair, place)


def _on_one_model(collected: _Claims) -> None:
    """One model for all games against one for each."""
    for game, suffix in GAMES.items():
        title = f"{TITLES[game]}: one model for all games is as good as its own"
        pair = ("g1-all", f"g1-{suffix}")
        greedy = _Place("states", game, "success")
        collected.add(f"{title} (greedy success)", "-", pair, greedy, "no worse")
        whole_games = _Place(f"episodes-{suffix}", game, "score")
        collected.add(f"{title} (score)", "-", pair, whole_games)


def _on_turned_tiles(collected: _Claims) -> None:
    """The differences on turned tiles and those that the interventions make.

    Success after a given description is not among them: what it tells hangs on whether the think
    block reads the description.
    """
    perception = _Place("turned", TURNED, "p_acc")
    play = _Place("turned", TURNED, "success")
    sampled_perception = _Place("turned-sampled", TURNED, "p_acc")
    sampled_play = _Place("turned-sampled", TURNED, "success")
    add = collected.add
    for name, pair in (
        ("from the base", ("g0-turned", BASE)),
        ("after the cold start", ("g1-turned", "cold-turned")),
    ):
        add(f"RL lifts perception {name} (greedy answers)", "yes", pair, perception)
        add(f"RL lifts perception {name} (sampled answers)", "yes", pair, sampled_perception)
        add(f"RL lifts play {name} (sampled answers)", "yes", pair, sampled_play)
    for place, name in ((perception, "perception"), (play, "play")):
        trained_tower = ("g0-turned", "frozen")
        add(f"A trained vision tower - a frozen one: {name}", "-", trained_tower, place)
        gated_reward = ("seeing", "g0-turned")
        add(f"Reward only for right descriptions - as it is: {name}", "-", gated_reward, place)
    for weight, paper in (("0.1", "yes"), ("1", "-")):
        pair = (f"perception-{weight}", "perception-0")
        title = f"A perception reward ({weight} against 0)"
        add(f"{title} lifts perception", paper, pair, sampled_perception)
        add(f"{title} leaves play as it is", paper, pair, sampled_play, "equal")
    add("The think block is needed", "-", ("g1-turned", "thoughtless"), play)


def _on_localisation(collected: _Claims) -> None:
    """Whether localisation rises before success."""
    for run in ("g0-shisen-sho", "g0-turned"):
        localisation = halfway(*collected.results.curve(run, TURNED, "localises"))
        success = halfway(*collected.results.curve(run, TURNED, "success"))
        if not localisation or not success:
            continue
        lead = [later - first for first, later in zip(localisation, success, strict=True)]
        steps = [
            f"{first:g} and {later:g}" for first, later in zip(localisation, success, strict=True)
        ]
        numbers = f"half of the rise at step {', '.join(steps)} (localises and success, by seed)"
        holds = "larger" if sum(lead) > 0 else "smaller"
        title = f"{run}: localisation rises before success"
        collected.claims.append(Claim(title, "yes", numbers, stats.sign_test(lead), holds))


def _claim(
    title: str, paper: str, table: Table, metric: str, compared: str, kind: str = "differ"
) -> Claim:
    """A claim on a table of differences ``(seeds, episodes)``: ``differ``, ``no worse`` or
    ``equal``.
    """
    gap = estimate(table, bounds=METRICS[metric].gap_bounds)
    holds = "larger" if gap.mean > 0 else "smaller"
    if kind == "differ":
        p = crossed_effects.crossed_p(table)
    else:
        holds = "within the margin"
        p = crossed_effects.crossed_p(table, -MARGIN, 1)
        if kind == "equal":
            p = max(p, crossed_effects.crossed_p(table, MARGIN, -1))
    return Claim(title, paper, f"{points(gap, metric)} ({compared})", p, holds)
