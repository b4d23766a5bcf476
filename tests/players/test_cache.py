"""Keys and values in place, and rows that are left out, change no token."""

import numpy as np
import pytest
from transformers import DynamicCache

from parts.local_players import local_player
from parts.tasks import SWAP
from vlmgym.models.loading import load
from vlmgym.players import cache
from vlmgym.players.base import Query
from vlmgym.players.cache import RoomyLayer, roomy_cache


@pytest.fixture(scope="module")
def loaded():
    return load("tiny")


def texts_of(loaded, **options):
    player = local_player(*loaded, **{"temperature": 1.0, "max_new_tokens": 60} | options)
    query = Query(SWAP.game, SWAP.states("test", 40), SWAP.look, SWAP.prompt)
    return [(answer.text, answer.finish) for answer in player.answer([query])[0]]


@pytest.mark.parametrize("path", ["open", "closed"])
def test_rows_that_have_ended_are_left_out_and_replies_stay(loaded, monkeypatch, path):
    options = {"path": path, "batch": 40}
    sizes = []
    generate = loaded[0].generate

    def seen(**inputs):
        sizes.append(len(inputs["input_ids"]))
        return generate(**inputs)

    monkeypatch.setattr(loaded[0], "generate", seen)
    without = texts_of(loaded, **options)
    assert min(sizes) < 40, "no row was left out"
    monkeypatch.setattr(cache, "FEWEST", 10**6)
    sizes.clear()
    assert texts_of(loaded, **options) == without
    assert set(sizes) == {40}


def test_keys_and_values_are_those_of_the_growing_tensors(loaded):
    import torch

    torch.manual_seed(0)
    grown = DynamicCache(config=loaded[0].config)
    roomy = roomy_cache(loaded[0])
    assert all(isinstance(layer, RoomyLayer) for layer in roomy.layers)

    def add(tokens, rows):
        states = torch.randn(2, rows, 4, tokens, 48)
        of_grown = grown.update(*states, 0)
        of_roomy = roomy.update(*states, 0)
        for one, other in zip(of_grown, of_roomy, strict=True):
            assert torch.equal(one, other)

    add(70, 3)
    for _ in range(70):
        add(1, 3)
    for both in (grown, roomy):
        both.crop(-2)
    add(1, 3)
    for both in (grown, roomy):
        both.batch_repeat_interleave(2)
    add(1, 6)
    for both in (grown, roomy):
        both.batch_select_indices(torch.tensor([0, 3, 5]))
    add(1, 3)
    assert roomy.get_seq_length() == grown.get_seq_length() == 141


def test_continuations_are_the_same_where_prompts_are_shared(loaded, monkeypatch):
    from vlmgym.players import local

    query = Query(
        SWAP.game, SWAP.states("test", 1).repeat(4), SWAP.look, SWAP.prompt, repeats=range(4)
    )
    for path in ("open", "closed"):
        player = local_player(*loaded, temperature=1.0, max_new_tokens=60, path=path)
        shared = player.branches(query, 6)
        monkeypatch.setattr(local, "SHARING", ())
        each = player.branches(query, 6)
        monkeypatch.undo()
        texts = np.array([[answer.text for answer in answers] for answers in shared])
        assert texts.tolist() == [[answer.text for answer in answers] for answers in each]
