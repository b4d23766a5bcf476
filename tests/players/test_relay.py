"""Local models side by side: games in one batch, and one model that goes on from another."""

import pytest

from parts.local_players import local_player
from parts.tiny_tasks import TASKS
from vlmgym.core import ConfigError
from vlmgym.models.loading import load
from vlmgym.players.base import Player, Query
from vlmgym.players.registry import make_player
from vlmgym.players.relay import Relay
from vlmgym.render.looks import get_look


@pytest.mark.parametrize("straight", [True, False])
def test_games_share_batches_and_answer_as_alone(straight):
    model, processor = load("tiny")
    player = local_player(model, processor, max_new_tokens=100, batch=7)
    if not straight:
        player.inputs.pixels = None
    rules = [(task, task.game, task.level, task.look) for task in TASKS]
    queries = [
        Query(game, task.states("test", 5), look, style)
        for task, game, _, look in rules
        for style in ("brief", "full")
    ]
    asked = []
    player.on_answers = asked.append
    together = player.answer(queries)
    assert sum(asked) == 5 * len(queries)
    assert max(asked) == 7
    for query, replies in zip(queries, together, strict=True):
        assert replies == player.answer([query])[0]


def test_one_model_goes_on_from_the_description_of_another():
    task = TASKS[1]
    game, state = task.game, task.states("test", 6)
    query = Query(game, state, get_look("tiny"), "brief")
    both = make_player("relay:tiny+tiny", "tiny", "brief", {"max_tokens": 160})
    alone = make_player("local:tiny", "tiny", "brief", {"max_tokens": 160})
    told, single = ([one.text for one in player.answer([query])[0]] for player in (both, alone))
    assert told == single, "with itself it answers as alone"


def test_a_relay_whose_second_model_sees_the_picture_is_warned_of():
    both = make_player("relay:tiny+tiny", "tiny", "brief", {"max_tokens": 160})

    def says_so():
        doubts = both.doubts("ShisenSho", "tiny", "tiny", "brief", "")
        return sum("does not tell what perception contributes" in doubt for doubt in doubts)

    assert says_so() == 1
    both.reasoner.path = "closed"
    assert says_so() == 0


def test_a_description_of_another_player_is_gone_on_from():
    task = TASKS[1]
    query = Query(task.game, task.states("test", 6), get_look("tiny"), "brief")
    alone = make_player("local:tiny", "tiny", "brief", {"max_tokens": 160})

    class Liar(Player):
        name = "liar"
        sees = "nothing"

        def answer(self, queries):
            told = ["<perception>(0, 0) red circle</perception><think>so</think>", "nothing"]
            return [[told[row % 2] for row in range(len(query.state))] for query in queries]

    replies = Relay(Liar(), alone).answer([query, query])
    assert replies[0] == replies[1]
    for row, text in enumerate(one.text for one in replies[0]):
        if row % 2:
            assert text == "nothing", "without a description there is nothing to go on from"
        else:
            assert text.startswith("<perception>(0, 0) red circle</perception>")
            assert "<think>so</think>" not in text, "the thoughts are the other one's"
    with pytest.raises(ConfigError, match="player = 'relay:tiny'"):
        make_player("relay:tiny")
