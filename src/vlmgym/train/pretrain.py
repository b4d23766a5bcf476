"""The rows that the embedded model is pretrained on: what it sees, what it knows of moves, and how
it plays before anything has taught it to.

Two demonstrators make two bases. ``search``: asked about the moves, it says the teacher's search;
so the base holds it, and RL can elicit it. ``plain``: it is asked about *one* move, whether it
works and what comes of it; no row looks for a move, so what RL or a cold start add is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import Game, Scene, State
from vlmgym.core.random import PRETRAINING_STATES
from vlmgym.dialogue import prompt
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import BLOCKS
from vlmgym.episodes.task import Task
from vlmgym.games.parts.action_texts import name_tiles, write_cell
from vlmgym.players.base import player_rng
from vlmgym.players.beginner import Beginner
from vlmgym.train.recipe import PRETRAINING_SHARES, Pretraining
from vlmgym.train.rows import rows

WORKS = "good"
"""The verdict of a move that works."""
FAILS = "no"
"""The verdict of any other."""
COMPARISON_SALT = 2
MOVE_SALT = 3


def pretraining_rows(
    tasks: Sequence[Task], settings: Pretraining, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """A repeatable, endless stream of rows, the games mixed by their weights; another ``seed`` has
    other states and other guesses.
    """
    for number in count():
        lists = chain.from_iterable(_lists_of(task, settings, number, seed) for task in tasks)
        mixed = _interleaved(list(lists))
        for start in range(0, len(mixed), settings.near):
            yield from sorted(mixed[start : start + settings.near], key=_length_of_answer)


def _lists_of(
    task: Task, settings: Pretraining, number: int, seed: int
) -> list[list[dict[str, Any]]]:
    """The rows of a game in round ``number``: about moves, what is the same, and moves made."""
    states = round(settings.chunk * task.weight)
    first = seed * PRETRAINING_STATES + number * states
    state = task.states("pretrain", states, first, hopeless=True)
    about_moves, same, _ = PRETRAINING_SHARES[settings.moves]
    asked = round(states * about_moves)
    compared = round(states * (about_moves + same))
    searches = settings.moves == "search"
    return [
        _search_rows(task, state[:asked]) if searches else _move_rows(task, state[:asked]),
        _comparison_rows(task, state[asked:compared]),
        _play_rows(task, state[compared:], searches),
    ]


def _search_rows(task: Task, state: State) -> list[dict[str, Any]]:
    """Rows that ask what the moves would do, answered by the search for one that works."""
    asked = task.override(prompt="moves")
    return rows(asked, state, Beginner(asked=True).reply(task.game, state))


def _play_rows(task: Task, state: State, searches: bool) -> list[dict[str, Any]]:
    """Rows that ask for a move, answered by guesses; now and then by a search, where that is
    known.
    """
    beginner = Beginner() if searches else Beginner(searches=0)
    return rows(task, state, beginner.reply(task.game, state))


# ---- which tiles are the same
def _comparison_rows(task: Task, state: State) -> list[dict[str, Any]]:
    """Rows that ask which tiles are the same."""
    asked = task.override(prompt="brief")
    return _ask(asked, state, ["same?"] * len(state), comparisons(task.game, state))


def comparisons(game: Game, state: State, pairs: int = 8) -> list[str]:
    """For each state, its board and pairs of cells with their tiles and whether these are the same,
    half of them if possible.
    """
    replies = []
    for row, description in enumerate(prompt.prefills(game, state, "brief")):
        generator = player_rng(COMPARISON_SALT, state, row)
        compared = _compared_pairs(game.scene(state[row]), generator, pairs)
        replies.append(description + BLOCKS.write(BLOCKS.think, "; ".join(compared)))
    return replies


def _compared_pairs(scene: Scene, generator: np.random.Generator, count: int) -> list[str]:
    """At most ``count`` pairs of cells, such as ``(0, 1) red circle (2, 3) red circle same``."""
    board = scene.symbols[0]
    cells = generator.permutation(np.argwhere(board > 0))
    pairs = []
    for cell in cells[:count]:
        first = tuple(cell)
        equal = board == board[first]
        unequal = (board > 0) & ~equal
        equal[first] = False
        same = equal.any() and (generator.random() < 0.5 or not unequal.any())
        others = np.argwhere(equal if same else unequal)
        if not len(others):
            continue
        second = tuple(others[generator.integers(len(others))])
        words = []
        for row, column in (first, second):
            words += [write_cell(row, column), scene.names[board[row, column]]]
        words.append("same" if same else "no")
        pairs.append(" ".join(words))
    return pairs


# ---- what one move does
def _move_rows(task: Task, state: State) -> list[dict[str, Any]]:
    """Rows that ask about one move: whether it works, and every second time what comes of it."""
    game = task.game
    moves = _asked_moves(game, state)
    texts = [game.encode(state.level, int(move)) for move in moves]
    questions = [f"{text}?" for text in texts]
    return _ask(task.override(prompt="brief"), state, questions, verdicts(game, state, moves))


def _asked_moves(game: Game, state: State) -> NDArray[np.int64]:
    """A move for each state: one that works in half of those that have any, else any other."""
    moves = []
    for row, works in enumerate(game.success_mask(state)):
        generator = player_rng(MOVE_SALT, state, row)
        wanted = works if works.any() and generator.random() < 0.5 else ~works
        candidates = np.flatnonzero(wanted) if wanted.any() else np.arange(len(works))
        moves.append(generator.choice(candidates))
    return np.array(moves, np.int64)


def verdicts(game: Game, state: State, moves: NDArray[np.int64]) -> list[str]:
    """For each state, its board, the tiles that a move names, whether it works, and the board after
    it where it does: ``(0, 1) red circle (2, 3) red circle good``.

    Args:
        game: the game.
        state: ``B`` states.
        moves: ``(B,)`` action ids.
    """
    after, outcome = game.step(state, moves)
    works = game.success(state, moves, outcome)
    boards_after = truth(game, after, "brief")
    replies = []
    for row, description in enumerate(prompt.prefills(game, state, "brief")):
        scene = game.scene(state[row])
        move = game.encode(state.level, int(moves[row]))
        thought = f"{name_tiles(move, scene.symbols[0], scene.names)} {FAILS}"
        if works[row]:
            thought = f"{thought.removesuffix(FAILS)}{WORKS}; {boards_after[row]}"
        replies.append(description + BLOCKS.write(BLOCKS.think, thought))
    return replies


# ---- rows
def _ask(
    task: Task, state: State, questions: Sequence[str], replies: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows with a question of their own after the name of the game."""
    text = prompt.prompt_text(task.game, task.level, task.prompt)
    asked = rows(task, state, replies)
    return [
        {**row, "prompt": prompt.messages(f"{text} {question}")}
        for row, question in zip(asked, questions, strict=True)
    ]


def _interleaved(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """The items of all lists, each list spread out evenly, in its own order."""
    places = []
    for number, items in enumerate(lists):
        places += [
            ((position + 0.5) / len(items), number, position) for position in range(len(items))
        ]
    return [lists[number][position] for _, number, position in sorted(places)]


def _length_of_answer(row: dict[str, Any]) -> int:
    return len(row["completion"][0]["content"][0]["text"])
