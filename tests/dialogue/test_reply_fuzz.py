"""Whatever a reply holds: it is read without an exception, in bounded time, and no action and no
symbol is out of range.
"""

import pytest

from parts.hostile_replies import UNITS, boards, fuzz_replies, judged, read
from vlmgym.dialogue.reply import write_reply


def test_mutated_replies_are_read_and_judged_without_an_exception():
    found = fuzz_replies(1200, 1)
    assert found["texts"] >= 1000
    assert found["actions"] > 250, "the mutants are no mere noise"
    assert found["stated"] > 2500
    assert {"fault none", "fault format", "fault perception", "fault reasoning"} <= set(found)


def test_the_same_seed_gives_the_same_replies():
    assert fuzz_replies(48, 3) == fuzz_replies(48, 3)


@pytest.mark.parametrize("unit", UNITS)
def test_hostile_pieces_are_read(unit):
    for name in ("2048", "Sokoban"):
        game, state, scene = boards(name, "easy", 1)
        body = unit * 300
        for text in (
            body,
            write_reply(body, body, body),
            f"<answer>{body}",
            f"{body}</answer>",
            write_reply("0|2" + body, body, "1"),
        ):
            read(game, state, scene, text)
        judged(game, state, [write_reply(body, body, "1"), body])
