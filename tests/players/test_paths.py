"""Answers in two blocks: the second is generated with the picture or without it."""

from dataclasses import replace

import numpy as np
import pytest

from parts.local_players import local_player
from parts.tiny_tasks import TASKS
from vlmgym.core import ConfigError
from vlmgym.dialogue import prompt
from vlmgym.models.loading import load
from vlmgym.players import local
from vlmgym.players.asked import LocalSettings
from vlmgym.players.base import Query
from vlmgym.players.blocks import UntilMarks, tokens_until
from vlmgym.players.registry import make_player
from vlmgym.render.looks import get_look
from vlmgym.train.trained import TrainedFor, trained_for

SHISEN = TASKS[1]
SWAP = TASKS[2]
END = "</perception>"


@pytest.fixture(scope="module")
def loaded():
    return load("tiny")


def player_of(loaded, **options):
    options = {"name": "t", "max_new_tokens": 60, "temperature": 1.0, "path": "closed"} | options
    return local_player(*loaded, **options)


def asked(count=6, task=SWAP):
    return Query(task.game, task.states("test", count), get_look("tiny"), "brief")


def texts(player, *queries):
    return [[one.text for one in answers] for answers in player.answer(queries)]


@pytest.mark.parametrize("straight", [True, False])
def test_two_calls_are_one_where_the_picture_stays(loaded, straight, monkeypatch):
    """So a closed path differs from an open one by the picture, and by nothing else."""
    closed = player_of(loaded)
    if not straight:
        closed.inputs.pixels = None
    shown = closed.inputs.of
    monkeypatch.setattr(closed.inputs, "of", lambda queries, hidden=False: shown(queries))
    queries = asked(5), asked(4, SHISEN)
    whole = texts(player_of(loaded, path="open"), *queries)
    assert texts(closed, *queries) == whole
    assert any(END in text for text in whole[0])


def test_two_calls_are_one_for_models_whose_tokens_have_types(qwen, monkeypatch):
    closed = player_of(load(str(qwen)), max_new_tokens=12)
    shown = closed.inputs.of
    monkeypatch.setattr(closed.inputs, "of", lambda queries, hidden=False: shown(queries))
    monkeypatch.setattr(local, "tokens_until", lambda mark, tokens, decode: 5)
    look = get_look("tiny:width=112,height=112")
    query = replace(asked(3), look=look)
    assert texts(closed, query) == texts(
        player_of((closed.model, closed.processor), path="open", max_new_tokens=12), query
    )


def test_the_description_is_that_of_the_open_path_and_what_follows_is_not(loaded):
    query = asked(8)
    (closed,) = texts(player_of(loaded), query)
    (whole,) = texts(player_of(loaded, path="open"), query)
    described = [END in text for text in whole]
    assert sum(described) > 4
    assert [text.partition(END)[0] for text in closed] == [text.partition(END)[0] for text in whole]
    assert closed != whole


def test_a_sampled_reply_in_two_calls_is_the_same_whatever_its_batch(loaded):
    player, query = player_of(loaded), asked(6)
    (together,) = texts(player, query)
    assert [texts(player, query[i : i + 1])[0][0] for i in range(6)] == together
    (backwards,) = texts(player, replace(query, state=query.state[::-1]))
    assert backwards == together[::-1]
    other = asked(4, SHISEN)
    assert texts(player_of(loaded, batch=3), other, query) == [*texts(player, other), together]


def test_what_follows_a_description_does_not_depend_on_the_picture(loaded):
    """The same description before two different boards."""
    query = asked(6)
    one = prompt.prefills(query.game, query.state[:1], "brief") * 6
    begun = replace(query, begun=one)
    (closed,) = texts(player_of(loaded, temperature=0.0), begun)
    (whole,) = texts(player_of(loaded, temperature=0.0, path="open"), begun)
    assert len(set(closed)) == 1
    assert len(set(whole)) > 1


def test_a_reply_whose_description_does_not_end_is_that_of_one_call(loaded):
    query = asked(4)
    short = {"max_new_tokens": 6}
    assert texts(player_of(loaded, **short), query) == texts(
        player_of(loaded, path="open", **short), query
    )


def test_no_reply_is_longer_than_its_limit(loaded):
    for limit in (20, 37, 38, 39, 45):
        for answer in player_of(loaded, max_new_tokens=limit).answer([asked(4)])[0]:
            assert answer.output_tokens <= limit
            assert (answer.finish == "length") == ("</answer>" not in answer.text)


def test_boards_in_words_are_refused_where_the_picture_is_hidden(loaded):
    with pytest.raises(ConfigError, match=r"observation = 'both': allowed is image"):
        player_of(loaded).answer([replace(asked(2), observation="both")])


def test_a_player_is_another_one_on_another_path(loaded):
    closed, whole = player_of(loaded).describe(), player_of(loaded, path="open").describe()
    assert closed == {**whole, "path": "closed"}


def test_a_model_is_asked_as_it_was_trained_where_nothing_else_is_said(small, tmp_path):
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(small, folder)
    assert make_player(f"local:{folder}").path == "open"
    TrainedFor((SWAP,), 20, "tiny", "closed").write(folder)
    assert trained_for(str(folder)).path == "closed"
    assert make_player(f"local:{folder}").path == "closed"
    assert make_player(f"local:{folder}", local=LocalSettings(path="open")).path == "open"
    assert make_player("local:tiny", local=LocalSettings(path="closed")).path == "closed"


# ---- where a description ends
TOKENS = ["<per", "ception>", "red", " ", "</perc", "eption", "><", "think>", "</perception>"]


def decode(tokens):
    return "".join(TOKENS[token] for token in tokens)


def test_a_description_ends_with_the_token_that_completes_its_end():
    """Also where that token holds the beginning of the next block."""
    assert tokens_until(END, [0, 1, 2, 4, 5, 6, 7, 8], decode) == 6
    assert tokens_until(END, [0, 1, 8, 2], decode) == 3
    assert tokens_until(END, [0, 1, 2, 4, 5], decode) is None
    assert tokens_until(END, [], decode) is None


def test_rows_end_one_by_one_as_their_mark_is_there():
    import torch

    criterion = UntilMarks([END, END, ""], decode)
    rows = [[8, 8, 2, 4, 5, 6], [8, 8, 2, 2, 2, 2], [8, 8, 2, 2, 2, 2]]
    ended = [criterion(torch.tensor(rows)[:, :width], None).tolist() for width in range(3, 7)]
    assert ended == [[False, False, True]] * 3 + [[True, False, True]]
    assert np.shape(ended) == (4, 3)
