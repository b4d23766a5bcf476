"""The data of a cold start: answers that work, boards as whole games have them, the same for a seed."""

import base64
import hashlib
import json
import re

import pytest

from parts.training import TASKS
from vlmgym.core import ConfigError, concat
from vlmgym.dialogue import prompt
from vlmgym.dialogue.reply import parse
from vlmgym.episodes.task import Task
from vlmgym.games import load_state, read_state_text
from vlmgym.games.parts.habits import HABITS
from vlmgym.players.teacher import GUESS, Teacher
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.recipe import ColdStart, read_recipe, recipe_path


def test_a_cold_start_without_thoughts():
    task = Task.parse(TASKS[0])
    plain, bare = (
        cold_start_rows([task], ColdStart(states=6, think=think)) for think in (True, False)
    )
    for one, other in zip(plain, bare, strict=True):
        before, after = (row["completion"][0]["content"][0]["text"] for row in (one, other))
        assert "<think>" not in after
        assert re.sub("<think>.*</think>", "", before) == after


def test_a_cold_start_has_boards_where_nothing_merges_as_whole_games_do():
    """Its answers there move tiles: what merges nothing need not be a move that changes nothing."""
    task = Task.parse(
        {
            "game": "2048",
            "level": "tiny",
            "look": "tiny",
            "prompt": "brief",
            "walk_min": 4,
            "walk_max": 60,
        }
    )
    merges = {}
    for hopeless in (True, False):
        rows = cold_start_rows([task], ColdStart(states=200, hopeless=hopeless, teacher_error=0.0))
        game, state = load_state(base64.b64decode(rows[0]["state"]))
        state = concat([load_state(base64.b64decode(row["state"]))[1] for row in rows])
        assert not state.ended.any()
        merges[hopeless] = game.success_mask(state).any(axis=1)
        answers = [
            parse(game, state.level, row["completion"][0]["content"][0]["text"]).action
            for row in rows
        ]
        assert game.legal(state)[range(200), answers].all()
    assert merges[False].all()
    assert 0.2 < merges[True].mean() < 0.95


def answer_of(row):
    return row["completion"][0]["content"][0]["text"]


def digest_of_rows(rows):
    boards = [read_state_text(row["state"])[1].board.tolist() for row in rows]
    return hashlib.blake2b(
        json.dumps([boards, [answer_of(row) for row in rows]]).encode(), digest_size=8
    ).hexdigest()


@pytest.mark.parametrize(
    ("name", "digest"), [("cold-all", "64d502b4509390cf"), ("cold-2048", "5a9ddf62d0ae3941")]
)
def test_the_studys_cold_starts_of_seed_0_stay_as_they_are(name, digest):
    recipe = read_recipe(recipe_path(f"study/{name}"), ["cold_start.states=40"])
    rows = cold_start_rows(recipe.tasks, recipe.cold_start, recipe.sft.seed)
    assert digest_of_rows(rows) == digest


def test_another_seed_is_another_cold_start():
    """Seeds once shared the rows and the teacher's errors, so that intervals over seeds were not
    those of another cold start.
    """
    cold, task = ColdStart(states=60, teacher_error=0.5, verified=False), Task.parse(TASKS[1])
    states, wrong = [], []
    for seed in (0, 1, 2):
        rows = cold_start_rows([task], cold, seed)
        states.append({row["state"] for row in rows})
        wrong.append(["<think>so" in answer_of(row) for row in rows])
    assert not states[0] & states[1]
    assert not states[1] & states[2]
    assert wrong[0] != wrong[1] != wrong[2]
    assert cold_start_rows([task], cold, 2)[0]["state"] in states[2]


@pytest.mark.parametrize("game", ["2048", "ShisenSho", "Swap", "ShisenShoPhotos"])
def test_a_cold_start_teaches_answers_that_work(game):
    task = Task(
        game=game, level="tiny", look="tiny", prompt="brief", walk_max=5, walk_legal=game != "2048"
    )
    for error in (0.0, 0.6):
        rows = cold_start_rows([task], ColdStart(states=40, teacher_error=error))
        assert len({row["state"] for row in rows}) > 30
        for row in rows:
            rules, state = read_state_text(row["state"])
            action = parse(rules, state.level, answer_of(row)).action
            possible = rules.success_mask(state)[0]
            assert possible[action] if possible.any() else rules.legal(state)[0, action]
    everything = cold_start_rows([task], ColdStart(states=40, teacher_error=0.6, verified=False))
    failed = [judge_row(row) for row in everything].count(False)
    assert failed > 4, "without it errors are taught: the test can fail"


