"""Starts near the end of solved games, which move back as answers succeed."""

import json

import numpy as np
import pytest

from vlmgym.core import ConfigError
from vlmgym.episodes.task import Task
from vlmgym.train.questions import Answered, QuestionSource
from vlmgym.train.rollback import Rollback, solve
from vlmgym.train.sources import Source

PUZZLE = Task("SlidingPuzzle", "easy")
FROM_ENDS = Source(kind="rollback", target=0.5, step=0.5)


def left(question):
    """Moves of a shortest solution from where a question asks."""
    return int(-np.nanmax(question.task.game.oracle(question.state)))


def told(states, questions, succeed):
    answers = [Answered(4 if succeed else 0, 4, "", True) for _ in questions]
    states.tell(questions, answers)


def test_the_first_starts_are_one_move_from_the_end():
    states = QuestionSource([PUZZLE], [FROM_ENDS])
    questions = states.draw(12)
    assert [left(question) for question in questions] == [1] * 12
    assert len({question.text for question in questions}) > 3


def test_starts_move_back_as_answers_succeed_and_return_as_they_fail():
    states = QuestionSource([PUZZLE], [FROM_ENDS])
    told(states, states.draw(6), succeed=True)  # 6 times half a move for 4 - 2
    assert states.moves_from_end() == {"SlidingPuzzle": 7.0}
    assert {left(question) for question in states.draw(8)} == {7}
    told(states, states.draw(20), succeed=False)
    assert states.moves_from_end() == {"SlidingPuzzle": 1.0}


def test_a_game_that_is_shorter_is_asked_from_its_beginning():
    states = QuestionSource([PUZZLE], [FROM_ENDS])
    states.rollbacks[0] = Rollback(500.0)
    for question in states.draw(4):
        assert question.state.steps[0] == 0
        assert left(question) > 1


def test_a_rollback_is_saved_with_the_run_and_goes_on():
    states = QuestionSource([PUZZLE], [FROM_ENDS])
    told(states, states.draw(3), succeed=True)
    saved = json.loads(json.dumps(states.state_dict()))
    again = QuestionSource([PUZZLE], [FROM_ENDS])
    again.load_state_dict(saved)
    assert [one.text for one in again.draw(5)] == [one.text for one in states.draw(5)]
    del saved["rollbacks"]  # of a version before there were any
    QuestionSource([PUZZLE]).load_state_dict(saved)


def test_other_sources_do_not_move_it():
    states = QuestionSource([PUZZLE], [FROM_ENDS, Source()])
    questions = states.draw(40)
    kinds = [states.sources[question.source].kind for question in questions]
    assert set(kinds) == {"rollback", "random_walk"}
    walks = [q for q, kind in zip(questions, kinds, strict=True) if kind == "random_walk"]
    told(states, walks, succeed=True)
    assert states.moves_from_end() == {"SlidingPuzzle": 1.0}


@pytest.mark.parametrize("name", ["Sokoban", "Minesweeper", "LightsOut", "Memory", "TowersOfHanoi"])
def test_a_solution_leads_from_a_deal_to_the_end(name):
    task = Task(name, "easy")
    for number in range(8):
        met = solve(task.game, task.level, "easy", number)
        if met:
            break
    assert met[0].steps[0] == 0
    assert [int(state.steps[0]) for state in met] == list(range(len(met)))
    assert not met[-1].ended[0]


@pytest.mark.parametrize("name", ["2048", "Swap"])
def test_a_game_without_a_goal_is_refused_in_a_sentence(name):
    states = QuestionSource([Task(name, "tiny")], [FROM_ENDS])
    with pytest.raises(ConfigError, match=rf"rollback.*none of 32 of {name}"):
        states.draw(1)
