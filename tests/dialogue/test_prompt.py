"""Prompts state size, answer and blocks, under names that can be chosen."""

import pytest

from parts.replies import CANONICAL
from vlmgym.core import ConfigError, seeds_for
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.prompt import prefills, prompt_text
from vlmgym.dialogue.reply import (
    BLOCKS,
    Blocks,
    Problem,
    parse,
    taken_apart,
    write_reply,
)
from vlmgym.games import GAMES, get_game


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
