"""The games in pictures and pages: every level under every look, and what the class of a game says
of itself.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from vlmgym.core import (
    GALLERY_STREAM,
    NO_ACTION,
    Game,
    Settings,
    State,
    VlmGymError,
    best_action,
    pick_legal,
    seeds_for,
)
from vlmgym.core.files import write_atomically
from vlmgym.evals import baselines
from vlmgym.evals.estimates import Estimate, decimals
from vlmgym.evals.metrics import shown_in
from vlmgym.games import game_names, get_game
from vlmgym.render.frames import frame_size, pictures
from vlmgym.render.ink import DARK, LABEL, PAGE, text_ink, write
from vlmgym.render.looks import LOOKS, Look

CELL = 232
HEAD = 30
SIDE = 112
"""Pixels of a picture's box in a sheet, of the line of column titles, and of the column of row
titles.
"""
MOST_IN_A_LINE = 9
"""Games side by side on the sheet of all."""
DIALS: dict[str, Sequence[Any]] = {
    "similarity": (0.0, 0.2, 0.4, 0.6, 0.8),
    "contrast": (1.0, 0.8, 0.6, 0.4, 0.2),
    "brightness": (-0.4, -0.2, 0.0, 0.2, 0.4),
    "blur": (0.0, 0.5, 1.0, 2.0, 4.0),
    "noise": (0.0, 0.05, 0.1, 0.2, 0.3),
    "rotation": (0.0, 10.0, 20.0, 30.0, 45.0),
    "occlusion": (0.0, 0.1, 0.2, 0.35, 0.5),
    "texture": (0.0, 0.25, 0.5, 0.75, 1.0),
    "tile": (64, 48, 32, 24, 16),
    "palette": (0, 6, 3, 2, 1),
    "font": ("sans", "serif", "mono"),
    "skin": ("printed", "handwritten"),
    "grid": (True, False),
    "coordinates": (True, False),
    "score": (False, True),
}
"""The perception dial, field by field, with the values that the sheet of dials shows."""


def position(game: Game, level: str, turns: int = 8) -> State:
    """A position worth a look: after some random legal moves, good ones where wrong ones would
    stand on the board; a pure function of game and level.
    """
    well_played = {"deduction", "opponent"} & {*game.tags}
    state = game.reset(game.level(level), seeds_for("free", game.name, level, 1))
    for turn in range(turns):
        moves = game.success_mask(state) if well_played else game.legal(state)
        action = pick_legal(moves, state.seed, turn, GALLERY_STREAM)
        if action[0] == NO_ACTION:
            break
        after, _ = game.step(state, action)
        if after.ended[0]:
            break
        state = after
    return state


def sheet(rows: Sequence[tuple[str, Sequence[tuple[str, Image.Image]]]]) -> Image.Image:
    """Pictures in a grid, a title above each, the row's title on the left; large ones are shrunk to
    their box.
    """
    columns = max(len(cells) for _, cells in rows)
    page = Image.new("RGB", (SIDE + columns * CELL, len(rows) * (CELL + HEAD)), PAGE)
    draw = ImageDraw.Draw(page)
    for row, (row_title, cells) in enumerate(rows):
        top = row * (CELL + HEAD)
        middle = top + HEAD + CELL / 2
        draw.line((0, top, page.width, top), fill=(214, 210, 200))
        if row_title:
            ink = text_ink(row_title, "sans")
            write(page, ink, (SIDE / 2, middle), (SIDE - 14, 15), DARK)
        for column, (title, picture) in enumerate(cells):
            left = SIDE + column * CELL
            ink = text_ink(title, "sans")
            write(page, ink, (left + CELL / 2, top + HEAD / 2 + 3), (CELL - 16, 13), LABEL)
            picture = _shrunk(picture)
            x = left + (CELL - picture.width) // 2
            y = top + HEAD + (CELL - picture.height) // 2
            page.paste(picture, (x, y))
    return page


def _shrunk(picture: Image.Image) -> Image.Image:
    """A picture that fits into its box."""
    scale = min(1.0, (CELL - 12) / max(picture.size))
    if scale == 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    resampling = Image.Resampling.BOX if scale < 0.5 else Image.Resampling.LANCZOS
    return picture.resize(size, resampling)


def game_sheet(game: Game) -> Image.Image:
    """Levels as rows, looks as columns."""
    rows = []
    for level in game.LEVELS:
        state = position(game, level)
        row = []
        for look in LOOKS:
            try:
                row.append((look, pictures(game, state, look)[0]))
            except VlmGymError as error:
                if "vlmgym photos" not in str(error):
                    raise
        if row:
            rows.append((level, row))
    return sheet(rows)


def dial_sheet(numbers: Game, shapes: Game) -> Image.Image:
    """The fields of the look as rows, their values as columns; numbers and shapes in turn."""
    rows = []
    for index, (name, values) in enumerate(DIALS.items()):
        if name in ("palette", "font", "skin", "score") or index % 2:
            game = numbers
            state = position(game, "normal", 60)
        else:
            game = shapes
            state = position(game, "easy", 1)
        base = Look(tile=56, margin=28, coordinates=name == "coordinates")
        row = []
        for value in values:
            look = base.override(**{name: value})
            row.append((f"{name} = {value}", pictures(game, state, look)[0]))
        rows.append((f"look.{name}", row))
    return sheet(rows)


def games_sheet(names: Sequence[str]) -> Image.Image:
    """All games under two looks, on a few lines."""
    in_a_line = math.ceil(len(names) / math.ceil(len(names) / MOST_IN_A_LINE))
    rows = []
    for start in range(0, len(names), in_a_line):
        for look in ("clean", "hard"):
            row = []
            for name in names[start : start + in_a_line]:
                game = get_game(name)
                turns = 60 if game.name == "2048" else 8
                picture = pictures(game, position(game, "normal", turns), look)[0]
                row.append((game.name, picture))
            rows.append((look, row))
    return sheet(rows)


# ---- pages
def fields_table(settings: type[Settings]) -> str:
    """The fields of a setting class as a Markdown table: name, default, allowed values, meaning."""
    lines = ["| field | default | allowed | meaning |", "|---|---|---|---|"]
    for field in fields(settings):
        metadata = field.metadata
        if metadata.get("choices"):
            allowed = ", ".join(f"`{choice}`" for choice in metadata["choices"])
        elif metadata.get("low") is not None:
            allowed = f"{metadata['low']} to {metadata['high']}"
        else:
            allowed = type(field.default).__name__
        meaning = metadata.get("doc", "")
        lines.append(f"| `{field.name}` | `{field.default}` | {allowed} | {meaning} |")
    return "\n".join(lines)


def _changes(settings: Settings) -> str:
    """The fields that are not at their default: ``NAME = VALUE, ...``."""
    changes = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != field.default:
            changes.append(f"{field.name} = {value}")
    return ", ".join(changes)


def baseline_table(game: Game) -> str:
    """The stored baselines of a game as a Markdown table."""
    if not any(baselines.stored(game, level) for level in game.LEVELS):
        return "None are stored for this game."
    metrics = shown_in("baselines")
    lines = [
        f"| level | player | {' | '.join(metrics)} |",
        "|---|---" + "|---" * len(metrics) + "|",
    ]
    for level in game.LEVELS:
        for player, row in baselines.stored(game, level).items():
            cells = " | ".join(_cell(row.get(metric, {})) for metric in metrics)
            lines.append(f"| {level} | {player} | {cells} |")
    return "\n".join(lines)


def _cell(values: Mapping[str, Any]) -> str:
    """A stored baseline: shares with three decimals, points with one, a dash for none."""
    estimate = Estimate.from_dict(values)
    return estimate.text(decimals(3 if abs(estimate.mean) < 1.5 else 1))


def game_page(game: Game, picture: str) -> str:
    """The docs page of a game, in Markdown, from its class."""
    level = game.level("normal")
    example = position(game, "normal")
    best = max(best_action(game.oracle(example)[0]), 0)
    rows = []
    for name, settings in game.LEVELS.items():
        rows.append(f"| `{name}` | {_changes(settings) or 'the defaults'} |")
    sizes = []
    for look in LOOKS:
        height, width = frame_size(game, level, look)
        sizes.append(f"{look} {width}x{height}")
    module = type(game).__module__.removeprefix("vlmgym.").replace(".", "/")
    doc = _plain(type(game).__doc__)
    oracle_doc = _plain(type(game).oracle.__doc__)
    return f"""# {game.name}

