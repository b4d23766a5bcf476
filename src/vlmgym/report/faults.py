"""Where the errors come from: shares of faults."""

from __future__ import annotations

from vlmgym.dialogue.judge import ATTRIBUTION, Fault
from vlmgym.evals.estimates import Estimate, decimals
from vlmgym.evals.metrics import FOLLOWING
from vlmgym.evals.reading import Evaluated
from vlmgym.report.contents import Contents, label_of
from vlmgym.report.html import Html, number_text, tag

NOTE = (
    "Share of turns, %, by what description, think block and move tell of a failure. A failed move "
    "is replayed on the board that the reply described: if it works there, the failure counts as "
    "perception; if it fails there too, as both where the description was wrong as well. After a "
    "right description it is misread where the think block names a tile otherwise than it is on "
    "the board, else reasoning (what it misread without naming it stands there too). Whether the "
    "reasoning has read the description, or looked at the picture again, is not tested here."
)


def faults(contents: Contents) -> list[Html]:
    """A bar for each player, game by game, and what its colours mean."""
    panels = []
    for game in contents.games:
        measured = contents.measured[game]
        players = [player for player in contents.players if player in measured]
        bars = [_bar(player, measured[player]) for player in players]
        rows = [bar for bar in bars if bar is not None]
        if rows:
            panels.append(tag("div", tag("h4", game), *rows, class_="panel stacks"))
    if not panels:
        return []
    return [
        tag("div", *panels, class_="grid"),
        tag("div", *_legend(), class_="legend long"),
        tag("p", NOTE, class_="note"),
        *(tag("p", text, class_="note") for text in _reservations(contents)),
    ]


def _reservations(contents: Contents) -> list[str]:
    """What the evaluations of the page say against reading the bars as they stand."""
    texts = []
    before = []
    for game in contents.games:
        for player, evaluated in contents.measured[game].items():
            label = label_of(player)
            follows = evaluated.metrics.get("follows", Estimate.from_dict({}))
            is_swapped = evaluated.how["observation"] == "swapped"
            if is_swapped and follows.n and not follows.low > FOLLOWING:
                texts.append(
                    f"{label}: its think block is not shown to read the description (follows = "
                    f"{follows.text(decimals(2))} on {game}), so perception and reasoning say of "
                    "it what description and move do, not what the move rests on."
                )
            if evaluated.run.attribution < ATTRIBUTION:
                before.append(f"{label} on {game}")
    if before:
        texts.append(
            f"Judged by an earlier version, in which misread stands under reasoning: "
            f"{', '.join(before)} (vlmgym rescore tells them apart)."
        )
    return texts


def _bar(player: str, evaluated: Evaluated) -> Html | None:
    """The faults of a player as pieces of a bar; None if no turn has one."""
    pieces = []
    for fault in Fault:
        missing = Estimate.from_dict({})
        share = evaluated.metrics.get(f"fault_{fault.value}", missing).mean
        if share > 0:
            text = f"{100 * share:.0f}" if share >= 0.08 else ""
            title = f"{label_of(player)}, {fault.word}: {number_text(share, True)} %"
            style = f"width:{100 * share:.3f}%;background:{fault.colour};color:{fault.ink}"
            pieces.append(tag("i", text, style=style, title=title))
    if not pieces:
        return None
    name = tag("span", label_of(player), class_="name")
    return tag("div", name, tag("span", *pieces, class_="stack"), class_="row")


def _legend() -> list[Html]:
    """What the colours mean."""
    entries = []
    for fault in Fault:
        swatch = tag("i", class_="swatch", style=f"background:{fault.colour}")
        entries.append(tag("span", swatch, tag("b", fault.word), f" {fault.meaning}"))
    return entries
