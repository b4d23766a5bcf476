"""The described board: read back exactly, cell by cell, however it is dressed, or not stated."""

import numpy as np
import pytest
from hypothesis import example, given

from parts.replies import TEXTS, scene_of
from vlmgym.core import ConfigError
from vlmgym.dialogue.perception import UNKNOWN, read_perception, truth
from vlmgym.dialogue.reply import (
    MODES,
    parse,
    write_reply,
)
from vlmgym.games import GAMES, get_game


@pytest.mark.parametrize("name", GAMES)
def test_truth_reads_back_exactly(name):
    game, state, scene = scene_of(name)
    text = truth(game, state)[0]
    seen = read_perception(text, scene)
    assert seen.exact(scene.symbols[0])
    assert seen.layout == "rows"


def test_perception_is_scored_by_cell_and_only_in_its_block():
    game, state, scene = scene_of()
    text = truth(game, state)[0]
    blanks = "\n".join(" | ".join(line.split("|")).upper() + "  " for line in text.split("\n"))
    assert read_perception(blanks, scene).exact(scene.symbols[0]), "blanks and case do not matter"
    table = "\n".join(f"|{line}|" for line in text.split("\n"))
    assert read_perception(table, scene).exact(scene.symbols[0]), "nor do the outer bars of a table"
    copied = parse(game, state.level, write_reply("nothing to see", text, "(0, 0) (0, 1)"))
    assert read_perception(copied.perception, scene).accuracy(scene.symbols[0]) == 0, (
        "a copy in <think> does not count"
    )
    lines = text.split("\n")
    lines[1] = "red star|" + lines[1].split("|", 1)[1]
    wrong = read_perception("\n".join(lines), scene)
    assert wrong.accuracy(scene.symbols[0]) == 15 / 16
    assert wrong.complete
    assert not wrong.exact(scene.symbols[0])
    short = read_perception("\n".join(lines[:3]), scene)
    assert (short.symbols[3] == UNKNOWN).all()
    assert not short.complete
    assert not read_perception(text + "\n" + lines[0], scene).exact(scene.symbols[0]), (
        "an extra row is a false claim"
    )


def test_coordinates_in_any_order():
    _, _, scene = scene_of()
    cells = [(r, c, scene.names[scene.symbols[0, r, c]]) for r in range(4) for c in range(4)]
    np.random.default_rng(0).shuffle(cells)
    text = ", ".join(f"({r}, {c}): {name}" for r, c, name in cells)
    seen = read_perception(text, scene)
    assert seen.exact(scene.symbols[0])
    assert seen.layout == "coordinates"
    doubled = read_perception(text + ", (0, 0): magenta star, (9, 9): red star", scene)
    assert doubled.symbols[0, 0] == UNKNOWN
    assert not doubled.complete
    numbers = get_game("2048")
    grid = numbers.scene(
        numbers.from_symbols(numbers.level("easy"), np.full((1, 3, 3), 2, np.int16))
    )
    assert read_perception(
        " ".join(f"({r},{c}) 4" for r in range(3) for c in range(3)), grid
    ).exact(grid.symbols[0])


def test_no_description_states_nothing():
    _, _, scene = scene_of()
    assert read_perception(None, scene).layout == "none"


@example("<perception></perception>")
@given(TEXTS)
def test_perception_of_any_text(text):
    _, _, scene = scene_of("2048")
    seen = read_perception(text, scene)
    assert seen.symbols.min() >= UNKNOWN
    assert seen.symbols.max() < len(scene.names)


def _numbered(lines, first, mark):
    return [mark.format(number + first) + line for number, line in enumerate(lines)]


def _table(lines, first=0, corner="", names=False):
    heads = [str(c + first) for c in range(lines[0].count("|") + 1)]
    rows = [f"| {' | '.join(line.split('|'))} |" for line in lines]
    if names:
        heads, rows = [corner, *heads], [f"| {r + first} {row}" for r, row in enumerate(rows)]
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows])


