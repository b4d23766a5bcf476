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
    generator = np.random.default_rng(0)
    actions: list[int] = generator.integers(count, size=ANSWERS_TRIED).tolist()
    return actions


def _check_unclear(case: Case, text: str) -> None:
    """An unclear answer is no action, with a reason that is known."""
    decoded = case.game.decode(case.level, text)
    is_action = decoded.action != NO_ACTION
    encoded = case.game.encode(case.level, decoded.action) if is_action else ""
    is_exact = _letters(encoded) == _letters(text)
    need(
        not is_action or is_exact,
        f"decode({text[:20]!r}) guesses {encoded!r}: allowed is no action with a reason",
    )
    reasons = {problem.value for problem in Problem} - {"none"}
    need(
        decoded.problem in reasons or decoded.action >= 0,
        f"decode({text[:20]!r}) gives the unknown reason {decoded.problem!r}",
    )


def _letters(text: str) -> str:
    """A text without blanks, in small letters."""
    return "".join(text.lower().split())


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
    has_marks = any("|" in name or "\n" in name for name in names)
    need(not has_marks, "a name holds | or a line break")
    are_trimmed = all(name and name == name.strip() for name in names)
    need(are_trimmed, "a name is empty or begins or ends with a blank")
    have_names = scene.symbols.min() >= 0 and scene.symbols.max() < len(names)
    need(have_names, "a symbol has no name")
    said = {"unnamed": case.game.unnamed}
    if case.game.covered is not None:
        said["covered"] = case.game.covered
    for name, symbol in said.items():
        is_symbol = isinstance(symbol, (int, np.integer)) and 0 <= symbol < len(names)
        need(
            is_symbol,
            f"{name} = {symbol!r}: allowed is the number of a symbol, 0 to {len(names) - 1}",
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
    generator = np.random.default_rng(0)
    shape = (64, *scene.symbols.shape[1:])
    boards = generator.integers(0, len(scene.names), shape, np.int16)
    actions = generator.integers(0, game.n_actions(case.level), 64)
    success = game.would_succeed(case.level, boards, actions)
    need(
        success.shape == (64,),
        "would_succeed() on 64 described boards does not give (64,)",
    )
