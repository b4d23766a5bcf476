"""The first sentence of a page, its tiles of numbers, and what was run."""

from __future__ import annotations

import json
from collections.abc import Mapping

from vlmgym.report.contents import Contents, Pair, label_of, sign_of, with_article
from vlmgym.report.html import Html, interval_text, listing, number_text, tag

NOISE = (
    "The errors of this teacher are random moves put in. A student sheds such errors by decoding "
    "greedily, without RL: compare with the cold start, and with the teacher without errors. The "
    "embedded model was pretrained on the teacher's search, and to guess when it is asked for a "
    "move."
)
"""What a comparison with the teacher of a demo does not show whose folder does not say it: its
errors are random.
"""
CAUTION = "caution"
"""The key of ``demo.json`` under which the folder says it."""


VERDICTS = {
    1: "is above {} on",
    0: "cannot be told apart from {} on",
    -1: "is below {} on",
}
"""Words for the signs of a difference."""


def headline(contents: Contents) -> list[Html]:
    """The sentence on the first pair of players, and a tile with its numbers for each game."""
    if not contents.games:
        return [tag("p", "Training curves only: no evaluation was found.", class_="verdict")]
    pairs = _first_pairs(contents)
    if not pairs:
        return [tag("p", _who_is_there(contents), class_="verdict")]
    pair = next(iter(pairs.values()))
    tiles = [_tile(contents, game, pair) for game, pair in pairs.items()]
    note = (
        "Success: the share of held-out turns whose move does something. Large: "
        f"{label_of(pair.first)} minus {label_of(pair.second)} on the same states, with the paired "
        "95 % interval. “Above” and “below”: the interval excludes zero and p < 0.05 (paired "
        "sign-flip test)."
    )
    caution = []
    if contents.demo and pair.second == "teacher":
        caution = [tag("p", str(contents.demo.get(CAUTION, NOISE)), class_="note")]
    return [
        tag("p", _verdict(pairs), class_="verdict"),
        tag("div", *tiles, class_="tiles"),
        *caution,
        tag("p", note, class_="note"),
    ]


def _first_pairs(contents: Contents) -> dict[str, Pair]:
    """By game: the first pair of players that was compared in some game."""
    for names in contents.order:
        chosen = {}
        for game, pairs in contents.pairs.items():
            for pair in pairs:
                if (pair.first, pair.second) == names:
                    chosen[game] = pair
        if chosen:
            return chosen
    return {}


def _who_is_there(contents: Contents) -> str:
    """What is said where no two players can be compared."""
    labels = [label_of(player) for player in contents.players]
    noun = "player" if len(labels) == 1 else "players"
    players = f"{len(labels)} {noun} ({listing(labels)})"
    return f"{players} on {listing(contents.games)}; no pair to compare."


def _verdict(pairs: Mapping[str, Pair]) -> str:
    """On which games the first player is above, equal and below, in one sentence."""
    first_pair = next(iter(pairs.values()))
    clauses = []
    name = with_article(first_pair.second)
    for sign, words in VERDICTS.items():
        games = [game for game, pair in pairs.items() if sign_of(pair.success) == sign]
        if games:
            clauses.append(f"{words.format(name)} {listing(games)}")
            name = "it"
    subject = with_article(first_pair.first)
    return f"{subject[0].upper()}{subject[1:]} {listing(clauses)}."


def _tile(contents: Contents, game: str, pair: Pair) -> Html:
    """The difference of a pair in a game, its interval, and both values."""
    gap = pair.success
    labels = []
    for player in (pair.second, pair.first):
        success = contents.measured[game][player].metrics["success"]
        labels.append(f"{label_of(player)} {number_text(success.mean, percent=True)} %")
    difference = number_text(gap.mean, True, True)
    style = {0: "even", 1: "up", -1: "down"}[sign_of(gap)]
    return tag(
        "div",
        tag("div", game, class_="game"),
        tag("div", difference, tag("small", " points"), class_="big"),
        tag("div", f"95 % interval {interval_text(gap, True, True)}"),
        tag("div", " → ".join(labels), class_="soft"),
        class_=f"tile {style}",
    )


def what_was_run(contents: Contents) -> Html | None:
    """The table of ``demo.json``; None without one."""
    if not contents.demo:
        return None
    rows = []
    for key, value in contents.demo.items():
        if key == CAUTION:
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append(tag("tr", tag("th", key, scope="row"), tag("td", text)))
    return tag("div", tag("table", *rows, class_="facts"), class_="scroll facts-box")
