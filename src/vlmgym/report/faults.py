"""Where the errors come from: shares of faults."""

from __future__ import annotations

from vlmgym.dialogue.judge import Fault
from vlmgym.evals.estimates import Estimate
from vlmgym.report.data import Data, label_of
from vlmgym.report.html import Html, number_text, tag


def faults(data: Data) -> list[Html]:
    """A bar for each player, game by game, and what its colours mean."""
    panels = []
    for game in data.games:
        measured = data.measured[game]
        rows = []
        for player in (player for player in data.players if player in measured):
            pieces = []
            for fault in Fault:
                share = (
                    measured[player]
                    .metrics.get(f"fault_{fault.value}", Estimate.from_dict({}))
                    .mean
                )
                if share > 0:
                    text = f"{100 * share:.0f}" if share >= 0.08 else ""
                    title = f"{label_of(player)}, {fault.word}: {number_text(share, True)} %"
                    style = f"width:{100 * share:.3f}%;background:{fault.colour};color:{fault.ink}"
                    pieces.append(tag("i", text, style=style, title=title))
            if pieces:
                rows.append(
                    tag(
                        "div",
                        tag("span", label_of(player), class_="name"),
                        tag("span", *pieces, class_="stack"),
                        class_="row",
                    )
                )
        if rows:
            panels.append(tag("div", tag("h4", game), *rows, class_="panel stacks"))
    if not panels:
        return []
    legend = [
        tag(
            "span",
            tag("i", class_="swatch", style=f"background:{fault.colour}"),
            tag("b", fault.word),
            f" {fault.meaning}",
        )
        for fault in Fault
    ]
    note = (
        "Share of turns, %, by what description and move tell of a failure. A failed move is "
        "replayed on the board that the reply described: if it works there, the failure counts as "
        "perception; if it fails there too, as reasoning, or both where the description was wrong "
        "as well. Whether the reasoning has read the description, or looked at the picture again, "
        "is not tested: a move after a right description may still rest on a tile that was misread."
    )
    return [
        tag("div", *panels, class_="grid"),
        tag("div", *legend, class_="legend long"),
        tag("p", note, class_="note"),
    ]
