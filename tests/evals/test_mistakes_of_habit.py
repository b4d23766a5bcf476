"""What becomes of a teacher's own mistakes in the turns of a player."""

import numpy as np
import pytest

from vlmgym.core import ConfigError
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.habits import TeachersView, mistakes_of_habit
from vlmgym.evals.settings import Evaluation
from vlmgym.players.simple import Oracle, Random, RandomLegal
from vlmgym.players.teacher import Teacher

PAIRS = Task(
    game="ShisenSho", level="tiny", look="tiny", prompt="brief", walk_max=7, walk_legal=True
)
HABITS = ("near", "colours", "half")


def turns_of(player, folder, task=PAIRS, states=60):
    settings = Evaluation(episodes=states, turns=1, start="walk", oracle=False, split="pilot")
    evaluate(player, task, settings, folder, progress=False)
    return load_trace(folder / "trace.jsonl").finished()


@pytest.mark.parametrize("habit", HABITS)
def test_a_teacher_makes_all_its_own_mistakes_and_fails_nowhere_else(habit, tmp_path):
    values = mistakes_of_habit(turns_of(Teacher(0.0, habit=habit), tmp_path), habit)
    assert 0.02 < values["teacher_fails"] < 0.5
    assert values["success_elsewhere"] == 1
    lucky = 0 if habit == "colours" else 0.3  # what fails elsewhere is a guess at times
    assert values["success_where_teacher_fails"] <= lucky
    failures = 1 - values["success_where_teacher_fails"]
    assert values["teachers_mistakes"] == pytest.approx(failures)


@pytest.mark.parametrize("habit", HABITS)
def test_who_plays_well_makes_none_of_them(habit, tmp_path):
    values = mistakes_of_habit(turns_of(Oracle(), tmp_path), habit)
    assert values["success_where_teacher_fails"] == values["success_elsewhere"] == 1
    assert values["teachers_mistakes"] == 0


def test_failing_in_another_way_is_not_the_teachers_mistake(tmp_path):
    """Random moves fail, and hardly ever as somebody does who takes two colours for one."""
    values = mistakes_of_habit(turns_of(Random(), tmp_path, states=200), "colours")
    assert values["success_where_teacher_fails"] < 0.3
    assert values["teachers_mistakes"] < 0.2


def test_a_mistake_of_the_same_kind_counts_as_the_very_same_move_does():
    """Another pair of tiles that only the habit takes for equal; a guess only where it guesses."""
    game, state = PAIRS.game, PAIRS.states("free", 200)
    view = TeachersView.of(game, state, "colours")
    possible = game.success_mask(state)
    row = next(row for row in np.flatnonzero(view.fails)
               if (view.believes & ~possible)[row].sum() > 2)  # fmt: skip
    others = np.flatnonzero(view.believes[row] & ~possible[row])
    assert all(view.explains(row, action, "so this") for action in [view.moves[row], *others])
    nothing = np.flatnonzero(~view.believes[row])[0]
    assert not view.explains(row, nothing, "so this")
    assert not view.explains(row, nothing, "I guess; so this"), "this teacher does not guess there"
    assert not view.explains(row, -1, "so this")
    near = TeachersView.of(game, state, "near")
    row = np.flatnonzero(near.fails)[0]
    assert near.explains(row, 5, "no; I guess; so this")
    assert not near.explains(row, 5, "no; so this")


def test_boards_on_which_nothing_can_be_done_do_not_count(tmp_path):
    task = Task(game="2048", level="tiny", look="tiny", prompt="brief")
    settings = Evaluation(episodes=2, turns=12, oracle=False, split="pilot")
    evaluate(RandomLegal(), task, settings, tmp_path, progress=False)
    turns = load_trace(tmp_path / "trace.jsonl").finished()
    hopeless = [turn for turn in turns if not turn.load()[0].success_mask(turn.load()[1]).any()]
    assert hopeless
    assert mistakes_of_habit(hopeless, "near") == {}
    assert set(mistakes_of_habit(turns, "left")) <= {
        "teacher_fails", "success_where_teacher_fails", "success_elsewhere", "teachers_mistakes",
    }  # fmt: skip


def test_a_game_that_knows_no_habits_is_refused_by_name(tmp_path):
    task = Task(game="Minesweeper", level="tiny", look="tiny", prompt="brief")
    turns = turns_of(Oracle(), tmp_path, task, states=2)
    with pytest.raises(ConfigError, match="allowed is no habit: Minesweeper"):
        mistakes_of_habit(turns, "near")
