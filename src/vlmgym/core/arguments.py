"""What the methods of games are given, made into what they work on."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmgym.core.actions import NO_ACTION
from vlmgym.core.errors import ActionError, ConfigError, one_line
from vlmgym.core.random import LEGAL_STREAM, WORD, seed_array
from vlmgym.core.settings import integers, whole
from vlmgym.core.state import State


def action_ids(game: Any, level: Any, actions: Any) -> NDArray[np.int64]:
    """Action ids as an array of any shape."""
    count, ids = game.n_actions(level), integers(actions)
    allowed = f"allowed are 0 to {count - 1}, or -1 for no action"
    if ids is None:
        of = (
            f" of type {actions.dtype}"
            if isinstance(actions, np.ndarray)
            else f" = {one_line(repr(actions), 200)}"
        )
        raise ActionError(f"actions{of} of {game.name}: {allowed}")
    if ids.size and not NO_ACTION <= int(ids.min()) <= int(ids.max()) < count:
        bad = ids[(ids < NO_ACTION) | (ids >= count)].flat[0]
        raise ActionError(f"action {bad} of {game.name}: {allowed}")
    return ids.astype(np.int64)


def row_actions(game: Any, level: Any, actions: Any, n: int) -> NDArray[np.int64]:
    """One action id a row."""
    ids = action_ids(game, level, actions)
    if ids.shape != (n,):
        raise ActionError(f"actions of shape {ids.shape}: allowed are ({n},)")
    return ids


def action_id(game: Any, level: Any, action: Any) -> int:
    """The id of one action."""
    count = game.n_actions(level)
    if type(action) is int and 0 <= action < count:
        return action
    try:
        return whole("action", action, count - 1)
    except ConfigError as error:
        raise ActionError(
            f"action {one_line(repr(action), 200)} of {game.name}: allowed are 0 to {count - 1}"
        ) from error


_TAKE_LEVEL = {"n_actions", "reset", "encode", "decode", "rules", "answer_format"}
_TAKE_SEEDS, _TAKE_ACTION, _TAKE_ROW, _TAKE_TEXT = (
    {"reset"},
    {"encode"},
    {"explain", "candidates", "reasoning"},
    {"decode"},
)
_TAKE_NUMBER = {"draw_legal"}
_TAKE_SYMBOLS = {"from_symbols", "would_succeed"}
_TAKE_STATE = {
    "legal",
    "success_mask",
    "draw_legal",
    "branch",
    "_step",
    "success",
    "scene",
    "oracle",
    "explain",
    "candidates",
}
_TAKE_STATE |= {"reasoning", "view"}


def _takes_level(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Any, level: Any, *rest: Any, **named: Any) -> Any:
        return method(
            self, level if type(level) is self.level_type else self.level(level), *rest, **named
        )

    return takes


def _takes_seeds(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Any, level: Any, seeds: Any, *rest: Any, **named: Any) -> Any:
        return method(self, level, seed_array(seeds), *rest, **named)

    return takes


def _takes_action(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Any, level: Any, action: Any, *rest: Any, **named: Any) -> Any:
        return method(self, level, action_id(self, self.level(level), action), *rest, **named)

    return takes


def _takes_number(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Any, state: State, number: Any = LEGAL_STREAM) -> Any:
        return method(
            self,
            state,
            number
            if type(number) is int and 0 <= number < 1 << 63
            else whole("number", number, WORD >> 1),
        )

    return takes


def _takes_text(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Any, level: Any, text: Any, *rest: Any, **named: Any) -> Any:
        if not isinstance(text, str):
            raise ConfigError("text", text, "the text of an answer")
        return method(self, level, text, *rest, **named)

    return takes


def _takes_row(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Any, state: State, row: Any, *rest: Any, **named: Any) -> Any:
        self.belongs(state)
        if type(row) is not int or not -len(state) <= row < len(state):
            row = whole("row", row, len(state) - 1, -len(state))
        if method.__name__ == "explain":
            if "action" in named:
                named["action"] = action_id(self, state.level, named["action"])
            else:
                rest = (action_id(self, state.level, rest[0]), *rest[1:]) if rest else rest
        return method(self, state, row, *rest, **named)

    return takes


def _takes_symbols(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Any, level: Any, symbols: Any, *rest: Any, **named: Any) -> Any:
        level = self.level(level)
        symbols = self.described(level, symbols)
        if method.__name__ == "would_succeed" and rest:
            rest = (row_actions(self, level, rest[0], len(symbols)), *rest[1:])
        return method(self, level, symbols, *rest, **named)

    return takes


def _takes_state(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def takes(self: Any, state: Any, *rest: Any, **named: Any) -> Any:
        if type(state) is not self.state_type or type(state.level) is not self.level_type:
            self.belongs(state)
        if method.__name__ == "success" and rest:
            rest = (row_actions(self, state.level, rest[0], len(state)), *rest[1:])
        return method(self, state, *rest, **named)

    return takes


_TAKES = (
    (_TAKE_SEEDS, _takes_seeds),
    (_TAKE_ACTION, _takes_action),
    (_TAKE_TEXT, _takes_text),
    (_TAKE_NUMBER, _takes_number),
    (_TAKE_ROW, _takes_row),
    (_TAKE_LEVEL, _takes_level),
    (_TAKE_SYMBOLS, _takes_symbols),
    (_TAKE_STATE, _takes_state),
)


def guard_methods(kind: type) -> None:
    """Wrap the methods that a class of games defines: those that take a level take its name as
    well; all see that what they are given is of this game, or whole numbers.
    """
    for names, takes in _TAKES:
        for name in names & kind.__dict__.keys():
            setattr(kind, name, takes(kind.__dict__[name]))