{doc} Source: `src/vlmgym/{module}.py`, rules version {game.version}.

![{game.name}: levels and looks]({picture})

## Rules, as a player reads them (level `normal`)
> {game.rules(level)}

Answer: {game.answer_format(level)}. Example of a canonical answer: `{game.encode(level, best)}`.

## Spaces (level `normal`)
* {_board_in_words(game)}
* Actions: {game.n_actions(level)} discrete ids, or text.
* Pictures (width x height): {", ".join(sizes)}.
* Truth text of a position, which descriptions are scored against:

{_truth_text(game, example)}

## Levels
| level | fields that differ from their defaults |
|---|---|
{chr(10).join(rows)}

`{game.name}` takes single fields too: `game.level("normal", max_steps=50)`, or in commands \
`--level normal:max_steps=50`.

{fields_table(game.level_type)}

## Oracle
{oracle_doc}

## Baselines
Whole episodes on {baselines.SEEDS} frozen test seeds a row, mean with 95 % bootstrap interval; \
the columns are
[metrics](../evaluation.md#metrics). Command: `vlmgym baselines`.

{baseline_table(game)}

## Sources
{chr(10).join(f"* {source}" for source in game.sources)}
"""


def _board_in_words(game: Game) -> str:
    """The size of a board of level ``normal``, and its symbols."""
    scene = game.sample(game.level("normal"))
    rows, columns = scene.symbols.shape[1:]
    if not rows:
        return "The screen of the environment; no symbols."
    symbols = ", ".join(f"`{name}`" for name in scene.names[:24])
    if len(scene.names) > 24:
        symbols += f" … ({len(scene.names)} in all)"
    return f"Board: {rows} x {columns} cells; symbols: {symbols}."


def _truth_text(game: Game, state: State) -> str:
    """The true description of a position, as a block."""
    scene = game.scene(state)
    if not scene.symbols.shape[1]:
        return "This game shows a finished picture; it has no truth text."
    return f"```\n{scene.texts()[0]}\n```"


def _plain(doc: str | None) -> str:
    """A docstring as one Markdown paragraph."""
    paragraph = " ".join((doc or "").split())
    without_roles = re.sub(r":[a-z]+:`~?(?:vlmgym\.)?([^`]*)`", r"`\1`", paragraph)
    return without_roles.replace("``", "`")


def looks_page() -> str:
    """The docs page of the perception dial."""
    lines = ["| look | fields that differ from their defaults |", "|---|---|"]
    for name, look in LOOKS.items():
        lines.append(f"| `{name}` | {_changes(look)} |")
    return f"""# Looks: the perception dial

A look changes how a board is drawn and nothing of the puzzle: `get_look("clean", noise=0.1)`, or \
in commands
`--look clean:noise=0.1`.

![the dials](looks.jpg)

## Presets
{chr(10).join(lines)}

## Fields
{fields_table(Look)}
"""


def write_gallery(out: Path, games: Sequence[str] = ()) -> Path:
    """Draw all levels under all looks, and the dials; write a page for each game and an index.

    Args:
        out: folder. For each game ``NAME.jpg`` and ``NAME.md``; ``games.jpg``, ``looks.jpg``,
            ``looks.md``, ``index.html`` and ``README.md``.
        games: names; all by default.

    Returns:
        The path of ``index.html``.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = list(games or game_names())
    for name in names:
        game = get_game(name)
        game_sheet(game).save(out / f"{_title(game)}.jpg", quality=88)
    games_sheet(names).save(out / "games.jpg", quality=88)
    dial_sheet(get_game("2048"), get_game("ShisenSho")).save(out / "looks.jpg", quality=88)
    for file, text in pages(names).items():
        write_atomically(out / file, text)
    return out / "index.html"


def pages(names: Sequence[str]) -> dict[str, str]:
    """The texts of the gallery of these games by the names of their files."""
    texts = {}
    for game in map(get_game, names):
        texts[f"{_title(game)}.md"] = game_page(game, f"{_title(game)}.jpg")
    texts["looks.md"] = looks_page()
    titles = [file.removesuffix(".md") for file in texts]
    return texts | {"README.md": _readme(titles), "index.html": _index(titles)}


def _title(game: Game) -> str:
    """What the files of a game are called."""
    return game.name.replace("/", "-")


def _readme(titles: Sequence[str]) -> str:
    """The list of the pages, in Markdown."""
    links = [f"* [{title}]({title}.md)" for title in titles]
    return (
        "# Games\n\nWritten by `vlmgym gallery --out docs/games` from the classes; do not edit.\n\n"
        "![all games](games.jpg)\n\n" + "\n".join(links) + "\n"
    )


def _index(titles: Sequence[str]) -> str:
    """All sheets on one page, in HTML."""
    sections = ""
    for title in titles:
        name = html.escape(title)
        sections += (
            f'<section><h2>{name}</h2><a href="{title}.jpg"><img src="{title}.jpg" '
            f'alt="{name}"></a></section>'
        )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>vlmgym gallery</title><style>"
        "body{font:16px/1.5 system-ui,sans-serif;"
        "margin:2rem auto;max-width:1500px;padding:0 "
        "1rem;background:#f4f2ed;color:#222}img{max-width:100%;border:1px solid #ccc}"
        f"</style><h1>vlmgym gallery</h1><p>Rows: levels. Columns: looks.</p>{sections}</html>"
    )
