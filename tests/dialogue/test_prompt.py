"""Replies: any text at all is read in linear time, without an exception, and never yields an action
it does not state.
"""

import re
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vlmgym.core import ConfigError, seeds_for
from vlmgym.dialogue.perception import UNKNOWN, read_perception, truth
from vlmgym.dialogue.prompt import prefills, prompt_text
from vlmgym.dialogue.reply import (
    BLOCKS,
    MODES,
    Blocks,
    Problem,
    Reply,
    parse,
    patterns,
    taken_apart,
    write_reply,
)
from vlmgym.games import GAMES, get_game

PARTS = [
    "<perception>", "</perception>", "<think>", "</think>", "<answer>", "</answer>", "<ANSWER>", "</Answer>", "<answer", "0",
    "3", "4", "12", "(0, 1)", "(0, 0) (0, 1)", "(5,5)", "((", "|", "\n", " ", "0|2|4", "red circle", "\u202e", "\x00", "é", "９",
    "9" * 40, "`2`", "**1**", "\\boxed{2}", "<", ">", "/",
]  # fmt: skip
TEXTS = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PARTS), max_size=40).map("".join))


@pytest.mark.parametrize("name", GAMES)
@given(text=TEXTS, mode=st.sampled_from(MODES))
def test_any_text_parses_and_yields_no_action_that_it_does_not_state(name, text, mode):
    game = get_game(name)
    level = game.level("easy")
    reply = parse(game, level, text, mode)
    assert (reply.action >= 0) == (reply.problem is Problem.NONE)
    if reply.action >= 0:
        stated = game.encode(level, reply.action)
        numbers = re.findall(r"[0-9]+", stated)
        blocks = re.findall(r"<answer>(.*?)(?:</answer>|\Z)", text, re.DOTALL | re.IGNORECASE)
        found = [re.findall(r"[0-9]+", b) for b in blocks]
        assert any(sorted(map(int, f)) == sorted(map(int, numbers)) for f in found)
    if reply.well_formed:
        assert text.strip().startswith("<perception>" if mode == "strict" else "<")
        assert reply.perception
        assert reply.think
    scene = game.scene(game.reset(level, seeds_for("free", name, "easy", 1)))
    seen = read_perception(reply.perception, scene)
    assert seen.symbols.shape == scene.symbols.shape[1:]
    assert 0 <= seen.accuracy(scene.symbols[0]) <= 1


