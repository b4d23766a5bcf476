"""Games of others: a method gives what its contract says, or the caller gets one sentence that
names it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

import numpy as np

from vlmgym.core import KINDS, NO_ACTION, Decoded, Game, Level, Outcome, Scene, State, VlmGymError
from vlmgym.core.errors import one_line

Rule = Callable[[Game, tuple[Any, ...], Any], str]
"""Looks at what a method returned for its arguments; returns what is allowed if that is something
else, else an empty text.
"""
Shape = Callable[[Game, tuple[Any, ...]], tuple[int, ...]]
"""The shape of an array that a method returns for its arguments."""


class GameError(VlmGymError):
    """A method of a game that is not of this package raised something, or returned what its
    contract does not allow.
    """


def guard(game: Game) -> None:
    """See to it that the methods of a game's class raise nothing but errors of vlmgym, and return
    what they should.

    Methods that vlmgym itself wrote are left as they are. The class is changed, once.
    """
    for owner in type(game).__mro__:
        if owner is object or owner.__module__.partition(".")[0] == "vlmgym":
            continue
        for name in _RULES.keys() & owner.__dict__.keys():
            method = owner.__dict__[name]
            if callable(method) and not hasattr(method, "_guarded"):
                setattr(owner, name, _guarded(method, name, _RULES[name]))


def _guarded(method: Callable[..., Any], name: str, rule: Rule) -> Callable[..., Any]:
    @wraps(method)
    def checked(self: Game, *arguments: Any, **named: Any) -> Any:
        where = f"{type(self).__module__}.{type(self).__qualname__}.{name}"
        try:
            result = method(self, *arguments, **named)
        except VlmGymError:
            raise
        except (Exception, SystemExit) as error:
            raise GameError(
                f"{where}: it raised {type(error).__name__}: {error}{_place(error)}"
            ) from error
        if named:
            arguments = tuple(signature(method).bind(self, *arguments, **named).arguments.values())[
                1:
            ]
        if allowed := rule(self, arguments, result):
            raise GameError(f"{where}: it returned {_shown(result)}, allowed is {allowed}")
        return result

    checked._guarded = True  # type: ignore[attr-defined]
    return checked


def _place(error: BaseException) -> str:
    """The line of the game's own code that raised, or called what raised."""
    own_frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not _is_installed(frame.filename)
    ]
    return f" ({own_frames[-1].filename}, line {own_frames[-1].lineno})" if own_frames else ""


def _is_installed(file: str) -> bool:
    return "site-packages" in file or file.startswith(
        (sys.base_prefix, __file__.rpartition("games")[0])
    )


def _shown(value: object) -> str:
    """A value in short: arrays as their type and shape."""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    if isinstance(value, State):
        return f"a {type(value).__name__} of {len(value)} rows"
    if isinstance(value, tuple):
        return f"({', '.join(_shown(item) for item in value[:4])})"
    try:
        return one_line(repr(value), 200)
    except Exception:  # noqa: BLE001 - a repr is code of the game as well
        return f"a {type(value).__name__}"


def _array(value: object, kinds: str, shape: tuple[int, ...]) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in kinds and value.shape == shape


def _level(game: Game, level: Any) -> Level:
    return level if isinstance(level, Level) else game.level(level)


