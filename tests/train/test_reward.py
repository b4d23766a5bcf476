"""Reward terms and error attribution on boards small enough to check by hand."""

import numpy as np
import pytest

from parts.tiny_tasks import TASKS
from vlmgym.core import ConfigError, seeds_for
from vlmgym.dialogue.judge import Fault, constant_cells, judge
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import MODES, Blocks, write_reply
from vlmgym.dialogue.weights import TERMS, Weights
from vlmgym.episodes.random_walk import walk
from vlmgym.games import GAMES, get_game, read_state_text
from vlmgym.players.simple import Random
from vlmgym.players.teacher import Teacher
from vlmgym.train.rewards import judge_rows, reward_functions

GAME = get_game("2048")
LEVEL = GAME.level("easy", rows=2, cols=2)
BOARD = GAME.from_symbols(LEVEL, np.array([[[1, 1], [2, 0]]], np.int16))  # 2 2 / 4 .
TRUE, WRONG = "2|2\n4|0", "2|8\n2|0"  # on the wrong board up and down merge


def one(reply, board=BOARD, **options):
    return judge(GAME, board, [reply], **options)[1][0]


@pytest.mark.parametrize(
    ("perception", "answer", "fault", "game"),
    [
        (TRUE, "3", Fault.NONE, 1),
        (WRONG, "3", Fault.NONE, 1),
        (TRUE, "0", Fault.REASONING, -1),
        (WRONG, "0", Fault.PERCEPTION, -1),
        ("4|8\n2|0", "0", Fault.BOTH, -1),
        ("no idea", "0", Fault.BOTH, -1),
        (TRUE, "up", Fault.FORMAT, -1),
    ],
)
def test_whose_fault(perception, answer, fault, game):
    judged = one(write_reply(perception, "x", answer))
    assert (judged.fault, judged.terms["game"]) == (fault, game)


@pytest.mark.parametrize(
    ("think", "fault"),
    [
        ("(0, 0) 2, (0, 1) 8, so they do not merge", Fault.MISREAD),
        ("(1, 1) 2 and (0, 0) 2", Fault.MISREAD),  # the board has a gap there
        ("(0, 0) 2, (0, 1) 2, (1, 0): 4", Fault.REASONING),
        ("up, I guess", Fault.REASONING),
        ("1: (0, 0) 2\n4: (0, 1) 2", Fault.REASONING),  # counted lines
        ("(7, 7) 8", Fault.REASONING),  # no cell of the board
    ],
)
def test_a_tile_misread_in_the_think_block_is_not_put_down_to_reasoning(think, fault):
    judged = one(write_reply(TRUE, think, "0"))
    assert judged.fault is fault
    assert (judged.p_acc, judged.terms["game"], judged.terms["perception"]) == (True, -1, 1)


@pytest.mark.parametrize(
    ("perception", "answer", "fault"),
    [
        (TRUE, "3", Fault.NONE),
        (WRONG, "0", Fault.PERCEPTION),
        ("4|8\n2|0", "0", Fault.BOTH),
        (TRUE, "nowhere", Fault.FORMAT),
    ],
)
def test_only_a_failed_move_after_a_right_description_is_a_misreading(perception, answer, fault):
    assert one(write_reply(perception, "(0, 0) 8", answer)).fault is fault


def test_a_guess_under_a_hidden_cell_is_no_misreading():
    game = get_game("Minesweeper")
    names = list(game.sample(game.level("tiny")).names)
    shown = np.full((4, 4), names.index("hidden"), np.int16)
    shown[0, 0] = 1
    board = game.from_symbols(game.level("tiny", mines=1), shown[None])
    described = "\n".join("|".join(names[symbol] for symbol in row) for row in shown)

    def fault(think):
        reply = write_reply(described, think, "(0, 0)")
        judged = judge(game, board, [reply])[1][0]
        return judged.fault, judged.named_tiles.named

    assert fault("(0, 1) mine, (1, 0) is a mine, (0, 0) 1") == (Fault.REASONING, 1)
    assert fault("(0, 1) mine, (0, 0) 2") == (Fault.MISREAD, 1)
    assert fault("(0, 1) hidden, (0, 0) hidden") == (Fault.MISREAD, 2)


def test_unavoidable():
    board = GAME.from_symbols(LEVEL, np.array([[[1, 2], [0, 0]]], np.int16))
    judged = one(write_reply("2|4\n0|0", "x", "2"), board)
    assert (judged.fault, judged.changed, judged.gain) == (Fault.UNAVOIDABLE, True, 0)