@pytest.mark.parametrize(
    "unit",
    ["<answer>", "</answer>", "<answer>0</answer>", "<perception><think>", "(0, 1) ", "((((", "0|", "|\n", "9", " ", "(1,",
     "1. a bs\n", "<answer>(", "red circle ", "(0, 0): red circle, ", "\u202e", "- "],
)  # fmt: skip
def test_megabytes_parse_in_linear_time(unit):
    """Ten times the text takes about ten times as long; a quadratic reader would take a hundred
    times.
    """
    game = get_game("ShisenSho")
    level = game.level("easy")
    scene = game.scene(game.reset(level, seeds_for("free", "x", "easy", 1)))

    def seconds(size):
        body = unit * (size // len(unit))
        text = write_reply(body, body, body)
        best = 9e9
        for _ in range(2):
            begin = time.perf_counter()
            for mode in MODES:
                parse(game, level, text, mode)
            read_perception(body, scene)
            best = min(best, time.perf_counter() - begin)
        return best

    small, large = seconds(200_000), seconds(2_000_000)
    assert large < 40 * small + 0.2


CANONICAL = write_reply("0|2\n4|0", "0 up no; so 1", "1")


def test_a_canonical_reply():
    game = get_game("2048")
    reply = parse(game, game.level("easy"), CANONICAL)
    assert (reply.action, reply.problem, reply.well_formed) == (1, Problem.NONE, True)
    assert (reply.perception, reply.think, reply.answer) == ("0|2\n4|0", "0 up no; so 1", "1")


@pytest.mark.parametrize(
    ("text", "strict", "lenient"),
    [
        ("I would go up", Problem.MISSING_ANSWER, Problem.MISSING_ANSWER),
        ("<answer>1", Problem.UNCLOSED_ANSWER, 1),
        ("<answer>1</answer><answer>2</answer>", Problem.TWO_ANSWERS, 2),
        ("<answer>1</answer><answer>1</answer>", Problem.TWO_ANSWERS, 1),
        ("<answer> </answer>", Problem.EMPTY_ANSWER, Problem.EMPTY_ANSWER),
        ("<answer>**2**.</answer>", Problem.NOT_A_MOVE, 2),
        ("<ANSWER>2</ANSWER>", Problem.MISSING_ANSWER, 2),
        ("<answer>2 or 3</answer>", Problem.NOT_A_MOVE, Problem.NOT_A_MOVE),
        ("<answer>7</answer>", Problem.OUT_OF_RANGE, Problem.OUT_OF_RANGE),
        ("<answer><think>1</think></answer>", Problem.UNCLOSED_ANSWER, Problem.UNCLOSED_ANSWER),
        ("</answer>2<answer>", Problem.UNCLOSED_ANSWER, Problem.EMPTY_ANSWER),
    ],
)
def test_reasons(text, strict, lenient):
    game = get_game("2048")
    for mode, expected in (("strict", strict), ("lenient", lenient)):
        reply = parse(game, game.level("easy"), text, mode)
        assert (reply.action if isinstance(expected, int) else reply.problem) == expected, mode


@pytest.mark.parametrize(
    "text",
    [
        CANONICAL.replace("<think>", "<think><think>"),
        CANONICAL + "<answer>1</answer>",
        CANONICAL + " done",
        "Sure: " + CANONICAL,
        write_reply(" ", "x", "1"),
        write_reply("a", "", "1"),
        write_reply("a", "b", ""),
        "<think>x</think><perception>0</perception><answer>1</answer>",
        "<perception><think><answer></perception></think></answer>",
        CANONICAL.replace("</think><answer>", "</think> so <answer>"),
    ],
)
def test_defect_8_format_needs_order_nesting_uniqueness_and_content(text):
    game = get_game("2048")
    assert not parse(game, game.level("easy"), text).well_formed
    assert parse(
        game, game.level("easy"), "\n" + CANONICAL.replace("><", "> \n<") + "\n"
    ).well_formed


def scene_of(name="ShisenSho"):
    game = get_game(name)
    state = game.reset(game.level("easy"), seeds_for("free", name, "easy", 1))
    return game, state, game.scene(state)


@pytest.mark.parametrize("name", GAMES)
def test_truth_reads_back_exactly(name):
    game, state, scene = scene_of(name)
    text = truth(game, state)[0]
    seen = read_perception(text, scene)
    assert seen.exact(scene.symbols[0])
    assert seen.layout == "rows"


def test_defect_7_perception_is_scored_by_cell_and_only_in_its_block():
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


@pytest.mark.parametrize(
    ("perception", "think", "found"),
    [
        ("(0, 0): red circle, (0, 1): blue star", "", (False, False)),
        ("red circle|blue star", "(0, 0): red circle, (0, 1): blue star", (True, False)),
        ("red circle|blue star", "Red Circle (1, 0) and (2, 2)", (True, False)),
        ("red circle|blue star", "(1, 0) is a red circle", (True, False)),
        ("red circle|blue star", "I take (1, 0) (2, 0)", (False, False)),
        ("(0, 0): empty", "a purple cow (1, 1)", (False, False)),
        ("red circle|blue star", "1. red circle\n2. blue star", (False, True)),
        ("red circle|blue star", "2 x red circle, 1 x blue star", (False, True)),
        ("red circle|blue star", "there are 3 red circles", (False, True)),
        (None, None, (False, False)),
    ],
)
def test_patterns(perception, think, found):
    _, _, scene = scene_of()
    reply = Reply("", perception, think, None, False, -1, Problem.NONE)
    assert patterns(reply, scene.names) == found


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


@pytest.mark.parametrize("name", GAMES)
def test_prompts_state_size_answer_and_blocks(name):
    game = get_game(name)
    level = game.level("easy")
    text = prompt_text(game, level)
    for needed in ("<perception>", "<think>", "<answer>", str(level.rows), "row"):
        assert needed in text
    assert len(prompt_text(game, level, "brief")) < 30
    with pytest.raises(ConfigError, match="prompt style"):
        prompt_text(game, level, "long")
    with pytest.raises(ConfigError, match="parse mode"):
        parse(game, level, "", "loose")


# ---- what stands around a board
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


@pytest.fixture(scope="module", params=GAMES)
def described(request):
    """A board in the middle of a game, with symbols of several kinds: its scene and the lines of
    its truth.
    """
    game = get_game(request.param)
    state = game.reset(game.level("easy"), seeds_for("free", "described", "easy", 1))
    for _ in range(3):
        state, _ = game.step(state, game.draw_legal(state))
    return game.scene(state), truth(game, state)[0].split("\n")


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


# ---- names of blocks
OTHERS = Blocks("description", "reasoning", "final-answer")


def test_the_names_of_the_blocks_can_be_chosen(described):
    game = get_game("2048")
    level = game.level("easy")
    state = game.reset(level, seeds_for("free", "x", "easy", 1))
    text = prompt_text(game, level, blocks=OTHERS)
    assert [f"<{name}>" in text and f"</{name}>" in text for name in OTHERS.names] == [True] * 3
    assert not any(f"<{name}>" in text for name in BLOCKS.names)
    reply = write_reply("0|2", "so", "1", OTHERS)
    assert (
        reply
        == "<description>0|2</description><reasoning>so</reasoning><final-answer>1</final-answer>"
    )
    read = parse(game, level, reply, blocks=OTHERS)
    assert (read.perception, read.think, read.answer, read.action, read.well_formed) == (
        "0|2",
        "so",
        "1",
        1,
        True,
    )
    assert parse(game, level, reply.upper(), "lenient", OTHERS).action == 1
    assert parse(game, level, reply).problem is Problem.MISSING_ANSWER, (
        "these are not the usual names"
    )
    assert parse(game, level, CANONICAL, blocks=OTHERS).problem is Problem.MISSING_ANSWER
    thinks = write_reply("0|2", "<think>2</think>", "1", OTHERS)
    assert parse(game, level, thinks, blocks=OTHERS).well_formed, "what is no block is text"
    assert (
        prefills(game, state, blocks=OTHERS)[0]
        == f"<description>{truth(game, state)[0]}</description>"
    )


def test_names_of_blocks_are_read_from_a_mapping_or_a_text():
    assert Blocks.of("") == Blocks.of({}) == BLOCKS
    assert str(BLOCKS) == ""
    assert (
        Blocks.of("think=reasoning")
        == Blocks.of({"think": "reasoning"})
        == Blocks(think="reasoning")
    )
    assert Blocks.of(str(OTHERS)) == OTHERS == Blocks.of(OTHERS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"think": ""}, {"think": "answer"}, {"think": "ANSWER"}, {"think": "a b"}, {"think": "<b>"}, {"think": "script"},
        {"think": "Style"}, {"think": "-"}, {"think": "a" * 33}, {"think": "é"}, {"think": 5}, {"thinks": "x"}, "think",
        "think:x", "think=a,think=b", "a=b", 5, None, ["think"],
    ],
)  # fmt: skip
def test_names_that_cannot_be_those_of_blocks_are_refused(wrong):
    with pytest.raises(ConfigError):
        Blocks.of(wrong)


def test_a_reply_that_a_server_took_apart_is_known():
    assert taken_apart("\n<answer>1</answer>", "I see ...")
    assert taken_apart("<Answer>1</Answer>", "I see ...")
    assert not taken_apart("<answer>1</answer>", " \n"), "the model itself may have left it out"
    assert not taken_apart(CANONICAL, "I see ...")
    assert not taken_apart("<answer>1</answer>", "I see ...", OTHERS)
    assert taken_apart("<final-answer>1</final-answer>", "I see ...", OTHERS)
