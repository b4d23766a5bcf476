"""Replies: any text at all is read in linear time, without an exception, and never yields an
action it does not state.
"""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parts.replies import CANONICAL, TEXTS, scene_of
from vlmgym.core import seeds_for
from vlmgym.dialogue.perception import read_perception
from vlmgym.dialogue.reply import (
    MODES,
    Problem,
    Reply,
    parse,
    patterns,
    write_reply,
)
from vlmgym.games import GAMES, get_game


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
def test_long_texts_parse_in_linear_time(unit):
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

    small, large = seconds(40_000), seconds(400_000)
    assert large < 40 * small + 0.2


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
def test_the_format_needs_order_nesting_uniqueness_and_content(text):
    game = get_game("2048")
    assert not parse(game, game.level("easy"), text).well_formed
    assert parse(
        game, game.level("easy"), "\n" + CANONICAL.replace("><", "> \n<") + "\n"
    ).well_formed


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