def test_terms():
    judged = one(write_reply("2|2\n8|0", "x", "3"))
    assert judged.terms == {
        "game": 1,
        "format": 1,
        "perception": 0,
        "cells": 0.75,
        "balanced": 0.5,
        "regret": 0,
        "value": 0,
    }
    assert one("<answer>3</answer>").terms == {
        "game": 1,
        "format": 0,
        "perception": 0,
        "cells": 0,
        "balanced": -0.5,
        "regret": 0,
        "value": 0,
    }
    assert one(write_reply(TRUE, "x", "none")).terms["regret"] == -1
    values = GAME.oracle(BOARD)[0]
    judged = one(write_reply(TRUE, "x", "0"))
    best, worst = np.nanmax(values), np.nanmin(values)
    expected = 1.0 if np.isnan(values[0]) else (best - values[0]) / (best - worst)
    assert judged.terms["regret"] == pytest.approx(-expected)
    assert np.isnan(one(write_reply(TRUE, "x", "0"), oracle=False).oracle_best)


def test_weights_are_the_papers_and_checked():
    terms = {
        "game": -1.0,
        "format": 1.0,
        "perception": 1.0,
        "cells": 1.0,
        "balanced": 0.5,
        "regret": -0.5,
        "value": 0.0,
    }
    assert Weights().total(terms) == 0
    assert Weights(perception=0.1, regret=2).total(terms) == pytest.approx(-0.9)
    with pytest.raises(ConfigError, match=r"Weights.speed"):
        Weights.parse({"speed": 1})


@pytest.mark.parametrize("name", GAMES)
def test_every_answer_of_a_group_meets_the_same_board(name):
    """Answers 2..n act on the state the model saw, even when answer 1 ended the game."""
    game = get_game(name)
    level = game.level("easy", max_steps=1)  # any answer ends the episode
    state = game.reset(level, seeds_for("train", name, "easy", 3)).repeat(5)
    replies = Teacher(0.0).reply(game, state)
    after, judged = judge(game, state, replies)
    assert all(j.changed for j in judged), "answers 2..n are stepped too"
    assert after.truncated.all()
    for i in range(0, 15, 5):
        assert len({after[k].to_bytes(game) for k in range(i, i + 5)}) == 1
    again, _ = judge(game, state, replies)
    assert again == after


@pytest.mark.parametrize("name", GAMES)
def test_global_randomness_is_neither_used_nor_touched(name):
    import random

    game = get_game(name)

    def run(noise):
        np.random.seed(noise)
        random.seed(noise)
        before = np.random.get_state()[1].tobytes(), random.getstate()
        state = game.reset(game.level("easy"), seeds_for("free", name, "g", 4))
        after, _ = judge(game, state, Random().reply(game, state))
        assert (np.random.get_state()[1].tobytes(), random.getstate()) == before
        return after

    assert run(1) == run(2)


@pytest.mark.parametrize("name", GAMES)
def test_an_unreadable_answer_is_no_move_anywhere(name):
    game = get_game(name)
    state = game.reset(game.level("easy"), seeds_for("free", name, "g", 2))
    after, judged = judge(game, state, ["gibberish", "<answer>(99, 99) (0, 0)</answer>"])
    assert np.array_equal(after.board, state.board)
    assert (after.steps == 1).all()
    assert all(j.fault is Fault.FORMAT and j.terms["game"] == -1 for j in judged)


def test_seeing_is_a_condition_of_the_game_term():
    right, wrong = (
        {
            "game": 1.0,
            "format": 1.0,
            "perception": seen,
            "cells": 0.9,
            "balanced": 0.8,
            "regret": 0.0,
            "value": 0.0,
        }
        for seen in (1.0, 0.0)
    )
    plain, strict = Weights(), Weights(seeing=True)
    assert plain.rewarded(wrong) is wrong
    assert strict.rewarded(right) == right
    assert strict.rewarded(wrong) == {**wrong, "game": -1.0}
    assert (plain.total(plain.rewarded(wrong)), strict.total(strict.rewarded(wrong))) == (2, 0)
    assert "seeing" not in strict.factors()


def test_training_rewards_are_the_evaluations_judgement():
    """Reward functions restore states from bytes, over several games in one batch, and agree with
    judge().
    """
    import base64

    functions, factors = reward_functions(Weights(perception=0.1))
    assert [f.__name__ for f in functions] == [
        "game",
        "format",
        "perception",
        "cells",
        "balanced",
        "regret",
        "value",
    ]
    assert factors == [1, 1, 0.1, 0, 0, 0, 0]
    states, texts, games, expected = [], [], [], []
    for task in TASKS:
        game = task.game
        state = task.states("train", 4)
        replies = Teacher(0.5).reply(game, state)
        expected += judge(game, state, replies)[1]
        states += [base64.b64encode(state[i].to_bytes(game)).decode() for i in range(4)]
        texts += replies
        games += [task.names.game] * 4
    order = np.random.default_rng(0).permutation(len(states))
    logged = {}
    completions = [[{"role": "assistant", "content": texts[i]}] for i in order]
    for function in functions:
        got = function(
            completions,
            state=[states[i] for i in order],
            game=[games[i] for i in order],
            log_metric=logged.__setitem__,
        )
        if function.__name__ != "regret":
            assert got == [expected[i].terms[function.__name__] for i in order]
    assert logged["success"] == np.mean([j.gain > 0 for j in expected])
    assert logged["p_acc"] == 1
    assert {"fault/none", "2048/success", "Swap/r_acc"} <= set(logged)
    judged, after = judge_rows([read_state_text(one) for one in states], texts, False)
    assert [j.gain for j in judged] == [j.gain for j in expected]
    assert all(
        batch.score[row] == read_state_text(one)[1].score[0] + j.gain
        for (batch, row), one, j in zip(after, states, judged, strict=True)
    )


