"""What earlier versions wrote is read, and means the same: states of all games at all levels, and
where the questions of a training run stood.

``golden/before`` was written by revision 32e46de, before the modules were moved and the games were
written anew from common parts; its digests of rules are those of today's texts, and boards on which
a game of FrozenLake has ended show where the player is.
"""

import hashlib
import json

import numpy as np
import pytest

from parts.folders import GOLDEN
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.episodes.task import Task
from vlmgym.games import read_state_text, state_text
from vlmgym.train.questions import QuestionSource
from vlmgym.train.sources import Source

BEFORE = GOLDEN / "before"
STATES = json.loads((BEFORE / "states.json").read_text(encoding="utf-8"))
ORACLE_DIGITS = 9
NO_VALUE = -12345.0


def digest(content):
    if isinstance(content, str):
        content = content.encode()
    if isinstance(content, np.ndarray):
        content = np.ascontiguousarray(content).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


@pytest.mark.parametrize("row", STATES, ids=lambda row: f"{row['game']}-{row['level']}")
def test_states_of_before_are_the_same_in_all_that_is_asked_of_them(row):
    game, state = read_state_text(row["state"])
    assert game.name == row["game"]
    assert state.level == game.level(row["level"])
    assert state_text(game, state) == row["state"]
    assert digest("\n".join(game.scene(state).texts())) == row["boards"]
    assert digest(game.legal(state)) == row["legal"]
    assert digest(game.success_mask(state)) == row["successes"]
    assert digest(game.rules(state.level) + game.answer_format(state.level)) == row["rules"]
    if row["oracle"]:
        value = np.round(game.oracle(state), ORACLE_DIGITS)
        assert digest(np.nan_to_num(value, nan=NO_VALUE)) == row["oracle"]
    after, _ = game.step(state, game.draw_legal(state))
    assert digest(state_text(game, after)) == row["after"]


def test_a_run_of_before_goes_on_with_the_questions_that_it_would_have_asked():
    common = {"level": "tiny", "look": "tiny", "prompt": "brief"}
    tasks = (
        Task.parse({"game": "Swap", "walk_max": 3, "walk_legal": True, **common}),
        Task.parse({"game": "2048", "walk_min": 4, "walk_max": 40, **common}),
    )
    sources = (Source("random_walk"), Source("policy_pool", games=5))
    ladders = {"Swap": Curriculum(rungs=("tiny", "clean"))}
    before = json.loads((BEFORE / "questions.json").read_text(encoding="utf-8"))
    questions = QuestionSource(tasks, sources, ladders, seed=9)
    questions.load_state_dict(before["saved"])
    asked = questions.draw(len(before["next"]))
    assert [digest(state_text(one.task.game, one.state)) for one in asked] == before["next"]
