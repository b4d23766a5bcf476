"""The normalised index of each player, over all games and on each."""

from __future__ import annotations

from vlmgym.evals.estimates import Estimate
from vlmgym.evals.normalised import PlayerIndex, normalised_index
from vlmgym.report.contents import Contents, label_of
from vlmgym.report.html import Html, interval_text, number_text, tag

NOTE = (
    "0: as good as the random player; 1: as good as the oracle; of success (of the score, where "
    "games were played to the end), on the starts that all three have finished. All: the mean of "
    "the games, each counting alike, for players that have all of them. Small: 95 % bootstrap "
    "interval, starts resampled within each game."
)


def indices(contents: Contents) -> list[Html]:
    """A table of players and games; nothing where no game has a random player and an oracle."""
    evaluations = [
        evaluated for by_player in contents.measured.values() for evaluated in by_player.values()
    ]
    table = normalised_index(evaluations)
    if not table.games:
        return []
    titles = ["player", "all", *table.games]
    header = tag("tr", *(tag("th", title, scope="col") for title in titles))
    rows = [_row(contents, index, table.games) for index in table.players]
    numbers = tag("table", tag("thead", header), tag("tbody", *rows), class_="numbers")
    left_out = " ".join(f"Left out: {task}: {why}." for task, why in table.left_out.items())
    return [
        tag("div", numbers, class_="scroll", tabindex="0"),
        tag("p", f"{NOTE} {left_out}".rstrip(), class_="note"),
    ]


def _row(contents: Contents, index: PlayerIndex, games: list[str]) -> Html:
    key = tag("i", class_="key", style=f"--c:{contents.colours[index.player]}")
    cells = [_cell(index.overall), *(_cell(index.games.get(game)) for game in games)]
    return tag("tr", tag("th", key, label_of(index.player), scope="row"), *cells)


def _cell(estimate: Estimate | None) -> Html:
    """A number with its interval below it."""
    estimate = Estimate.from_dict({}) if estimate is None else estimate
    value = tag("b", number_text(estimate.mean))
    interval = tag("small", interval_text(estimate)) if estimate.known else None
    return tag("td", value, interval)
