"""Texts of replies, and boards that they describe."""

from hypothesis import strategies as st

from vlmgym.core import seeds_for
from vlmgym.dialogue.reply import (
    write_reply,
)
from vlmgym.games import get_game

PARTS = [
    "<perception>", "</perception>", "<think>", "</think>", "<answer>", "</answer>", "<ANSWER>", "</Answer>", "<answer", "0",
    "3", "4", "12", "(0, 1)", "(0, 0) (0, 1)", "(5,5)", "((", "|", "\n", " ", "0|2|4", "red circle", "\u202e", "\x00", "é", "９",
    "9" * 40, "`2`", "**1**", "\\boxed{2}", "<", ">", "/",
]  # fmt: skip
TEXTS = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PARTS), max_size=40).map("".join))

CANONICAL = write_reply("0|2\n4|0", "0 up no; so 1", "1")


def scene_of(name="ShisenSho"):
    game = get_game(name)
    state = game.reset(game.level("easy"), seeds_for("free", name, "easy", 1))
    return game, state, game.scene(state)
