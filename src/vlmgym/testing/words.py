"""Checks of what is said and read: answers, rules, explanations, boards as text."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from vlmgym.core import NO_ACTION, Scene
from vlmgym.dialogue import prompt
from vlmgym.dialogue.perception import read_perception
from vlmgym.dialogue.reply import Problem
from vlmgym.testing.cases import Case, need

ANSWERS_TRIED = 3000
GARBAGE = (
    "",
    " ",
    "none",
    "-1",
    "?",
    "(",
    "up and away",
    "9" * 5000,
    "(1, 2" * 2000,
    "\x00",
    "１",
    "0.5",
)


def answers(case: Case) -> str:
    """encode() and decode(): inverse of each other, and total."""
    game = case.game
    count = game.n_actions(case.level)
    for action in _actions_tried(count):
        text = game.encode(case.level, action)
        decoded = game.decode(case.level, text)
        need(
            decoded.action == action,
            f"decode(encode({action})) = decode({text!r}) = {decoded.action} {decoded.problem}",
        )
        with_blanks = game.decode(case.level, f"\n {text} ")
        need(with_blanks.action == action, f"blanks around {text!r} change the answer")
    first = game.encode(case.level, 0)
    last = game.encode(case.level, count - 1)
    garbage = (*GARBAGE, f"{count}{count}")
    for text in (*garbage, f"{first} or {last}", f"not {first}", f"{last}?"):
        _check_unclear(case, text)
    return f"{count} actions"


def _actions_tried(count: int) -> Iterable[int]:
    if count <= ANSWERS_TRIED:
        return range(count)
    drawn: list[int] = np.random.default_rng(0).integers(count, size=ANSWERS_TRIED).tolist()
    return drawn


def _check_unclear(case: Case, text: str) -> None:
    """An unclear answer is no action, with a reason that is known."""
    decoded = case.game.decode(case.level, text)
    read = "" if decoded.action == NO_ACTION else case.game.encode(case.level, decoded.action)
    same = "".join(read.lower().split()) == "".join(text.lower().split())
    need(
        decoded.action == NO_ACTION or same,
        f"decode({text[:20]!r}) guesses {read!r}: allowed is no action with a reason",
    )
    reasons = {problem.value for problem in Problem} - {"none"}
    need(
        decoded.problem in reasons or decoded.action >= 0,
        f"decode({text[:20]!r}) gives the unknown reason {decoded.problem!r}",
    )


def texts(case: Case) -> str:
    """rules(), answer_format(), explain() and candidates()."""
    game = case.game
    level = case.level
    for style in prompt.STYLES:
        need(prompt.prompt_text(game, level, style).strip(), f"the {style} prompt is empty")
    need(len(game.rules(level)) > 40, "rules() is too short to play by")
    need(game.answer_format(level).strip(), "answer_format() is empty")
    state = case.live()
    for row in range(0, len(state), 7):
        for action in game.candidates(state, row):
            need(0 <= action < game.n_actions(level), f"candidate {action} is no action")
            text = game.explain(state, row, action)
            usable = text.strip() and not any(mark in text for mark in "\n<;")
            need(usable, f"explain gives {text!r}")
    return ""


def scene_and_text(case: Case) -> str:
    """scene(), from_symbols(), unnamed, and the names of the symbols (each different when read
    without case).
    """
    game = case.game
    scene = game.scene(case.states)
    if scene.pixels is not None:
        return "the game shows a finished picture: no truth text"
    _check_names(case, scene)
    _check_text_is_read_back(case, scene)
    _check_described_boards(case, scene)
    rows, cols = scene.symbols.shape[1:]
    return f"{len(scene.names)} symbols on {rows} x {cols} cells"


def _check_names(case: Case, scene: Scene) -> None:
    first = case.game.sample(case.level)
    same_size = scene.symbols.shape == (len(case.states), *first.symbols.shape[1:])
    need(same_size, "the grid changes its size within a level")
    names = scene.names
    need(names == first.names, "the names change within a level")
    need(len({name.lower() for name in names}) == len(names), "two symbols have the same name")
    broken = any("|" in name or "\n" in name for name in names)
    need(not broken, "a name holds | or a line break")
    trimmed = all(name and name == name.strip() for name in names)
    need(trimmed, "a name is empty or begins or ends with a blank")
    named = scene.symbols.min() >= 0 and scene.symbols.max() < len(names)
    need(named, "a symbol has no name")
    unnamed = case.game.unnamed
    stands = isinstance(unnamed, (int, np.integer)) and 0 <= unnamed < len(names)
    need(
        stands,
        f"unnamed = {unnamed!r}: allowed is the number of a symbol, 0 to {len(names) - 1}",
    )


def _check_text_is_read_back(case: Case, scene: Scene) -> None:
    texts_of_rows = scene.texts()
    for row in range(len(case.states)):
        perceived = read_perception(texts_of_rows[row], scene)
        need(
            perceived.exact(scene.symbols[row]),
            f"the truth text of row {row} is not read back:\n{texts_of_rows[row]}",
        )


def _check_described_boards(case: Case, scene: Scene) -> None:
    game = case.game
    described = game.from_symbols(case.level, scene.symbols)
    same_scene = (game.scene(described).symbols == scene.symbols).all()
    need(same_scene, "from_symbols gives a state that looks different")
    live = ~case.states.ended
    same_legal = (game.legal(described)[live] == game.legal(case.states)[live]).all()
    need(same_legal, "from_symbols gives a state with other legal actions")
    rng = np.random.default_rng(0)
    boards = rng.integers(0, len(scene.names), (64, *scene.symbols.shape[1:]), np.int16)
    actions = rng.integers(0, game.n_actions(case.level), 64)
    succeed = game.would_succeed(case.level, boards, actions)
    need(
        succeed.shape == (64,),
        "would_succeed() on 64 described boards does not give (64,)",
    )
