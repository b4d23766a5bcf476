"""The first sentence of a page, its tiles of numbers, and what was run."""

from __future__ import annotations

import json

from vlmgym.report.data import Data, Pair, label_of, sign_of, with_article
from vlmgym.report.html import Html, interval_text, listing, number_text, tag

NOISE = (
    "The errors of this teacher are random moves put in. A student sheds such errors by decoding "
    "greedily, without RL: compare with the cold start, and with the teacher without errors. The "
    "embedded model was pretrained on the teacher's search, and to guess when it is asked for a "
    "move."
)
"""What a comparison with the demo's teacher does not show."""


def headline(data: Data) -> list[Html]:
    """The sentence on the first pair of players, and a tile with its numbers for each game."""
    chosen: dict[str, Pair] = {}
    for names in data.order:
        chosen = {
            g: p for g, found in data.pairs.items() for p in found if (p.first, p.second) == names
        }
        if chosen:
            break
    if not data.games:
        return [tag("p", "Training curves only: no evaluation was found.", class_="verdict")]
    if not chosen:
        shown = [label_of(p) for p in data.players]
        kind = "player" if len(shown) == 1 else "players"
        text = (
            f"{len(shown)} {kind} ({listing(shown)}) on {listing(data.games)}; no pair to compare."
        )
        return [tag("p", text, class_="verdict")]
    first, second = next((p.first, p.second) for p in chosen.values())
    signs = {g: sign_of(p.success) for g, p in chosen.items()}
    parts = []
    name = with_article(second)
    for sign, words in (
        (1, "is above {} on"),
        (0, "cannot be told apart from {} on"),
        (-1, "is below {} on"),
    ):
        games = [g for g in chosen if signs[g] == sign]
        if games:
            parts.append(f"{words.format(name)} {listing(games)}")
            name = "it"
    subject = with_article(first)
    sentence = f"{subject[0].upper()}{subject[1:]} {listing(parts)}."
    tiles = []
    for game, pair in chosen.items():
        found = data.measured[game]
        gap = pair.success
        style = ("even", "up", "down")[signs[game]]
        before, after = (
            number_text(found[p].metrics["success"].mean, percent=True) for p in (second, first)
        )
        tiles.append(
            tag(
                "div",
                tag("div", game, class_="game"),
                tag(
                    "div",
                    f"{number_text(gap.mean, True, True)}",
                    tag("small", " points"),
                    class_="big",
                ),
                tag("div", f"95 % interval {interval_text(gap, True, True)}"),
                tag(
                    "div",
                    f"{label_of(second)} {before} % → {label_of(first)} {after} %",
                    class_="soft",
                ),
                class_=f"tile {style}",
            )
        )
    note = (
        f"Success: the share of held-out turns whose move does something. Large: {label_of(first)} "
        f"minus {label_of(second)} on the same states, with the paired 95 % interval. “Above” and "
        "“below”: the interval excludes zero and p < 0.05 (paired sign-flip test)."
    )
    caution = [tag("p", NOISE, class_="note")] if data.demo and second == "teacher" else []
    return [
        tag("p", sentence, class_="verdict"),
        tag("div", *tiles, class_="tiles"),
        *caution,
        tag("p", note, class_="note"),
    ]


def what_was_run(data: Data) -> Html | None:
    """The table of ``demo.json``; None without one."""
    if not data.demo:
        return None
    rows = []
    for key, value in data.demo.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append(tag("tr", tag("th", key, scope="row"), tag("td", text)))
    return tag("div", tag("table", *rows, class_="facts"), class_="scroll facts-box")
