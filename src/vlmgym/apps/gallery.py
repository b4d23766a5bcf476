"""The games in pictures and pages: every level under every look, and what the class of a game says
of itself.
"""

from __future__ import annotations

import html
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
    """A position worth a look: after some random legal moves, a pure function of game and level."""
    state = game.reset(game.level(level), seeds_for("free", game.name, level, 1))
    for turn in range(turns):
        action = pick_legal(game.legal(state), state.seed, turn, GALLERY_STREAM)
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
    wide = max(len(row) for _, row in rows)
    page = Image.new("RGB", (SIDE + wide * CELL, len(rows) * (CELL + HEAD)), PAGE)
    draw = ImageDraw.Draw(page)
    for r, (title, row) in enumerate(rows):
        top = r * (CELL + HEAD)
        draw.line((0, top, page.width, top), fill=(214, 210, 200))
        if title:
            write(
                page,
                text_ink(title, "sans"),
                (SIDE / 2, top + HEAD + CELL / 2),
                (SIDE - 14, 15),
                DARK,
            )
        for c, (name, picture) in enumerate(row):
            scale = min(1.0, (CELL - 12) / max(picture.size))
            if scale < 1:
                size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
                picture = picture.resize(
                    size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.LANCZOS
                )
            left = SIDE + c * CELL
            write(
                page,
                text_ink(name, "sans"),
                (left + CELL / 2, top + HEAD / 2 + 3),
                (CELL - 16, 13),
                LABEL,
            )
            page.paste(
                picture,
                (left + (CELL - picture.width) // 2, top + HEAD + (CELL - picture.height) // 2),
            )
    return page


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
    for k, (name, values) in enumerate(DIALS.items()):
        game = numbers if name in ("palette", "font", "skin", "score") or k % 2 else shapes
        state = position(game, "normal", 60) if game is numbers else position(game, "easy", 1)
        base = Look(tile=56, margin=28, coordinates=name == "coordinates")
        row = [
            (f"{name} = {value}", pictures(game, state, base.override(**{name: value}))[0])
            for value in values
        ]
        rows.append((f"look.{name}", row))
    return sheet(rows)


def games_sheet(names: Sequence[str]) -> Image.Image:
    """All games side by side under three looks."""
    rows = []
    for look in ("clean", "photo", "hard"):
        row = []
        for name in names:
            game = get_game(name)
            turns = 60 if game.name == "2048" else 8
            row.append((game.name, pictures(game, position(game, "normal", turns), look)[0]))
        rows.append((look, row))
    return sheet(rows)


# ---- pages
def fields_table(settings: type[Settings]) -> str:
    """The fields of a setting class as a Markdown table: name, default, allowed values, meaning."""
    lines = ["| field | default | allowed | meaning |", "|---|---|---|---|"]
    for f in fields(settings):
        meta = f.metadata
        if meta.get("choices"):
            allowed = ", ".join(f"`{c}`" for c in meta["choices"])
        elif meta.get("low") is not None:
            allowed = f"{meta['low']} to {meta['high']}"
        else:
            allowed = type(f.default).__name__
        lines.append(f"| `{f.name}` | `{f.default}` | {allowed} | {meta.get('doc', '')} |")
    return "\n".join(lines)


def baseline_table(game: Game) -> str:
    """The stored baselines of a game as a Markdown table."""
    if not any(baselines.stored(game, level) for level in game.LEVELS):
        return "None are stored for this game."
    lines = ["| level | player | score | episode reward | good turns |", "|---|---|---|---|---|"]
    for level in game.LEVELS:
        for player, row in baselines.stored(game, level).items():
            cells = " | ".join(_cell(row[metric]) for metric in shown_in("baselines"))
            lines.append(f"| {level} | {player} | {cells} |")
    return "\n".join(lines)


def _cell(values: Mapping[str, Any]) -> str:
    """A stored baseline: shares with three decimals, points with one."""
    estimate = Estimate.from_dict(values)
    return estimate.text(decimals(3 if abs(estimate.mean) < 1.5 else 1))


def game_page(game: Game, picture: str) -> str:
    """The docs page of a game, in Markdown, from its class."""
    level = game.level("normal")
    scene = game.sample(level)
    rows, cols = scene.symbols.shape[1:]
    changes = []
    for name, one in game.LEVELS.items():
        differs = {
            f.name: getattr(one, f.name) for f in fields(one) if getattr(one, f.name) != f.default
        }
        changes.append(
            f"| `{name}` | "
            f"{', '.join(f'{k} = {v}' for k, v in differs.items()) or 'the defaults'} |"
        )
    names = ", ".join(f"`{n}`" for n in scene.names[:24]) + (
        f" … ({len(scene.names)} in all)" if len(scene.names) > 24 else ""
    )
    sizes = ", ".join(
        f"{look} {'x'.join(map(str, frame_size(game, level, look)[::-1]))}" for look in LOOKS
    )
    module = type(game).__module__.removeprefix("vlmgym.").replace(".", "/")
    example = position(game, "normal")
    values = game.oracle(example)[0]
    best = max(best_action(values), 0)
    text = (
        f"```\n{game.scene(example).texts()[0]}\n```"
        if rows
        else ("This game shows a finished picture; it has no truth text.")
    )
    board = (
        f"Board: {rows} x {cols} cells; symbols: {names}."
        if rows
        else ("The screen of the environment; no symbols.")
    )
    doc = _plain(type(game).__doc__)
    oracle_doc = _plain(type(game).oracle.__doc__)
    return f"""# {game.name}

{doc} Source: `src/vlmgym/{module}.py`, rules version {game.version}.

![{game.name}: levels and looks]({picture})

## Rules, as a player reads them (level `normal`)
> {game.rules(level)}

Answer: {game.answer_format(level)}. Example of a canonical answer: `{game.encode(level, best)}`.

## Spaces (level `normal`)
* {board}
* Actions: {game.n_actions(level)} discrete ids, or text.
* Pictures (width x height): {sizes}.
* Truth text of a position, which descriptions are scored against:

{text}

## Levels
| level | fields that differ from their defaults |
|---|---|
{chr(10).join(changes)}

`{game.name}` takes single fields too: `game.level("normal", max_steps=50)`, or in commands \
`--level normal:max_steps=50`.

{fields_table(game.level_type)}

## Oracle
{oracle_doc}

## Baselines
Whole episodes on {baselines.SEEDS} frozen test seeds a row, mean with 95 % bootstrap interval. \
Score: the raw score;
episode reward: +1 for each good turn, -1 for each other; good turns: their share. Command: \
`vlmgym baselines`.

{baseline_table(game)}

## Sources
{chr(10).join(f"* {source}" for source in game.sources)}
"""


def _plain(doc: str | None) -> str:
    """A docstring as one Markdown paragraph."""
    return re.sub(
        r":[a-z]+:`~?(?:vlmgym\.)?([^`]*)`", r"`\1`", " ".join((doc or "").split())
    ).replace("``", "`")


def looks_page() -> str:
    """The docs page of the perception dial."""
    lines = ["| look | fields that differ from their defaults |", "|---|---|"]
    for name, look in LOOKS.items():
        differs = {
            f.name: getattr(look, f.name)
            for f in fields(look)
            if getattr(look, f.name) != f.default
        }
        lines.append(f"| `{name}` | {', '.join(f'{k} = {v}' for k, v in differs.items())} |")
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
        file = game.name.replace("/", "-")
        game_sheet(game).save(out / f"{file}.jpg", quality=88)
        write_atomically(out / f"{file}.md", game_page(game, f"{file}.jpg"))
    games_sheet(names).save(out / "games.jpg", quality=88)
    dial_sheet(get_game("2048"), get_game("ShisenSho")).save(out / "looks.jpg", quality=88)
    write_atomically(out / "looks.md", looks_page())
    titles = [*(get_game(n).name.replace("/", "-") for n in names), "looks"]
    lines = [f"* [{t}]({t}.md)" for t in titles]
    head = (
        "# Games\n\nWritten by `vlmgym gallery --out docs/games` from the classes; do not edit.\n\n"
    )
    contents = head + "![all games](games.jpg)\n\n" + "\n".join(lines) + "\n"
    write_atomically(out / "README.md", contents)
    figures = "".join(
        (
            f'<section><h2>{html.escape(t)}</h2><a href="{t}.jpg"><img src="{t}.jpg" '
            f'alt="{html.escape(t)}"></a></section>'
        )
        for t in titles
    )
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8><title>vlmgym gallery</title><style>"
        "body{font:16px/1.5 system-ui,sans-serif;"
        "margin:2rem auto;max-width:1500px;padding:0 "
        "1rem;background:#f4f2ed;color:#222}img{max-width:100%;border:1px solid #ccc}"
        f"</style><h1>vlmgym gallery</h1><p>Rows: levels. Columns: looks.</p>{figures}</html>"
    )
    write_atomically(out / "index.html", page)
    return out / "index.html"
