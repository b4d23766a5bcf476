"""Claims and verdicts of the study, and what it takes for knowing and for searching."""

import numpy as np
import pytest

from vlmgym.dialogue.prompt import prefills
from vlmgym.episodes.random_walk import walk
from vlmgym.games import get_game
from vlmgym.players.beginner import Beginner
from vlmgym.players.teacher import Teacher
from vlmgym.studies.g1 import claims, findings


@pytest.mark.parametrize("name", findings.GAMES)
def test_knowing_is_naming_a_move_that_works(name):
    game = get_game(name)
    state = walk(game, game.level("tiny"), np.array([5], np.uint64), 4, legal=True)
    said, move = game.reasoning(state, 0, game.oracle(state)[0])

    def judged(think):
        class Said:
            reply = f"{prefills(game, state, 'brief')[0]}<think>{think}</think>"

            def load(self):
                return game, state

        return findings.knows_a_move(Said())

    assert judged(f"{said}; so {game.encode(state.level, move)}")
    assert judged(f"{said}; so {game.encode(state.level, move)}".replace(" (", "("))
    bad = int(np.flatnonzero(~game.success_mask(state)[0])[0])
    assert not judged(f"{said}; so {game.encode(state.level, bad)}")
    assert not judged(said)
    assert not judged("so what")


@pytest.mark.parametrize("name", findings.GAMES)
def test_a_search_is_told_from_a_guess(name):
    game = get_game(name)
    state = walk(game, game.level("tiny"), np.arange(40, dtype=np.uint64), 4, legal=True)

    class Said:
        def __init__(self, row, reply):
            self.row, self.reply = row, reply

        def load(self):
            return game, state[self.row]

    def share(replies):
        return np.mean([findings.searches(Said(row, reply)) for row, reply in enumerate(replies)])

    assert share(Teacher(0.0).reply(game, state, "brief")) == 1
    assert share(Beginner(searches=0).reply(game, state)) == 0
    assert 0 < share(Beginner(searches=0.5).reply(game, state)) < 1


def test_verdicts_need_evidence_after_correction_for_their_number():
    def claim(p, adjusted, holds="larger"):
        return claims.Claim("a", "-", "", p, holds, adjusted)

    assert claim(0.01, 0.03).verdict == "larger"
    assert claim(0.01, 0.2).verdict == "not decided"
    assert claim(0.9, float("nan")).verdict == "not decided"


def test_no_evidence_is_no_equality_and_no_gap():
    equal = claims._claim("a", "-", np.zeros((1, 20)), "success", "x", "equal")
    assert equal.p > 0.05
    assert "[-13.9, +13.9]" in equal.numbers
    many = claims._claim("a", "-", np.zeros((1, 400)), "success", "x", "equal")
    assert many.p < 0.01
    assert many.holds == "within the margin"
    noise = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], (1, 20))
    assert claims._claim("a", "-", noise, "success", "x", "no worse").p > 0.05


def test_halves_of_a_rise():
    steps = np.array([0, 10, 20, 30])
    assert claims.halfway(steps, np.array([[0.0, 0.1, 0.6, 1.0], [0.2, 0.7, 0.8, 0.8]])) == [20, 10]
    assert claims.halfway(steps, np.array([[0.0, 0.1, 0.6, 0.05]])) == [], "it did not rise"
