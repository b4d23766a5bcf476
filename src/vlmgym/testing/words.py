"""Checks of what is said and read: answers, rules, explanations, boards as text."""

from __future__ import annotations

import numpy as np

from vlmgym.core import NO_ACTION
from vlmgym.dialogue import prompt
from vlmgym.testing.cases import Case, need


def answers(case: Case) -> str:
    """encode() and decode(): inverse of each other, and total."""
    game, count = case.game, case.game.n_actions(case.level)
    ids = (
        range(count)
        if count <= 3000
        else np.random.default_rng(0).integers(count, size=3000).tolist()
    )
    for action in ids:
        text = game.encode(case.level, action)
        back = game.decode(case.level, text)
        need(
            back.action == action,
            f"decode(encode({action})) = decode({text!r}) = {back.action} {back.problem}",
        )
        need(
            game.decode(case.level, f"\n {text} ").action == action,
            f"blanks around {text!r} change the answer",
        )
    problems = {p.value for p in prompt.Problem}
    first, last = game.encode(case.level, 0), game.encode(case.level, count - 1)
    garbage = (
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
        f"{count}{count}",
    )
    for text in (*garbage, f"{first} or {last}", f"not {first}", f"{last}?"):
        found = game.decode(case.level, text)
        said = "" if found.action == NO_ACTION else game.encode(case.level, found.action)
        same = "".join(said.lower().split()) == "".join(text.lower().split())
        need(
            found.action == NO_ACTION or same,
            f"decode({text[:20]!r}) guesses {said!r}: allowed is no action with a reason",
        )
        need(
            found.problem in problems - {"none"} or found.action >= 0,
            f"decode({text[:20]!r}) gives the unknown reason {found.problem!r}",
        )
    return f"{count} actions"


def texts(case: Case) -> str:
    """rules(), answer_format(), explain() and candidates()."""
    game, level = case.game, case.level
    for style in prompt.STYLES:
        need(prompt.prompt_text(game, level, style).strip(), f"the {style} prompt is empty")
    need(len(game.rules(level)) > 40, "rules() is too short to play by")
    need(game.answer_format(level).strip(), "answer_format() is empty")
    state = case.live()
    for row in range(0, len(state), 7):
        for action in game.candidates(state, row):
            need(0 <= action < game.n_actions(level), f"candidate {action} is no action")
            said = game.explain(state, row, action)
            need(
                said.strip() and "\n" not in said and "<" not in said and ";" not in said,
                f"explain gives {said!r}",
            )
    return ""


def scene_and_text(case: Case) -> str:
    """scene(), from_symbols(), unnamed, and the names of the symbols (each different when read
    without case).
    """
    game, state = case.game, case.states
    scene = game.scene(state)
    if scene.pixels is not None:
        return "the game shows a finished picture: no truth text"
    first = game.sample(case.level)
    need(
        scene.symbols.shape == (len(state), *first.symbols.shape[1:]),
        "the grid changes its size within a level",
    )
    need(scene.names == first.names, "the names change within a level")
    need(
        len({n.lower() for n in scene.names}) == len(scene.names), "two symbols have the same name"
    )
    need(not any("|" in n or "\n" in n for n in scene.names), "a name holds | or a line break")
    need(
        all(n and n == n.strip() for n in scene.names),
        "a name is empty or begins or ends with a blank",
    )
    need(
        scene.symbols.min() >= 0 and scene.symbols.max() < len(scene.names), "a symbol has no name"
    )
    stands = isinstance(game.unnamed, (int, np.integer)) and 0 <= game.unnamed < len(scene.names)
    need(
        stands,
        f"unnamed = {game.unnamed!r}: allowed is the number of a symbol, 0 to "
        f"{len(scene.names) - 1}",
    )
    texts = scene.texts()
    for row in range(len(state)):
        back = prompt.read_perception(texts[row], scene)
        need(
            back.exact(scene.symbols[row]),
            f"the truth text of row {row} is not read back:\n{texts[row]}",
        )
    again = game.from_symbols(case.level, scene.symbols)
    need(
        (game.scene(again).symbols == scene.symbols).all(),
        "from_symbols gives a state that looks different",
    )
    live = ~state.ended
    need(
        (game.legal(again)[live] == game.legal(state)[live]).all(),
        "from_symbols gives a state with other legal actions",
    )
    rng = np.random.default_rng(0)
    odd = rng.integers(0, len(scene.names), (64, *scene.symbols.shape[1:]), np.int16)
    actions = rng.integers(0, game.n_actions(case.level), 64)
    need(
        game.would_succeed(case.level, odd, actions).shape == (64,),
        "would_succeed() on 64 described boards does not give (64,)",
    )
    return (
        f"{len(scene.names)} symbols on {scene.symbols.shape[1]} x {scene.symbols.shape[2]} cells"
    )
