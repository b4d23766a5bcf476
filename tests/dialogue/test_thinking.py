"""Tiles that a think block names: they tell whether it follows the description or the picture."""

import numpy as np
import pytest

from parts.follower import Follower
from vlmgym.core import ConfigError
from vlmgym.dialogue.thinking import NamedTiles, named_tiles, tiles_beside_cells
from vlmgym.episodes.batch import EpisodeBatch, ObservationSettings, play
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import load_trace
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.metrics import METRICS, mean_of
from vlmgym.evals.settings import Evaluation

NAMES = ("empty", "red circle", "blue star", "red")
TASK = Task(game="ShisenSho", level="tiny", look="tiny", prompt="brief", walk_max=5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(0, 1) red circle (1, 2) blue star", [(0, 1, 1), (1, 2, 2)]),
        ("a red circle at (0, 1), and the Blue Star (1,2)", [(0, 1, 1), (1, 2, 2)]),
        ("(0, 1): red circle\n(3, 0): red", [(0, 1, 1), (3, 0, 3)]),
        ("(0, 1) empty, red circles, (1, 2)", []),
        ("", []),
    ],
)
def test_tiles_beside_cells_are_read_in_either_order(text, expected):
    assert tiles_beside_cells(text, NAMES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1: (0, 0) 4\n2: (1, 0): 2", [(0, 0, 2), (1, 0, 1)]),
        ("Row 2: (1, 0) 4, (1, 1) 2", [(1, 0, 2), (1, 1, 1)]),
        ("2 (0, 1) 4 (1, 1)", [(0, 1, 1), (1, 1, 2)]),
        ("a 4 at (0, 1)", [(0, 1, 2)]),
    ],
)
def test_a_number_before_a_colon_is_no_tile_of_the_cell_behind_it(text, expected):
    assert tiles_beside_cells(text, ("0", "2", "4", "8")) == expected


def test_a_guess_under_a_hidden_cell_is_not_counted_as_a_named_tile():
    board = np.array([[1, 2], [3, 0]], np.int16)
    counts = named_tiles("(0, 1) red, (1, 0) red", NAMES, board, board, covered=2)
    assert counts == NamedTiles(named=1, right=1, conflicts=0, as_described=0, as_shown=0)
    swapped = np.array([[1, 3], [3, 0]], np.int16)
    counts = named_tiles("(0, 1) red, (1, 0) red", NAMES, board, swapped, covered=2)
    assert (counts.conflicts, counts.as_described) == (1, 1), "whether it follows is still told"


def test_named_tiles_are_compared_with_board_and_description():
    board = np.array([[1, 2], [3, 0]], np.int16)
    described = np.array([[1, 1], [-1, 2]], np.int16)
    text = "(0, 0) red circle (0, 1) red circle (0, 1) blue star (0, 1) red (1, 0) red (7, 7) red"
    counts = named_tiles(text, NAMES, board, described)
    assert counts == NamedTiles(named=5, right=3, conflicts=3, as_described=1, as_shown=1)


def measured(reads, observation="swapped"):
    states = TASK.states("test", 6)
    settings = ObservationSettings("tiny", "brief", observation)
    batch = EpisodeBatch(TASK.game, states, settings, turns=1)
    play([batch], Follower(reads))
    return batch.turns


def test_the_swap_tells_who_follows_the_description_from_who_looks_again():
    following = measured("description")
    assert mean_of("follows", following) == 1
    assert mean_of("looks_again", following) == 0
    assert mean_of("tiles_right", following) < 0.6
    looking = measured("picture")
    assert mean_of("follows", looking) == 0
    assert mean_of("looks_again", looking) == 1
    assert mean_of("tiles_right", looking) == 1
    silent = measured("nothing")
    assert all(
        np.isnan(mean_of(name, silent)) for name in ("follows", "looks_again", "tiles_right")
    )


def test_a_true_description_holds_no_conflict():
    for reads in ("description", "picture"):
        assert np.isnan(mean_of("follows", measured(reads, "prefill")))


def test_each_start_gets_the_description_of_the_next_also_when_repeated():
    states = TASK.states("test", 3).repeat(2)
    settings = ObservationSettings("tiny", "brief", "swapped")
    batch = EpisodeBatch(TASK.game, states, settings, turns=1, repeats=2)
    begun = batch.query(np.arange(6)).begun
    true = (
        EpisodeBatch(
            TASK.game, states, ObservationSettings("tiny", "brief", "prefill"), turns=1, repeats=2
        )
        .query(np.arange(6))
        .begun
    )
    assert begun == [true[(row + 2) % 6] for row in range(6)]
    assert batch.query(np.array([5])).begun == [true[1]], "alone as in a batch"


def test_one_start_has_no_other_description():
    with pytest.raises(ConfigError, match="observation = 'swapped': allowed is for two starts"):
        EpisodeBatch(
            TASK.game,
            TASK.states("test", 1).repeat(3),
            ObservationSettings("tiny", "brief", "swapped"),
            turns=1,
            repeats=3,
        )


def test_a_trace_keeps_the_counts_and_a_summary_tells_them(tmp_path):
    settings = Evaluation(episodes=4, start="walk", turns=1, observation="swapped")
    summary = evaluate(Follower("description"), TASK, settings, tmp_path / "run", progress=False)
    turns = load_trace(tmp_path / "run" / "trace.jsonl").turns
    assert all(len(turn.named_tiles) == len(NamedTiles._fields) for turn in turns)
    assert summary["metrics"]["follows"]["mean"] == 1
    assert {"follows", "looks_again", "tiles_right"} <= METRICS.keys()