def boards_of(name, count=40, level="easy"):
    """States in the middle of games, and their scene."""
    game = get_game(name)
    seeds = seeds_for("free", name, "farm", count)
    state = walk(game, game.level(level), seeds, 1 + np.arange(count) % 5, legal=True)
    return game, state, game.scene(state)


def one_tile(scene, name):
    _, rows, cols = scene.symbols.shape
    return "\n".join("|".join([name] * cols) for _ in range(rows))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", GAMES)
def test_no_reward_term_but_cells_is_had_without_looking(name, mode):
    """Silence, one tile for all cells, and hedges get nothing; what ``cells`` pays for one tile is
    its stated chance level.
    """
    game, state, scene = boards_of(name)
    least = {"game": -1, "format": 0, "perception": 0, "cells": 0, "regret": -1}
    for reply in (
        "",
        "no idea",
        "<perception>",
        "<think>0</think>",
        write_reply("?", "?", "?"),
        write_reply("", "", ""),
    ):
        for judged in judge(game, state, [reply] * len(state), mode)[1]:
            assert {term: judged.terms[term] for term in least} == least | {
                "format": float(judged.reply.well_formed)
            }
            assert -1 <= judged.terms["balanced"] <= 0
    kinds = [len(np.unique(board)) for board in scene.symbols]
    paid = []
    for tile in np.unique(scene.symbols):
        replies = [write_reply(one_tile(scene, scene.names[tile]), ".", "?")] * len(state)
        terms = [one.terms for one in judge(game, state, replies, mode)[1]]
        assert all(one["balanced"] <= 1e-9 for one in terms), scene.names[tile]
        assert not any(
            one["perception"] for one, many in zip(terms, kinds, strict=True) if many > 1
        )
        paid.append(np.mean([one["cells"] for one in terms]))
    assert constant_cells(scene.symbols) == pytest.approx(max(paid))
    hedged = []
    for board in scene.symbols:
        names = [scene.names[tile] for tile in np.unique(board)]
        hedged.append(
            write_reply(one_tile(scene, " or ".join([*names, "something else"])), ".", "?")
        )
    for judged in judge(game, state, hedged, mode)[1]:
        assert judged.terms["cells"] == judged.terms["perception"] == 0
        assert judged.terms["balanced"] <= 0


@pytest.mark.parametrize("name", GAMES)
def test_terms_stay_in_their_ranges_and_truth_gets_the_most(name):
    game, state, scene = boards_of(name)
    told, other = truth(game, state), truth(game, state[np.roll(np.arange(len(state)), 1)])
    most = judge(game, state, [write_reply(one, "so", "?") for one in told])[1]
    for judged, board in zip(most, scene.symbols, strict=True):
        terms = judged.terms
        assert tuple(terms) == TERMS
        assert (terms["format"], terms["perception"], terms["cells"]) == (1, 1, 1)
        assert terms["balanced"] == (1 if len(np.unique(board)) > 1 else 0)
    for judged in judge(game, state, [write_reply(one, "so", "?") for one in other])[1]:
        assert -1 <= judged.terms["balanced"] <= 1


def test_a_description_that_knows_the_mixture_but_not_the_board_gains_nothing_on_average():
    """Shuffled descriptions: the right number of each tile in the wrong places, so that every share
    is chance.
    """
    rng, found = np.random.default_rng(0), []
    game, state, scene = boards_of("ShisenSho", 200)
    replies = []
    for board in scene.symbols:
        words = np.array(scene.names)[rng.permuted(board.ravel()).reshape(board.shape)]
        replies.append(write_reply("\n".join("|".join(line) for line in words), ".", "?"))
    found = [one.terms["balanced"] for one in judge(game, state, replies)[1]]
    assert abs(np.mean(found)) < 4 * np.std(found) / len(found) ** 0.5


def test_rewards_are_judged_by_the_names_of_the_blocks():
    """The same reply under other names is worth the same, in the evaluation's judgement and in
    training's.
    """
    from vlmgym.games import state_text

    others = Blocks("seen", "reasoning", "move")
    usual, named = write_reply(TRUE, "x", "3"), write_reply(TRUE, "x", "3", others)
    assert one(named, blocks=others).terms == one(usual).terms
    assert one(named).terms["format"] == 0
    functions, _ = reward_functions(Weights())
    for function in functions[:2]:
        got = function(
            [usual, named, named],
            state=[state_text(GAME, BOARD)] * 3,
            game=["2048"] * 3,
            reply=["", str(others), ""],
        )
        assert got[0] == got[1] == 1
        assert got[2] < 1
