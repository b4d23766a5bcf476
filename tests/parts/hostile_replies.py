"""Replies that are hostile, damaged or real, read in every way."""

import random
import resource
from collections import Counter

import numpy as np

from parts import mutate
from vlmgym.core import NO_ACTION, seeds_for
from vlmgym.dialogue.judge import Fault, judge
from vlmgym.dialogue.perception import UNKNOWN, read_perception, truth
from vlmgym.dialogue.reply import BLOCKS, MODES, Blocks, parse, patterns, taken_apart, write_reply
from vlmgym.dialogue.weights import TERMS
from vlmgym.episodes.random_walk import walk
from vlmgym.games import GAMES, get_game
from vlmgym.players.teacher import Teacher

LEVELS = ("easy", "normal", "hard")
NAMES = (BLOCKS, Blocks("seen", "reasoning", "move"))
UNITS = (
    "<answer>", "</answer>", "<answer>0</answer>", "<perception><think>", "<", "</", "(0, 1) ", "(0, 0) ", "((((",
    "(1,", "(9999,9999)", "0|", "|", "|\n", "|---|\n", "---\n", "```\n", "`", "~~~ a\n", "- ", "* |\n", "1. a bs\n",
    "Row 1: ", "row 1 ", "9", " ", "\t", "\r", "\u2502", "red circle ", "(0, 0): red circle, ", "3 x a ", ": ",
    "and ", "\u202e", "\ud83d", "\x00", "or\n", "#", "**",
)  # fmt: skip
"""Pieces of which hostile texts are made, repeated."""


def boards(name, level, count=3):
    game = get_game(name)
    seeds = seeds_for("free", name, f"fuzz-{level}", count)
    state = walk(game, game.level(level), seeds, np.arange(count) % 4, legal=True)
    return game, state, game.scene(state)


def read(game, state, scene, text):
    """Read a text in every way, and check what comes out; returns what was found."""
    level, found = state.level, Counter[str]()
    for mode in MODES:
        for blocks in NAMES:
            reply = parse(game, level, text, mode, blocks)
            assert reply.action == NO_ACTION or 0 <= reply.action < game.n_actions(level)
            assert (reply.action == NO_ACTION) == (reply.problem != "none")
            assert all(type(one) is bool for one in patterns(reply, scene.names))
            found["actions"] += reply.action != NO_ACTION
            found["well formed"] += reply.well_formed
        for said in (text, parse(game, level, text, mode).perception):
            seen = read_perception(said, scene, mode)
            assert seen.symbols.shape == scene.symbols.shape[1:]
            assert seen.symbols.min(initial=0) >= UNKNOWN
            assert seen.symbols.max(initial=0) < len(scene.names)
            assert not seen.complete or (seen.symbols != UNKNOWN).all()
            found["stated"] += int((seen.symbols != UNKNOWN).sum())
    taken_apart(text, text)
    found["texts"] += 1
    return found


def judged(game, state, texts):
    """Judge texts on the boards that they describe; terms and faults must be in range."""
    luck = np.arange(len(texts)) % len(state)
    after, found = judge(game, state[luck], texts, "lenient", oracle=False)
    assert len(after) == len(texts)
    low = {"game": -1, "balanced": -1, "regret": -1}
    for one in found:
        assert tuple(one.terms) == TERMS
        assert all(low.get(term, 0) <= value <= 1 for term, value in one.terms.items())
        assert one.fault in Fault
    return Counter(f"fault {one.fault}" for one in found)


def real_replies(game, state):
    """Replies as models write them: the teacher's in both layouts, boards that are wrong, and
    boards in Markdown.
    """
    told = [*truth(game, state), *truth(game, state, "brief")]
    other = truth(game, state[::-1])
    return [
        *Teacher(0.3).reply(game, state),
        *(
            write_reply(text, "so", game.encode(state.level, k % game.n_actions(state.level)))
            for k, text in enumerate([*told, *other])
        ),
        write_reply(f"```text\n{told[0]}\n```", "1. this\n2. that", game.encode(state.level, 0)),
        write_reply("| " + told[0].replace("\n", " |\n| ") + " |", "x", "x"),
    ]


def fuzz_replies(count: int, seed: int) -> dict[str, int]:
    """Read about ``count`` mutated replies, over all games and three levels of each; returns what
    was found in them.
    """
    found, luck = Counter[str](), random.Random(seed)
    share = max(1, count // (len(GAMES) * len(LEVELS)))
    for name in GAMES:
        for level in LEVELS:
            game, state, scene = boards(name, level)
            replies = [reply.encode() for reply in real_replies(game, state)]
            texts = []
            for _ in range(share):
                (data,) = mutate.mutations(luck.choice(replies), 1, luck.randrange(2**32))
                texts.append(
                    data.decode("utf-8", luck.choice(("replace", "ignore", "surrogateescape")))
                )
                if luck.random() < 0.1:
                    texts[-1] += luck.choice(UNITS) * luck.randint(1, 400)
                found += read(game, state, scene, texts[-1])
            found += judged(game, state, texts)
    return dict(found)


def fuzz_long(size: int = 800_000, seconds: float = 60.0) -> dict[str, int]:
    """Read long texts of each hostile piece, within so many seconds of processor time each; returns
    their number.
    """
    found = Counter[str]()
    for name in ("2048", "ShisenSho", "Minesweeper", "Sokoban"):
        game, state, scene = boards(name, "normal", 1)
        for unit in UNITS:
            body = unit * (size // len(unit))
            begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            found += read(game, state, scene, write_reply(body, body, body))
            taken = resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin
            assert taken < seconds, f"{name}: {unit!r} took {taken:.1f} s"
    return dict(found)