# ---- the rules
def _count(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    fits = (
        isinstance(result, int | np.integer)
        and not isinstance(result, bool)
        and 1 <= result < 1 << 31
    )
    return "" if fits else "a whole number of actions, 1 or more"


def _words(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    return "" if isinstance(result, str) else "a text"


def _states(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    rows = len(arguments[1])
    fits = (
        isinstance(result, game.state_type)
        and isinstance(result.level, game.level_type)
        and len(result) == rows
    )
    return "" if fits else f"a {game.state_type.__name__} of {rows} rows"


def _per_action(game: Game, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    return len(arguments[0]), game.n_actions(arguments[0].level)


def _per_row_of(place: int) -> Shape:
    return lambda game, arguments: (len(arguments[place]),)


def _as_tried(game: Game, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    return np.shape(arguments[1])


def _array_of(kinds: str, words: str, shape_of: Shape) -> Rule:
    """The rule of a method that returns an array whose shape follows from its arguments."""

    def rule(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
        shape = shape_of(game, arguments)
        return "" if _array(result, kinds, shape) else f"an array {shape} of {words}"

    return rule


def _drawn(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    shape = (len(arguments[0]),)
    count = game.n_actions(arguments[0].level)
    fits = _array(result, "i", shape) and bool(((result >= NO_ACTION) & (result < count)).all())
    return "" if fits else f"an array {shape} of action ids, {NO_ACTION} to {count - 1}"


def _turn(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    rows = len(arguments[0])
    fits = (
        isinstance(result, tuple)
        and len(result) == 2
        and isinstance(result[0], game.state_type)
        and isinstance(result[1], Outcome)
        and len(result[0]) == rows
        and _array(result[1].gain, "i", (rows,))
        and _array(result[1].changed, "b", (rows,))
        and _array(result[1].terminated, "b", (rows,))
    )
    allowed = (
        f"a {game.state_type.__name__} and an Outcome of {rows} rows (gain: whole numbers; "
        "changed, terminated: bool)"
    )
    return "" if fits else allowed


def _scene(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    rows = len(arguments[0])
    if not isinstance(result, Scene):
        return "a Scene"
    symbols = result.symbols
    names = result.names
    if (
        not isinstance(symbols, np.ndarray)
        or symbols.dtype.kind not in "iu"
        or symbols.ndim != 3
        or len(symbols) != rows
    ):
        return f"a Scene whose symbols are an array ({rows}, rows, columns) of whole numbers"
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        return "a Scene whose names are a tuple of texts"
    if result.kind not in KINDS:
        return f"a Scene whose kind is one of {', '.join(KINDS)}"
    if symbols.size and not 0 <= symbols.min() <= symbols.max() < len(names):
        return f"a Scene whose symbols are 0 to {len(names) - 1}, one for each name"
    return ""


def _decoded(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    count = game.n_actions(_level(game, arguments[0]))
    typed = (
        isinstance(result, Decoded)
        and isinstance(result.action, int | np.integer)
        and isinstance(result.problem, str)
    )
    fits = typed and bool(NO_ACTION <= result.action < count)
    return (
        ""
        if fits
        else (f"a Decoded with an action of {NO_ACTION} to {count - 1} and a problem in words")
    )


def _ids(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    count = game.n_actions(arguments[0].level)
    fits = isinstance(result, list) and all(
        isinstance(action, int | np.integer) and 0 <= action < count for action in result
    )
    return "" if fits else f"a list of action ids, 0 to {count - 1}"


def _reasoned(game: Game, arguments: tuple[Any, ...], result: Any) -> str:
    count = game.n_actions(arguments[0].level)
    if isinstance(result, tuple) and len(result) == 2:
        words, action = result
        typed = isinstance(words, str) and isinstance(action, int | np.integer)
        if typed and NO_ACTION <= action < count:
            return ""
    return f"a text and an action id, {NO_ACTION} to {count - 1}"


_RULES: dict[str, Rule] = {
    "n_actions": _count,
    "encode": _words,
    "rules": _words,
    "answer_format": _words,
    "explain": _words,
    "uncovered": _words,
    "decode": _decoded,
    "reset": _states,
    "from_symbols": _states,
    "legal": _array_of("b", "bool", _per_action),
    "possible": _array_of("b", "bool", _per_action),
    "points": _array_of("f", "floats", _per_row_of(0)),
    "success_mask": _array_of("b", "bool", _per_action),
    "oracle": _array_of("f", "floats", _per_action),
    "success": _array_of("b", "bool", _per_row_of(0)),
    "would_succeed": _array_of("b", "bool", _per_row_of(1)),
    "_try": _array_of("b", "bool", _as_tried),
    "draw_legal": _drawn,
    "_step": _turn,
    "scene": _scene,
    "candidates": _ids,
    "reasoning": _reasoned,
}