def judge_row(row):
    rules, state = read_state_text(row["state"])
    return bool(rules.success_mask(state)[0, parse(rules, state.level, answer_of(row)).action])


def test_recipes_for_models_of_the_hub_teach_no_errors():
    for name in ("qwen2.5-vl-7b/g1-all", "qwen3-vl-8b/g1-swap"):
        cold = read_recipe(recipe_path(name)).cold_start
        assert (cold.teacher_error, cold.verified) == (0, True)
    demo = read_recipe(recipe_path("tiny/g1")).cold_start
    assert (demo.teacher, demo.teacher_error, demo.verified) == ("near", 0, True)


# ---- habits
@pytest.mark.parametrize("game", ["2048", "ShisenSho", "Swap", "ShisenShoPhotos"])
@pytest.mark.parametrize("habit", HABITS)
def test_a_cold_start_of_a_habit_teaches_only_where_the_habit_is_right(game, habit):
    task = Task(
        game=game, level="tiny", look="tiny", prompt="brief", walk_max=5, walk_legal=game != "2048"
    )
    rows = cold_start_rows([task], ColdStart(states=60, teacher=habit, hopeless=False))
    teacher = Teacher(0.0, habit=habit)
    for row in rows:
        rules, state = read_state_text(row["state"])
        assert answer_of(row) == teacher.reply(rules, state, "brief")[0]
        assert judge_row(row)
        assert GUESS not in answer_of(row), "luck shows what the habit never finds"


def test_a_habit_is_one_of_the_teacher():
    with pytest.raises(ConfigError, match=r"ColdStart.teacher = 'near': allowed is no habit"):
        ColdStart(teacher="near", player="beginner")
    with pytest.raises(ConfigError, match=r"ColdStart.teacher = 'far': allowed is one of '', near"):
        ColdStart(teacher="far")


# ---- told descriptions
def test_told_rows_have_the_pictures_that_their_shares_say():
    """Each beside its own, another's or a blank picture; ordinary rows stay as they are."""
    tasks = [Task.parse(values) for values in TASKS]
    plain = cold_start_rows(tasks, ColdStart(states=40))
    told = cold_start_rows(tasks, ColdStart(states=40, told=0.1, mismatched=0.5, blank=0.25))
    for number, task in enumerate(tasks):
        counts = {"ordinary": 0, "own": 0, "another": 0, "blank": 0}
        rows_of_task = zip(plain[number :: len(tasks)], told[number :: len(tasks)], strict=True)
        own_pictures = {row["image"].tobytes() for row in plain[number :: len(tasks)]}
        for before, after in rows_of_task:
            pixels = after["image"].tobytes()
            assert after["image"].size == before["image"].size
            assert {**after, "image": 0, "told": 0} == {**before, "image": 0, "told": 0}
            if "told" not in after:
                kind = "ordinary"
                assert after["image"] is before["image"] or pixels == before["image"].tobytes()
            else:
                rules, state = read_state_text(after["state"])
                assert after["told"] == prompt.prefills(rules, state, task.prompt)[0]
                assert answer_of(after).startswith(after["told"])
                if len(set(pixels)) == 1:
                    kind = "blank"
                elif pixels == before["image"].tobytes():
                    kind = "own"
                else:
                    kind = "another"
                    assert pixels in own_pictures, "a picture of another state of the task"
            counts[kind] += 1
        assert counts == {"ordinary": 6, "own": 4, "another": 20, "blank": 10}


def test_another_seed_tells_other_rows():
    cold, task = ColdStart(states=40, mismatched=0.5), Task.parse(TASKS[1])
    which = [["told" in row for row in cold_start_rows([task], cold, seed)] for seed in (0, 0, 1)]
    assert which[0] == which[1] != which[2]


def test_shares_of_told_rows_fit_into_the_rows():
    with pytest.raises(ConfigError, match=r"told 0.2 .* mismatched 0.6 .* blank 0.3.*at most 1"):
        ColdStart(told=0.2, mismatched=0.6, blank=0.3)
    with pytest.raises(ConfigError, match=r"cold_start.states = 1: allowed is more"):
        cold_start_rows([Task.parse(TASKS[1])], ColdStart(states=1, mismatched=1.0))
