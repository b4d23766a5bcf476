"""What a page is about: evaluations, training runs, and the pairs of players that are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError, VlmGymError
from vlmgym.core.files import read_json
from vlmgym.evals.comparison import Comparison, compare_two
from vlmgym.evals.estimates import Difference
from vlmgym.evals.folders import places
from vlmgym.evals.reading import Evaluated, read_evaluation
from vlmgym.games import GAMES, known_game
from vlmgym.train.callbacks import read_metrics

ORDER = (
    "random",
    "random-legal",
    "greedy",
    "base",
    "g0",
    "cold",
    "g1",
    "teacher",
    "search",
    "oracle",
)
"""Players and runs in the order of the page; others follow by name."""
PAIRS = (
    ("g1", "teacher"),
    ("g1", "search"),
    ("g1", "base"),
    ("g1", "cold"),
    ("g1", "g0"),
    ("g0", "base"),
    ("cold", "base"),
)
"""Paired differences, first minus second; the first that was measured makes the headline.

Without any of these: all pairs.
"""
MOST_PAIRS = 15
"""Pairs on a page whose players have other names; the leaderboard has all."""
LABELS = {"g0": "G0", "g1": "G1", "cold": "cold start", "search": "teacher without errors"}
TRUE_BOARD = ("random", "random-legal", "greedy", "teacher", "search", "oracle")
"""Players of traces that do not say what they saw, who copy the true board into their
description.
"""
COLOURS = {
    "random": "#98a0ad",
    "random-legal": "#7d8696",
    "greedy": "#5f6878",
    "base": "#b7791f",
    "g0": "#2468d8",
    "cold": "#0d9488",
    "g1": "#c2255c",
    "teacher": "#2f8f46",
    "search": "#1f5f2f",
    "oracle": "#2b3240",
}
OTHER_COLOURS = ("#7c3aed", "#d9480f", "#0b7285", "#a61e4d", "#5c7a09", "#364fc7")


@dataclass(frozen=True)
class Pair:
    """First minus second on the starts that both played."""

    first: str
    second: str
    success: Comparison
    reward: Comparison


@dataclass
class Data:
    """All that a page tells."""

    players: list[str] = field(default_factory=list)
    games: list[str] = field(default_factory=list)
    measured: dict[str, dict[str, Evaluated]] = field(default_factory=dict)  # by game, then player
    pairs: dict[str, list[Pair]] = field(default_factory=dict)
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    recipes: dict[str, str] = field(default_factory=dict)
    demo: dict[str, Any] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    order: list[tuple[str, str]] = field(default_factory=list)  # pairs of players that are compared
    evaluations: list[tuple[str, str, Path]] = field(default_factory=list)  # player, task, folder
    photos: Sequence[str | Path] = ()  # that may be opened, see vlmgym.episodes.trace_looks.look_of

    def given(self, player: str) -> bool:
        """Whether a player was handed the true board, in some game."""
        return any(is_given(found[player]) for found in self.measured.values() if player in found)


def is_given(evaluated: Evaluated) -> bool:
    """Whether the player was handed the true board, so that its description says nothing of its
    eyes.
    """
    said = evaluated.how["observation"] != "image"
    return (
        said
        or evaluated.run.sees == "state"
        or (not evaluated.run.identity and evaluated.run.player in TRUE_BOARD)
    )


def load(folders: Sequence[Path], order: Sequence[str]) -> Data:
    """Read the folders, and settle the order of players, games and pairs; see
    :func:`vlmgym.report.write_report`.
    """
    data = Data()
    for found in places(folders):
        one = read_evaluation(found, keep_turns=True)
        if not one.summary and not one.values:
            continue
        if (found.folder / "trace.jsonl").exists():
            known_game(found.run.game)  # named as the trace names it, should it be unknown here
            data.evaluations.append((found.player, found.task, found.folder))
        data.measured.setdefault(found.task, {})[found.player] = one
    for path in sorted(path for folder in folders for path in folder.glob("*/metrics.jsonl")):
        try:
            lines = read_metrics(path)
        except ValueError as error:
            raise VlmGymError(f"{path}: not a metrics file ({error})") from error
        if lines:
            data.runs[path.parent.name] = lines
            recipe = path.parent / "recipe.json"
            if recipe.exists():
                data.recipes[path.parent.name] = recipe.read_text(encoding="utf-8")
    if not data.measured and not data.runs:
        raise VlmGymError(
            f"{', '.join(map(str, folders))}: nothing to report; expected eval/PLAYER/GAME/ with "
            "trace.jsonl and summary.json "
            "(from vlmgym eval), or RUN/metrics.jsonl (from vlmgym train)"
        )
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(
                "folder", str(folder), "a folder that is there, of evaluations or training runs"
            )
    for folder in folders:
        if (folder / "demo.json").exists():
            data.demo = read_json(folder / "demo.json")

    def place(name: str) -> tuple[int, str]:
        return (order.index(name) if name in order else len(order), name)

    known = list(GAMES)
    data.games = sorted(
        data.measured, key=lambda g: (known.index(g) if g in known else len(known), g)
    )
    data.players = sorted({p for found in data.measured.values() for p in found}, key=place)
    data.runs = {k: data.runs[k] for k in sorted(data.runs, key=place)}
    names = [*data.players, *data.runs]
    others = [n for n in dict.fromkeys(names) if n not in COLOURS]
    data.colours = COLOURS | {
        n: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, n in enumerate(others)
    }
    known_pairs = [pair for pair in PAIRS if set(pair) <= set(data.players)]
    # what is measured first, what it is measured by second
    models = sorted(data.players, key=lambda p: (data.given(p), p in TRUE_BOARD))
    data.order = known_pairs or list(combinations(models, 2))[:MOST_PAIRS]
    for game in data.games:
        pairs = [pair_of(data.measured[game], a, b) for a, b in data.order]
        data.pairs[game] = [p for p in pairs if p is not None]
    return data


def pair_of(pair: Mapping[str, Evaluated], first: str, second: str) -> Pair | None:
    """Two players in a game; None where they share no start."""
    if first not in pair or second not in pair:
        return None
    success, reward = (compare_two(pair[first], pair[second], key) for key in ("success", "reward"))
    return Pair(first, second, success, reward) if success.n else None


def label_of(player: str) -> str:
    """What the page calls a player or a run."""
    return LABELS.get(player, player)


def with_article(player: str) -> str:
    """The same within a sentence."""
    return (
        f"the {label_of(player)}"
        if player in ("teacher", "search", "oracle", "cold", "base")
        else label_of(player)
    )


def sign_of(one: Difference) -> int:
    """+1 or -1 if the interval lies on one side of zero and the test agrees (p < 0.05), else 0."""
    return (int(one.low > 0) - int(one.high < 0)) * int(one.p < 0.05)