DRESSED = {
    "fence": lambda lines: "\n".join(["```", *lines, "```"]),
    "fence with a word": lambda lines: "\n".join(["```text", *lines, "```"]),
    "fence of tildes": lambda lines: "\n".join(["~~~", *lines, "~~~"]),
    "indented fence": lambda lines: "\n".join(["    ```markdown", *(f"    {line}" for line in lines), "    ```"]),
    "fence that is not closed": lambda lines: "\n".join(["```", *lines]),
    "blank lines around": lambda lines: "\n\n \n" + "\n".join(lines) + "\n\n",
    "blank lines between": lambda lines: "\n\n".join(lines),
    "heading": lambda lines: "\n".join(["Board:", *lines]),
    "heading and fence": lambda lines: "\n".join(["## The board", "", "```", *lines, "```"]),
    "heading with bars": lambda lines: "\n".join(["Board (cells joined by |):", *lines]),
    "tabs": lambda lines: "\n".join("\t" + line.replace("|", "\t|\t") + "\t" for line in lines),
    "carriage returns": lambda lines: "\r\n".join(lines) + "\r\n",
    "carriage returns alone": lambda lines: "\r".join(lines),
    "full-width bars": lambda lines: "\n".join(lines).replace("|", "\uff5c"),
    "drawn bars": lambda lines: "\n".join(["┌───┐", *(f"│{line.replace('|', '│')}│" for line in lines), "└───┘"]),
    "bullets": lambda lines: "\n".join(f"- {line}" for line in lines),
    "stars": lambda lines: "\n".join(f"* | {line} |" for line in lines),
    "a numbered list": lambda lines: "\n".join(_numbered(lines, 1, "{}. ")),
    "rows with labels": lambda lines: "\n".join(_numbered(lines, 0, "Row {}: ")),
    "rows with labels above": lambda lines: "\n".join(f"Row {r}:\n{line}" for r, line in enumerate(lines)),
    "outer bars": lambda lines: "\n".join(f"|{line}|" for line in lines),
    "bars at the end": lambda lines: "\n".join(f"{line}|" for line in lines),
    "bars at the beginning": lambda lines: "\n".join(f"|{line}" for line in lines),
    "a table": _table,
    "a table that counts from 1": lambda lines: _table(lines, 1),
    "a table with names of rows": lambda lines: _table(lines, names=True),
    "a table with a corner": lambda lines: _table(lines, 1, "row", names=True),
    "rules between the rows": lambda lines: "\n+---+---+\n".join(lines),
    "a quotation": lambda lines: "\n".join(f"> {line}" for line in lines),
    "a quoted fence": lambda lines: "\n".join(f"> {line}" for line in ["```", *lines, "```"]),
    "fence with a class": lambda lines: "\n".join(["```{.text}", *lines, "```"]),
    "fence with a title": lambda lines: "\n".join(["``` text title=board1", *lines, "```"]),
    "fence on the lines of the rows": lambda lines: "```" + "\n".join(lines) + "```",
    "fence behind a heading": lambda lines: "\n".join(["Board: ```", *lines, "```"]),
    "characters that are not drawn": lambda lines: "\ufeff" + "\n".join(f"\u200b{line}" for line in lines),
    "a table with aligned columns": lambda lines: _table(lines).replace("|---", "|:-:"),
    "a table with a rule of single dashes": lambda lines: _table(lines).replace("|---", "|-"),
    "a table with letters as heads": lambda lines: "\n".join(
        ["|".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: lines[0].count("|") + 1]), "|---|---|", *lines]
    ),
    "capitals": lambda lines: "\n".join(lines).upper(),
}  # fmt: skip


@pytest.mark.parametrize("dress", DRESSED)
def test_a_dressed_board_is_read_as_the_board(described, dress):
    scene, lines = described
    seen = read_perception(DRESSED[dress](lines), scene)
    assert seen.exact(scene.symbols[0]), DRESSED[dress](lines)


UNCLEAR = {
    "words before": lambda lines: "\n".join(["I see this", *lines]),
    "words after": lambda lines: "\n".join([*lines, "as far as I can see"]),
    "a row in words instead of the first": lambda lines: "\n".join(["the first row is unclear", *lines[1:]]),
    "a row in words instead of the second": lambda lines: "\n".join([lines[0], "unclear", *lines[2:]]),
    "a word before and a row missing": lambda lines: "\n".join(["what I see", *lines[:-1]]),
    "a rule instead of a row": lambda lines: "\n".join([lines[0], "---|---|---", *lines[2:]]),
    "a table that is cut": lambda lines: "\n".join(_table(lines).split("\n")[:-1]),
    "heads of letters": lambda lines: "\n".join(["|".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: lines[0].count("|") + 1]), *lines]),
    "a row twice": lambda lines: "\n".join([lines[0], *lines]),
    "labels in another order": lambda lines: "\n".join(reversed(_numbered(lines, 0, "Row {}: "))),
    "a label missing": lambda lines: "\n".join([lines[0], *_numbered(lines[1:], 1, "Row {}: ")]),
    "a label that jumps": lambda lines: "\n".join([*_numbered(lines[:1], 0, "Row {}: "), *_numbered(lines[1:], 2, "Row {}: ")]),
    "cells missing at the beginning": lambda lines: "\n".join(line.partition("|")[2] for line in lines),
    "one line": lambda lines: " / ".join(lines),
    "two boards": lambda lines: "\n".join([*lines, "or:", *lines]),
    "tabs instead of bars": lambda lines: "\n".join(lines).replace("|", "\t"),
    "tiles before their cells": lambda lines: ", ".join(
        f"{tile} ({r}, {c})" for r, line in enumerate(lines) for c, tile in enumerate(line.split("|"))
    ),
    "tiles before their cells, without commas": lambda lines: " ".join(
        f"{tile} ({r}, {c})" for r, line in enumerate(lines) for c, tile in enumerate(line.split("|"))
    ),
    "cells that count from 1": lambda lines: " ".join(
        f"({r}, {c}) {tile}" for r, line in enumerate(lines, 1) for c, tile in enumerate(line.split("|"), 1)
    ),
}  # fmt: skip


