"""What the methods of games are given, made into what they work on.

:func:`guard_methods` wraps the methods that a class of games defines: a level's name becomes the
level, lists become arrays, and what is not of this game is refused. So no game looks at that
itself.
"""

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

Method = Callable[..., Any]


def action_ids(game: Any, level: Any, actions: Any) -> NDArray[np.int64]:
    """Action ids as an array of any shape.

    Raises:
        ActionError: no whole numbers, or an id outside ``-1 .. A - 1``.
    """
    count = game.n_actions(level)
    ids = integers(actions)
    allowed = f"allowed are 0 to {count - 1}, or -1 for no action"
    if ids is None:
        is_array = isinstance(actions, np.ndarray)
        received = f" of type {actions.dtype}" if is_array else f" = {one_line(repr(actions), 200)}"
        raise ActionError(f"actions{received} of {game.name}: {allowed}")
    if ids.size and not NO_ACTION <= int(ids.min()) <= int(ids.max()) < count:
        wrong = ids[(ids < NO_ACTION) | (ids >= count)].flat[0]
        raise ActionError(f"action {wrong} of {game.name}: {allowed}")
    return ids.astype(np.int64)


def row_actions(game: Any, level: Any, actions: Any, rows: int) -> NDArray[np.int64]:
    """One action id a row.

    Raises:
        ActionError: as :func:`action_ids`; or another number of them.
    """
    ids = action_ids(game, level, actions)
    if ids.shape != (rows,):
        raise ActionError(f"actions of shape {ids.shape}: allowed are ({rows},)")
    return ids


def action_id(game: Any, level: Any, action: Any) -> int:
    """The id of one action.

    Raises:
        ActionError: it is none of the level's.
    """
    count = game.n_actions(level)
    if type(action) is int and 0 <= action < count:
        return action
    try:
        return whole("action", action, count - 1)
    except ConfigError as error:
        received = one_line(repr(action), 200)
        allowed = f"allowed are 0 to {count - 1}"
        raise ActionError(f"action {received} of {game.name}: {allowed}") from error


def _row_number(game: Any, state: State, row: Any) -> int:
    """The number of a row of this state, which may count from the end."""
    game.belongs(state)
    if type(row) is int and -len(state) <= row < len(state):
        return row
    return whole("row", row, len(state) - 1, -len(state))


def _takes_level(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, level: Any, *arguments: Any, **options: Any) -> Any:
        if type(level) is not self.level_type:
            level = self.level(level)
        return method(self, level, *arguments, **options)

    return takes


def _takes_seeds(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, level: Any, seeds: Any, *arguments: Any, **options: Any) -> Any:
        return method(self, level, seed_array(seeds), *arguments, **options)

    return takes


def _takes_action(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, level: Any, action: Any, *arguments: Any, **options: Any) -> Any:
        action = action_id(self, self.level(level), action)
        return method(self, level, action, *arguments, **options)

    return takes


def _takes_number(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, state: State, number: Any = LEGAL_STREAM) -> Any:
        if type(number) is not int or not 0 <= number < 1 << 63:
            number = whole("number", number, WORD >> 1)
        return method(self, state, number)

    return takes


def _takes_text(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, level: Any, text: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(text, str):
            raise ConfigError("text", text, "the text of an answer")
        return method(self, level, text, *arguments, **options)

    return takes


def _takes_row(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, state: State, row: Any, *arguments: Any, **options: Any) -> Any:
        return method(self, state, _row_number(self, state, row), *arguments, **options)

    return takes


def _takes_row_and_action(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, state: State, row: Any, *arguments: Any, **options: Any) -> Any:
        row = _row_number(self, state, row)
        if "action" in options:
            options["action"] = action_id(self, state.level, options["action"])
        elif arguments:
            arguments = (action_id(self, state.level, arguments[0]), *arguments[1:])
        return method(self, state, row, *arguments, **options)

    return takes


def _takes_symbols(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, level: Any, symbols: Any, *arguments: Any, **options: Any) -> Any:
        level = self.level(level)
        return method(self, level, self.described(level, symbols), *arguments, **options)

    return takes


def _takes_symbols_and_actions(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, level: Any, symbols: Any, *arguments: Any, **options: Any) -> Any:
        level = self.level(level)
        symbols = self.described(level, symbols)
        if arguments:
            arguments = (row_actions(self, level, arguments[0], len(symbols)), *arguments[1:])
        return method(self, level, symbols, *arguments, **options)

    return takes


def _takes_state(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, state: Any, *arguments: Any, **options: Any) -> Any:
        if type(state) is not self.state_type or type(state.level) is not self.level_type:
            self.belongs(state)
        return method(self, state, *arguments, **options)

    return takes


def _takes_state_and_actions(method: Method) -> Method:
    @wraps(method)
    def takes(self: Any, state: Any, *arguments: Any, **options: Any) -> Any:
        if type(state) is not self.state_type or type(state.level) is not self.level_type:
            self.belongs(state)
        if arguments:
            arguments = (row_actions(self, state.level, arguments[0], len(state)), *arguments[1:])
        return method(self, state, *arguments, **options)

    return takes


_LEVEL = (_takes_level,)
_STATE = (_takes_state,)
_WRAPPERS: dict[str, tuple[Callable[[Method], Method], ...]] = {
    "n_actions": _LEVEL,
    "reset": (_takes_seeds, _takes_level),
    "encode": (_takes_action, _takes_level),
    "decode": (_takes_text, _takes_level),
    "rules": _LEVEL,
    "answer_format": _LEVEL,
    "from_symbols": (_takes_symbols,),
    "would_succeed": (_takes_symbols_and_actions,),
    "legal": _STATE,
    "success_mask": _STATE,
    "success": (_takes_state_and_actions,),
    "draw_legal": (_takes_number, _takes_state),
    "branch": _STATE,
    "_step": _STATE,
    "scene": _STATE,
    "view": _STATE,
    "oracle": _STATE,
    "counts_moves": _LEVEL,
    "points": _STATE,
    "possible": _STATE,
    "uncovered": (_takes_row_and_action, _takes_state),
    "explain": (_takes_row_and_action, _takes_state),
    "candidates": (_takes_row, _takes_state),
    "reasoning": (_takes_row, _takes_state),
    "believed": _STATE,
    "reasoning_by_habit": (_takes_row, _takes_state),
}
"""What the methods of a game are wrapped in, the innermost first."""


def guard_methods(game_class: type) -> None:
    """Wrap the methods that a class of games defines itself."""
    for name in _WRAPPERS.keys() & game_class.__dict__.keys():
        method = game_class.__dict__[name]
        for wrapper in _WRAPPERS[name]:
            method = wrapper(method)
        setattr(game_class, name, method)
