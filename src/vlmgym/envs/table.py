"""What single and batched environments share: game, level, look, spaces, openings, turns, infos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from vlmgym.core import (
    SPLITS,
    ActionError,
    ConfigError,
    Game,
    Level,
    State,
    concat,
    seeds_for,
    whole,
)
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import judge
from vlmgym.envs.rows import put_rows, spread
from vlmgym.games import get_game
from vlmgym.render.frames import frame_size
from vlmgym.render.looks import Look, get_look

ACTIONS = ("discrete", "text")

REWARDS = ("game", "gain", "score")

TEXT_LIMIT = 16_384
"""Longest reply of the text action space, in characters."""

KEYS = 1 << 62
"""Keys of games that are dealt at random lie below: they are of the split ``train``."""


class KeywordError(ConfigError, TypeError):
    """A keyword that the environments of this game do not take, worded as Python does, which
    TorchRL waits for.

    Made from its message alone as well, since ``gymnasium.make`` raises it once more with a longer
    one.
    """

    def __init__(
        self, message: str, name: str = "", value: object = None, allowed: str = ""
    ) -> None:
        super(ConfigError, self).__init__(message)
        self.name, self.value, self.allowed = name, value, allowed


@dataclass
class Turn:
    """What one turn of ``B`` games did."""

    after: State
    reward: NDArray[np.float64]  # (B,)
    info: dict[str, Any]  # arrays (B,), and a dict of such arrays for the reward terms
    played: NDArray[np.bool_]  # (B,) the other rows had ended and were left alone


class Table:
    """What single and batched environments share: game, level, look, spaces, openings, turns and
    infos.
    """

    def __init__(
        self,
        game: str | Game,
        level: str | Level,
        look: str | Look,
        action: str,
        mode: str,
        reward: str,
        reply: str | Mapping[str, Any] | prompt.Blocks,
        **fields: Any,
    ) -> None:
        for name, value, allowed in (
            ("action", action, ACTIONS),
            ("mode", mode, prompt.MODES),
            ("reward", reward, REWARDS),
        ):
            if value not in allowed:
                raise ConfigError(name, value, "one of " + ", ".join(allowed))
        self.game = get_game(game)
        _check_keywords(self.game, fields)
        self.level = self.game.level(level, **fields)
        self.look = get_look(look)
        self.names = (
            self.game.name if isinstance(game, Game) else str(game),
            self.game.level_name(level, fields),
        )
        self.action, self.mode, self.reward = action, mode, reward
        height, width = frame_size(self.game, self.level, self.look)
        self.observation_space = gym.spaces.Box(0, 255, (height, width, 3), np.uint8)
        self.action_space: gym.Space[Any]
        if action == "text":
            charset = "".join(map(chr, [9, 10, *range(32, 127)]))
            self.action_space = gym.spaces.Text(TEXT_LIMIT, min_length=0, charset=charset)
        else:
            self.action_space = gym.spaces.Discrete(
                whole(
                    f"{type(self.game).__name__}.n_actions()",
                    self.game.n_actions(self.level),
                    (1 << 31) - 1,
                    1,
                )
            )
        self.blocks = prompt.Blocks.of(reply)
        self.prompt = prompt.prompt_text(self.game, self.level, blocks=self.blocks)

    # ---- openings
    def open(
        self,
        options: Mapping[str, Any] | None,
        keys: NDArray[np.uint64],
        rows: NDArray[np.int64],
        count: int,
    ) -> State:
        """The games of some rows: those that the options of ``reset`` name, else fresh ones.

        Args:
            options: of ``reset``; each value is one for all ``count`` rows, or a list of one a row.
            keys: ``(len(rows),)`` drawn at random, for the games that no option names.
            rows: which rows are opened.
            count: rows of the environment.
        """
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            raise ConfigError("options", options, "a dict with split and index, or with state")
        for key, value in options.items():
            if key not in ("split", "index", "state"):
                raise ConfigError(f"options[{key!r}]", value, "split and index, or state")
        if "state" in options:
            if len(options) > 1:
                raise ConfigError("options", sorted(options), "split and index, or state alone")
            return self.given(options["state"], count)[rows]
        if "index" in options and "split" not in options:
            raise ConfigError(
                "options['index']",
                options["index"],
                "an index of a split: name it as well, as options['split']",
            )
        if "split" in options:
            splits = _each("options['split']", options["split"], count)
            indices = _each("options['index']", options.get("index"), count)
            keys = np.array(
                [
                    self.key(splits[row], indices[row], key)
                    for row, key in zip(rows, keys, strict=True)
                ],
                np.uint64,
            )
        return self.game.reset(self.level, keys)

    def key(self, split: object, index: object, drawn: np.uint64) -> np.uint64:
        """The seed of game ``index`` of a split, as evaluations play it; without an index, one at
        random.
        """
        if split not in SPLITS:
            raise ConfigError("options['split']", split, "one of " + ", ".join(SPLITS))
        if index is None:
            return drawn | np.uint64(SPLITS.index(str(split)) << 62)
        if (
            isinstance(index, bool)
            or not isinstance(index, (int, np.integer))
            or not 0 <= index < KEYS
        ):
            raise ConfigError("options['index']", index, f"a whole number from 0 to {KEYS - 1}")
        return np.uint64(seeds_for(str(split), *self.names, 1, int(index))[0])

    def given(self, states: object, count: int) -> State:
        """Copies of ``count`` states that are given as values or bytes, in one piece or as a list.

        Raises:
            StateError: bytes of another game, or damaged.
            ConfigError: another level or number of games, or a game that has ended.
        """
        read = []
        for part in states if isinstance(states, (list, tuple)) else [states]:
            if not isinstance(part, (bytes, State)):
                raise ConfigError(
                    "options['state']",
                    type(part).__name__,
                    "a State, its bytes, or a list of these",
                )
            given = self.game.from_bytes(part) if isinstance(part, bytes) else part
            if given.level != self.level:
                raise ConfigError("level of options['state']", given.level, str(self.level))
            # a checked copy
            read.append(
                given if isinstance(part, bytes) else self.game.from_bytes(part.to_bytes(self.game))
            )
        batch = concat(read)
        if len(batch) not in (1, count):
            raise ConfigError("options['state']", f"{len(batch)} games", f"one game, or {count}")
        if batch.ended.any():
            raise ConfigError("options['state']", "a game that has ended", "a game that goes on")
        return batch if len(batch) == count else batch.repeat(count)

    # ---- turns
    def actions(self, actions: Any, count: int) -> Any:
        """Actions as ``(count,)`` int64, or as a list of ``count`` texts.

        Raises:
            ActionError: another number, or not whole numbers (texts).
        """
        what = (
            "texts"
            if self.action == "text"
            else (f"whole numbers 0 to {self.game.n_actions(self.level) - 1}")
        )
        allowed = f"allowed are {count} {what}" if count > 1 else f"allowed is one of the {what}"
        if self.action == "text":
            if isinstance(actions, str) or not hasattr(actions, "__len__") or len(actions) != count:
                raise ActionError(f"actions {_short(actions)}: {allowed}")
            wrong = [action for action in actions if not isinstance(action, str)]
            if wrong:
                raise ActionError(f"action {_short(wrong[0])}: {allowed}")
            return [str(action) for action in actions]
        if isinstance(actions, (list, tuple)) and any(
            isinstance(action, (bool, np.bool_)) for action in actions
        ):
            raise ActionError(f"actions {_short(actions)}: {allowed}")
        try:
            ids = np.asarray(actions)
        except ValueError:  # rows of several lengths
            ids = np.empty(0, object)
        if ids.dtype.kind not in "iu" or ids.shape != (count,):
            raise ActionError(f"actions {_short(actions)}: {allowed}")
        return ids

    def play(self, state: State, actions: Any) -> Turn:
        """One turn of every game that has not ended; the others are left alone, with reward 0.

        Args:
            state: ``B`` games.
            actions: of :meth:`actions`; those of games that have ended are not looked at.
        """
        live = ~state.ended
        if live.all():
            return self._play(state, actions)
        if not live.any():
            return Turn(state, np.zeros(len(state)), {}, live)
        rows = np.flatnonzero(live)
        some = self._play(
            state[rows], [actions[row] for row in rows] if self.action == "text" else actions[rows]
        )
        reward = np.zeros(len(state))
        reward[rows] = some.reward
        return Turn(put_rows(state, live, some.after), reward, spread(some.info, live), live)

    def _play(self, state: State, actions: Any) -> Turn:
        info: dict[str, Any]
        if self.action == "text":
            after, judged = judge(self.game, state, actions, self.mode, blocks=self.blocks)
            good = np.array([j.terms["game"] > 0 for j in judged])
            gain, changed = (
                np.array([j.gain for j in judged], np.int64),
                np.array([j.changed for j in judged]),
            )
            info = {
                "action": np.array([j.reply.action for j in judged], np.int64),
                "problem": np.array([str(j.reply.problem) for j in judged], object),
                "fault": np.array([str(j.fault) for j in judged], object),
                "terms": {
                    name: np.array([j.terms[name] for j in judged]) for name in judged[0].terms
                },
            }
        else:
            after, outcome = self.game.step(state, actions)
            good, gain, changed = (
                self.game.success(state, actions, outcome),
                outcome.gain,
                outcome.changed,
            )
            info = {}
        if self.reward == "game":
            reward = np.where(good, 1.0, -1.0)
        else:
            reward = (
                gain.astype(np.float64)
                if self.reward == "gain"
                else np.where(after.ended, after.score, 0).astype(np.float64)
            )
        return Turn(
            after,
            reward,
            {"gain": gain.copy(), "changed": changed.copy(), **info},
            np.ones(len(state), bool),
        )

    def look_at(self, state: State) -> dict[str, Any]:
        """What the infos say of any state: arrays of ``(B,)``, the legal actions ``(B, A)``."""
        return {
            "prompt": np.array([self.prompt] * len(state), object),
            "truth": np.array(prompt.truth(self.game, state), object),
            "legal": self.game.legal(state).copy(),
            "score": state.score.copy(),
        }


def _check_keywords(game: Game, fields: Mapping[str, Any]) -> None:
    level = game.level_type.__name__
    known = list(game.level_type.__dataclass_fields__)
    for name, value in fields.items():
        if name not in known:
            allowed = "one of the fields " + ", ".join(known)
            text = (
                f"got an unexpected keyword argument '{name}': {level}.{name} = {value!r}: "
                f"allowed is {allowed}"
            )
            raise KeywordError(text, f"{level}.{name}", value, allowed)


def _short(value: object) -> str:
    text = (
        f"of shape {value.shape} and type {value.dtype}"
        if isinstance(value, np.ndarray) and value.ndim
        else repr(value)
    )
    return text if len(text) <= 80 else text[:77] + "..."


def _each(name: str, value: Any, count: int) -> Sequence[Any]:
    """One value a row: a list is one already, anything else is for all rows."""
    if isinstance(value, (list, tuple, np.ndarray)):
        if np.ndim(np.asarray(value, object)) != 1 or len(value) != count:
            raise ConfigError(name, value, f"one value, or a list of {count}")
        return list(value)
    return [value] * count
