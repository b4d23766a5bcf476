"""What a page is about: evaluations, training runs, and the pairs of players that are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
LABELS = {"g0": "G0", "g1": "G1", "cold": "cold start", "search": "teacher:0 (careful)"}
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
class Contents:
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
        evaluations = [by_player.get(player) for by_player in self.measured.values()]
        return any(evaluated is not None and is_given(evaluated) for evaluated in evaluations)


def is_given(evaluated: Evaluated) -> bool:
    """Whether the player was handed the true board, so that its description says nothing of its
    eyes.
    """
    if evaluated.how["observation"] != "image" or evaluated.run.sees == "state":
        return True
    return not evaluated.run.identity and evaluated.run.player in TRUE_BOARD


def load(folders: Sequence[Path], order: Sequence[str]) -> Contents:
    """Read the folders, and settle the order of players, games and pairs; see
    :func:`vlmgym.report.write_report`.
    """
    contents = Contents()
    _read_evaluations(contents, folders)
    _read_runs(contents, folders)
    if not contents.measured and not contents.runs:
        raise VlmGymError(
            f"{', '.join(map(str, folders))}: nothing to report; expected eval/PLAYER/GAME/ with "
            "trace.jsonl and summary.json "
            "(from vlmgym eval), or RUN/metrics.jsonl (from vlmgym train)"
        )
    for folder in folders:
        if not folder.is_dir():
            allowed = "a folder that is there, of evaluations or training runs"
            raise ConfigError("folder", str(folder), allowed)
    for folder in folders:
        if (folder / "demo.json").exists():
            contents.demo = read_json(folder / "demo.json")
    _settle_order(contents, order)
    _compare_players(contents)
    return contents


def _read_evaluations(contents: Contents, folders: Sequence[Path]) -> None:
    """Every evaluation that has a summary or an episode."""
    for place in places(folders):
        evaluated = read_evaluation(place, keep_turns=True)
        if not evaluated.summary and not evaluated.values:
            continue
        if (place.folder / "trace.jsonl").exists():
            known_game(place.run.game)  # named as the trace names it, should it be unknown here
            contents.evaluations.append((place.player, place.task, place.folder))
        contents.measured.setdefault(place.task, {})[place.player] = evaluated


def _read_runs(contents: Contents, folders: Sequence[Path]) -> None:
    """The log and the recipe of every training run."""
    paths = [path for folder in folders for path in folder.glob("*/metrics.jsonl")]
    for path in sorted(paths):
        name = path.parent.name
        try:
            lines = read_metrics(path)
        except ValueError as error:
            raise VlmGymError(f"{path}: not a metrics file ({error})") from error
        if lines:
            contents.runs[name] = lines
            recipe = path.parent / "recipe.json"
            if recipe.exists():
                contents.recipes[name] = recipe.read_text(encoding="utf-8")


def _settle_order(contents: Contents, order: Sequence[str]) -> None:
    """Order players and runs, then by name; and give each a colour."""

    def position(name: str) -> tuple[int, str]:
        return (order.index(name) if name in order else len(order), name)

    players = {player for by_player in contents.measured.values() for player in by_player}
    contents.games = in_order(contents.measured)
    contents.players = sorted(players, key=position)
    contents.runs = {name: contents.runs[name] for name in sorted(contents.runs, key=position)}
    contents.colours = dict(COLOURS)
    names = dict.fromkeys([*contents.players, *contents.runs])
    for index, name in enumerate(name for name in names if name not in COLOURS):
        contents.colours[name] = OTHER_COLOURS[index % len(OTHER_COLOURS)]


def in_order(games: Iterable[str]) -> list[str]:
    """Games in the order of the library; others follow by name."""
    all_games = list(GAMES)

    def position(game: str) -> tuple[int, str]:
        return (all_games.index(game) if game in all_games else len(all_games), game)

    return sorted(games, key=position)


def _compare_players(contents: Contents) -> None:
    """Choose the pairs of players, and compare them game by game."""
    known_pairs = [pair for pair in PAIRS if set(pair) <= set(contents.players)]
    # what is measured first, what it is measured by second
    players = sorted(contents.players, key=lambda name: (contents.given(name), name in TRUE_BOARD))
    contents.order = known_pairs or list(combinations(players, 2))[:MOST_PAIRS]
    for game in contents.games:
        evaluations = contents.measured[game]
        pairs = [pair_of(evaluations, first, second) for first, second in contents.order]
        contents.pairs[game] = [pair for pair in pairs if pair is not None]


def pair_of(evaluations: Mapping[str, Evaluated], first: str, second: str) -> Pair | None:
    """Two players in a game; None where they share no start."""
    if first not in evaluations or second not in evaluations:
        return None
    success = compare_two(evaluations[first], evaluations[second], "success")
    reward = compare_two(evaluations[first], evaluations[second], "reward")
    return Pair(first, second, success, reward) if success.n else None


def label_of(player: str) -> str:
    """What the page calls a player or a run."""
    return LABELS.get(player, player)


def with_article(player: str) -> str:
    """The same within a sentence."""
    article = "the " if player in ("teacher", "search", "oracle", "cold", "base") else ""
    return article + label_of(player)


def sign_of(difference: Difference) -> int:
    """+1 or -1 if the interval lies on one side of zero and the test agrees (p < 0.05), else 0."""
    side = int(difference.low > 0) - int(difference.high < 0)
    return side * int(difference.p < 0.05)