def test_numbers_above_the_rows_are_no_row_when_a_row_is_missing(described):
    scene, lines = described
    heads = "|".join(str(number + 1) for number in range(lines[0].count("|") + 1))
    if all(name in scene.names for name in heads.split("|")):
        pytest.skip("tiles that are numbers: it may be a row")
    assert (read_perception("\n".join([heads, *lines[:-1]]), scene).symbols == UNKNOWN).all()


@pytest.mark.parametrize("unclear", UNCLEAR)
def test_an_unclear_board_is_right_or_not_stated_and_never_shifted(described, unclear):
    scene, lines = described
    seen, board = read_perception(UNCLEAR[unclear](lines), scene), scene.symbols[0]
    assert not seen.exact(board)
    assert ((seen.symbols == board) | (seen.symbols == UNKNOWN)).all(), (
        UNCLEAR[unclear](lines),
        seen.symbols,
    )
    if unclear.startswith("words"):
        assert (seen.symbols == board).all(), "the rows are clear; there is something besides"


@pytest.mark.parametrize(
    "hedge",
    [
        "{} or {other}",
        "{}?",
        "{} (or {other})",
        "{}/{other}",
        "{}, {other}",
        "{} maybe",
        "not {}",
        "{}!",
        "{} {}",
        "about {}",
        "?",
        "~{}",
    ],
)
@pytest.mark.parametrize("layout", ["rows", "coordinates"])
@pytest.mark.parametrize("mode", MODES)
def test_a_hedged_tile_is_not_stated(described, hedge, layout, mode):
    scene, lines = described
    board = scene.symbols[0]
    cells = [line.split("|") for line in lines]
    other = next(name for name in scene.names if name != cells[0][1])
    cells[0][1] = hedge.format(cells[0][1], cells[0][1], other=other)
    rows = "\n".join("|".join(line) for line in cells)
    if layout == "coordinates":
        rows = " ".join(
            f"({r}, {c}) {tile}" for r, line in enumerate(cells) for c, tile in enumerate(line)
        )
    seen = read_perception(rows, scene, mode)
    assert seen.symbols[0, 1] == UNKNOWN, rows
    assert not seen.exact(board)
    assert (np.delete(seen.symbols.ravel(), 1) == np.delete(board.ravel(), 1)).all(), (
        "the other cells are as clear as before"
    )


@pytest.mark.parametrize(
    "form",
    [
        "({r}, {c}) {tile}",
        "({r}, {c}): {tile},",
        "({r},{c}) = {tile};",
        "- ({r}, {c}) is {tile}.\n",
    ],
)
def test_cells_by_coordinates_are_read_in_all_games(described, form):
    scene, lines = described
    cells = [(r, c, tile) for r, line in enumerate(lines) for c, tile in enumerate(line.split("|"))]
    text = " ".join(form.format(r=r, c=c, tile=tile) for r, c, tile in cells)
    for one in (
        text,
        f"```\n{text}\n```",
        f"Board:\n{text}",
        text.removesuffix(",").removesuffix(";"),
    ):
        assert read_perception(one, scene).exact(scene.symbols[0]), one
    assert not read_perception(text + " and more", scene).exact(scene.symbols[0])


def test_marks_around_tiles_count_in_strict_only(described):
    scene, lines = described
    text = "\n".join("|".join(f"**`{tile}`**" for tile in line.split("|")) for line in lines)
    assert (read_perception(text, scene).symbols == UNKNOWN).all()
    assert read_perception(text, scene, "lenient").exact(scene.symbols[0])
    with pytest.raises(ConfigError, match="parse mode"):
        read_perception(text, scene, "loose")
