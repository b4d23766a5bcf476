"""What an episode is worth: no trick earns more than playing well."""

import numpy as np
import pytest

from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.weights import Weights
from vlmgym.episodes.task import Task
from vlmgym.games import state_text
from vlmgym.train.multi_turn import Play, episode_terms


def played(task, say, turns=8):
    """An episode of scripted replies, at most ``turns`` long."""
    game = task.game
    play = Play(turns, 10, Weights())
    play.reset(state=state_text(game, task.states("train", 1)), look="tiny")
    for _ in range(turns):
        if not len(play.lane.live()):
            break
        play.act(say(game, play.lane.state))
    return play.lane


def reply(text):
    return f"<perception>x</perception><think>t</think><answer>{text}</answer>"


@pytest.mark.parametrize(
    "name", ["2048", "ShisenSho", "Swap", "SlidingPuzzle", "Sokoban", "FrozenLake", "Minesweeper"]
)
def test_useless_moves_earn_nothing(name):
    """Silence, illegal moves, one move again and again, to and fro, and giving up are all worth
    less than playing well.
    """
    task = Task.parse(
        {
            "game": name,
            "level": "easy" if name != "2048" else "tiny",
            "look": "tiny",
            "walk_max": 2,
            "walk_legal": True,
        }
    )

    def best(game, state):
        return reply(game.encode(state.level, int(np.nanargmax(game.oracle(state)[0]))))

    honest = episode_terms(played(task, best), "turns", Weights())["game"]
    legal = iter(range(10**6))

    def to_and_fro(game, state):
        actions = [a for a in range(game.n_actions(state.level)) if game.legal(state)[0, a]]
        return reply(game.encode(state.level, actions[next(legal) % 2 * (len(actions) - 1)]))

    tricks = {
        "silent": lambda game, state: "",
        "talks": lambda game, state: "<perception>x</perception><think>I will move soon</think>",
        "illegal": lambda game, state: reply("99"),
        "first legal": lambda game, state: reply(
            game.encode(state.level, int(game.legal(state)[0].argmax()))
        ),
        "to and fro": to_and_fro,
    }
    found = {
        trick: episode_terms(played(task, say), "turns", Weights()) for trick, say in tricks.items()
    }
    for trick, terms in found.items():
        assert terms["game"] <= honest, trick
    for trick in ("silent", "talks", "illegal"):
        assert found[trick]["game"] == -1, f"{trick}: the worst there is"
    stopped = played(task, tricks["silent"], turns=8)
    assert len(stopped.turns) <= 8
    assert episode_terms(stopped, "turns", Weights())["format"] == 0


def test_giving_up_early_is_worth_no_more_than_going_on():
    """A mine hit in the first turn ends the game: the turns that it spares count as lost ones."""
    task = Task.parse({"game": "Minesweeper", "level": "easy", "look": "tiny", "walk_max": 1})
    game = task.game
    state = task.states("train", 40)
    for row in range(40):
        for action in range(game.n_actions(state.level)):
            play = Play(6, 10, Weights())
            play.reset(state=state_text(game, state[row]), look="tiny")
            play.act(reply(game.encode(state.level, action)))
            lane = play.lane
            if lane.state.terminated[0] and lane.turns[0].terms["game"] < 0:
                assert episode_terms(lane, "turns", Weights())["game"] == -1
                return
    pytest.fail("no mine was hit: the test tries nothing")


def test_replies_to_a_question_are_worth_what_they_do(tmp_path):
    """For one and the same description: no action <= illegal <= any legal move, with the paper's
    weights and with regret.
    """
    for name in ("2048", "ShisenSho", "Swap"):
        task = Task.parse(
            {"game": name, "level": "tiny", "look": "tiny", "walk_max": 3, "walk_legal": True}
        )
        game, level = task.game, task.level
        state = task.states("train", 1)
        n = game.n_actions(level)
        texts = [reply("none at all"), *[reply(game.encode(level, a)) for a in range(n)]]
        judged = judge(game, state.repeat(n + 1), texts)[1]
        for settings in (Weights(), Weights(game=0, regret=1)):
            worth = [settings.total(one.terms) for one in judged]
            legal = game.legal(state)[0]
            assert worth[0] <= min(worth), "no action is the worst reward"
            assert all(
                worth[1 + a] <= min(worth[1 + b] for b in range(n) if legal[b])
                for a in range(n)
                if not legal[a]
            )
