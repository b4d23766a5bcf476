"""Gymnasium environments over the games: single, and natively batched.

``gymnasium.make("vlmgym/2048-v0", level="paper", look="tiny")`` and
``gymnasium.make_vec("vlmgym/2048-v0", num_envs=128)``. ``import vlmgym`` registers them.
"""

from __future__ import annotations

import copy as copies
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
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
from vlmgym.core.threads import usable_cores
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import MODES, Blocks
from vlmgym.games import GAMES, get_game
from vlmgym.render.frames import Frames, frame_size, render
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
class _Turn:
    """What one turn of ``B`` games did."""

    after: State
    reward: NDArray[np.float64]  # (B,)
    info: dict[str, Any]  # arrays (B,), and a dict of such arrays for the reward terms
    played: NDArray[np.bool_]  # (B,) the other rows had ended and were left alone


class _Table:
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
        reply: str | Mapping[str, Any] | Blocks,
        **fields: Any,
    ) -> None:
        for name, value, allowed in (
            ("action", action, ACTIONS),
            ("mode", mode, MODES),
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
        self.blocks = Blocks.of(reply)
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

    def play(self, state: State, actions: Any) -> _Turn:
        """One turn of every game that has not ended; the others are left alone, with reward 0.

        Args:
            state: ``B`` games.
            actions: of :meth:`actions`; those of games that have ended are not looked at.
        """
        live = ~state.ended
        if live.all():
            return self._play(state, actions)
        if not live.any():
            return _Turn(state, np.zeros(len(state)), {}, live)
        rows = np.flatnonzero(live)
        some = self._play(
            state[rows], [actions[row] for row in rows] if self.action == "text" else actions[rows]
        )
        reward = np.zeros(len(state))
        reward[rows] = some.reward
        return _Turn(_put(state, live, some.after), reward, _spread(some.info, live), live)

    def _play(self, state: State, actions: Any) -> _Turn:
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
        return _Turn(
            after,
            reward,
            {"gain": gain.copy(), "changed": changed.copy(), **info},
            np.ones(len(state), bool),
        )

    def look_at(self, state: State) -> dict[str, Any]:
        """What the infos say of any state: arrays of ``(B,)``, the legal actions ``(B, A)``."""
        return {
            "prompt": np.array([self.prompt] * len(state), object),
            "truth": np.array(truth(self.game, state), object),
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


def _put(state: State, rows: NDArray[np.bool_], new: State) -> State:
    """``state`` with some rows replaced."""
    arrays, fresh = state.arrays(), new.arrays()
    for key, value in arrays.items():
        arrays[key] = value.copy()
        arrays[key][rows] = fresh[key]
    return state.with_arrays(arrays)


def _spread(values: Mapping[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Arrays of some rows as arrays of all rows: 0, False or None in the others."""
    if rows.all():
        return dict(values)
    out: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            out[key] = _spread(value, rows)
        else:
            out[key] = np.full(
                (len(rows), *value.shape[1:]), None if value.dtype == object else 0, value.dtype
            )
            out[key][rows] = value
    return out


def _masked(values: Mapping[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Arrays of all rows in the form of Gymnasium's batched infos: beside each key a mask of the
    rows that have it.
    """
    out: dict[str, Any] = {}
    for key, value in values.items():
        out[key] = _masked(value, rows) if isinstance(value, dict) else value
        out[f"_{key}"] = rows.copy()
    return out


def _first(values: Mapping[str, Any]) -> dict[str, Any]:
    """The infos of the only row, with plain numbers."""
    rows = {
        key: _first(value) if isinstance(value, dict) else value[0] for key, value in values.items()
    }
    return {
        key: value.item() if isinstance(value, np.generic) else value for key, value in rows.items()
    }


def _warn_of_no_mode() -> None:
    gym.logger.warn(
        "render() without a render mode gives nothing: make the environment with "
        "render_mode='rgb_array'"
    )


class GameEnv(gym.Env[NDArray[np.uint8], Any]):  # type: ignore[misc]
    """One game as a Gymnasium environment.

    Observation: the picture, ``(H, W, 3)`` uint8. ``info``: ``prompt``, ``truth``, ``legal`` (a
    mask of the actions), ``score``; after a step also ``gain`` and ``changed``; with text actions
    also ``action`` (the id that was read, or -1), ``problem`` (why none was), ``fault`` and
    ``terms`` (see :class:`vlmgym.dialogue.judge.Judgement`).

    Args:
        game: name of the game (see :func:`vlmgym.games.get_game`), or a Game.
        level: name or Level.
        look: name or Look.
        action: ``"discrete"`` (ids; -1 is a turn without an action) or ``"text"`` (whole replies;
            an unreadable one is a turn without an action).
        mode: parse mode of text actions.
        render_mode: ``"rgb_array"`` or None.
        copy: observations are new arrays. False: they are read-only views of one kept buffer,
            overwritten by the next call, in which only the cells that changed are drawn, which is
            far faster.
        reward: ``"game"``, the default: +1 if the move was good (did something), else -1.
            ``"gain"``: the points of this turn. ``"score"``: all points of the game with its last
            turn, 0 before. Points are whole numbers, 0 or more in the games of this package.
        reply: names of the blocks of text actions, as a Task takes them: ``"think=reasoning"``, a
            mapping, or ``prompt.Blocks``.
        fields: single fields of the level, overridden.

    Raises:
        ConfigError: an argument is not what is allowed.
        KeywordError: a field that the level does not have (a ConfigError and a TypeError).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        game: str | Game,
        level: str | Level = "normal",
        look: str | Look = "clean",
        action: str = "discrete",
        mode: str = "strict",
        render_mode: str | None = None,
        copy: bool = True,
        reward: str = "game",
        reply: str | Mapping[str, Any] | Blocks = "",
        **fields: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ConfigError("render_mode", render_mode, "None or 'rgb_array'")
        self.table = _Table(game, level, look, action, mode, reward, reply, **fields)
        self.observation_space, self.action_space = (
            self.table.observation_space,
            self.table.action_space,
        )
        self.render_mode = render_mode
        self._frames = (
            None if copy else Frames(self.table.game, self.table.level, self.table.look, 1)
        )
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The current state, a batch of one row.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() first")
        return self._state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """A fresh game; an equal seed gives an equal game.

        Args:
            seed: of this game and of all that follow without one.
            options: which game it is: ``{"split": "test", "index": 7}``, the one that evaluations
                play as number 7; ``{"split": "test"}``, any of the split; or ``{"state": state}``,
                a State or its bytes, of this level.

        Raises:
            ConfigError: an option is unknown, or not what is allowed.
            StateError: bytes of another game, or damaged.
        """
        super().reset(seed=_seed_of(seed, "a whole number, 0 or more, or None"))
        keys = self.np_random.integers(0, KEYS, 1, dtype=np.uint64)
        self._state = self.table.open(options, keys, np.zeros(1, np.int64), 1)
        return self._observe(), _first(self.table.look_at(self._state))

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """One turn. A game that has ended must be reset first.

        Raises:
            ActionError: no whole number of the action space (no text); nothing was played.
            gymnasium.error.ResetNeeded: the game has ended.
        """
        if self.state.ended[0]:
            raise gym.error.ResetNeeded("the game has ended: call reset()")
        turn = self.table.play(self.state, self.table.actions([action], 1))
        self._state = after = turn.after
        info = _first({**self.table.look_at(after), **turn.info})
        return (
            self._observe(),
            float(turn.reward[0]),
            bool(after.terminated[0]),
            bool(after.truncated[0]),
            info,
        )

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The picture of the current state, a new array; None, with a warning, without a render
        mode.
        """
        if self.render_mode is None:
            _warn_of_no_mode()
            return None
        return self._picture()

    def _picture(self) -> NDArray[np.uint8]:
        return render(self.table.game, self.state, self.table.look)[0]

    def _observe(self) -> NDArray[np.uint8]:
        return self._frames.draw(self.state)[0] if self._frames else self._picture()

    def action_masks(self) -> NDArray[np.bool_]:
        """``(A,)``: the actions that change something now; the name is the one that sb3-contrib's
        MaskablePPO asks for.
        """
        return self.table.game.legal(self.state)[0].copy()

    def snapshot(self) -> bytes:
        """Everything that the future of this game depends on."""
        return self.state.to_bytes(self.table.game)

    def restore(self, snapshot: bytes) -> NDArray[np.uint8]:
        """Go back to a snapshot (of this game and level); returns its picture.

        Raises:
            StateError: bytes of another game, or damaged.
            ConfigError: a snapshot of another level, or of several games.
        """
        state = self.table.game.from_bytes(snapshot)
        if state.level != self.table.level or len(state) != 1:
            raise ConfigError(
                "snapshot", (len(state), state.level), f"one game of level {self.table.level}"
            )
        self._state = state
        return self._observe()

    def fork(self, n: int) -> list[GameEnv]:
        """``n`` independent environments in exactly this state, their luck included; also the games
        that they deal next.

        Raises:
            ConfigError: ``n`` is no whole number, or below 0.
        """
        twins = [copies.copy(self) for _ in range(_count("n", n, 0))]
        for twin in twins:
            twin._state = self.state[0]
            twin._np_random = copies.deepcopy(self._np_random)
            twin._frames = self._frames and Frames(
                self.table.game, self.table.level, self.table.look, 1
            )
        return twins


MOST_GAMES = 1_000_000
"""Games of a batched environment, and environments of a fork."""


def _count(name: str, value: object, least: int) -> int:
    return whole(name, value, MOST_GAMES, least)


def _seed_of(seed: Any, allowed: str) -> int | None:
    """A seed of Gymnasium's: a whole number of any size, or None."""
    if seed is not None and (
        isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0
    ):
        raise ConfigError("seed", seed, allowed)
    return None if seed is None else int(seed)


class GameVectorEnv(gym.vector.VectorEnv[NDArray[np.uint8], Any, Any]):  # type: ignore[misc]
    """A batch of games as one State: no loop over environments.

    It does what ``gymnasium.vector.SyncVectorEnv`` does with as many :class:`GameEnv`, seeds, masks
    of the infos and all three modes of resetting included. One info more, ``played``, is False in
    rows that a step has reset instead of played. Arguments as for :class:`GameEnv`, and:

    Args:
        num_envs: number of games.
        autoreset_mode: what happens to a game that has ended. ``NEXT_STEP``: the next step resets
            it, and does not look at the action for it. ``SAME_STEP``: it is reset at once; its last
            picture and info are ``final_obs`` and ``final_info``. ``DISABLED``: it must be reset,
            with ``reset(options={"reset_mask": mask})``. A member or name of
            ``gymnasium.vector.AutoresetMode``.
    """

    metadata = {  # noqa: RUF012 - the form that Gymnasium reads
        "render_modes": ["rgb_array"],
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        game: str | Game,
        num_envs: int = 1,
        level: str | Level = "normal",
        look: str | Look = "clean",
        action: str = "discrete",
        mode: str = "strict",
        render_mode: str | None = None,
        copy: bool = True,
        reward: str = "game",
        autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
        reply: str | Mapping[str, Any] | Blocks = "",
        **fields: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ConfigError("render_mode", render_mode, "None or 'rgb_array'")
        self.num_envs, self.render_mode = _count("num_envs", num_envs, 1), render_mode
        self.autoreset_mode = _autoreset_mode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.table = _Table(game, level, look, action, mode, reward, reply, **fields)
        self._seat(self.num_envs, copy)
        self._generators: dict[int, np.random.Generator] = {}  # by row
        self._seeds: dict[int, int] = {}
        self._state: State | None = None

    def _seat(self, count: int, copy: bool) -> None:
        """Spaces and buffer for this number of games."""
        self.num_envs = count
        self.single_observation_space, self.single_action_space = (
            self.table.observation_space,
            self.table.action_space,
        )
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, count)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, count)
        self._frames = (
            None if copy else Frames(self.table.game, self.table.level, self.table.look, count)
        )

    @property
    def state(self) -> State:
        """The current states, ``num_envs`` rows.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() first")
        return self._state

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """One generator a row, as each row is an environment of its own; it draws the keys of the
        games of that row.
        """
        self._seed([None] * self.num_envs, range(self.num_envs))
        return tuple(self._generators[row] for row in range(self.num_envs))

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """What the generators were seeded with."""
        self._seed([None] * self.num_envs, range(self.num_envs))
        return tuple(self._seeds[row] for row in range(self.num_envs))

    def _seed(self, seeds: Sequence[int | None], rows: Sequence[int]) -> None:
        """Seed the generators of some rows: where a seed is given, and where there is no generator
        yet.
        """
        for row in rows:
            if seeds[row] is not None or row not in self._generators:
                self._generators[row], self._seeds[row] = gym.utils.seeding.np_random(seeds[row])

    def _keys(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        return np.array(
            [self._generators[row].integers(0, KEYS, 1, dtype=np.uint64)[0] for row in rows],
            np.uint64,
        )

    def _rows_to_reset(
        self, options: Mapping[str, Any] | None
    ) -> tuple[NDArray[np.bool_], Mapping[str, Any] | None]:
        """The mask of the rows, and the other options."""
        if not isinstance(options, Mapping) or "reset_mask" not in options:
            return np.ones(self.num_envs, bool), options
        mask = options["reset_mask"]
        right = (
            isinstance(mask, np.ndarray)
            and mask.shape == (self.num_envs,)
            and mask.dtype == bool
            and mask.any()
        )
        if not right:
            allowed = f"an array ({self.num_envs},) of bool with at least one True"
            raise ConfigError("options['reset_mask']", mask, allowed)
        if self._state is None and not mask.all():
            raise gym.error.ResetNeeded("call reset() without a reset_mask first")
        return mask, {key: value for key, value in options.items() if key != "reset_mask"}

    def reset(  # type: ignore[override]
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Fresh games in every row, or in those of a mask.

        Args:
            seed: a list of one a row; or one number, which stands for ``[seed, seed + 1, ...]``.
                Row ``i`` then plays the games that a :class:`GameEnv` plays which is reset with its
                seed.
            options: as for :meth:`GameEnv.reset`, each of them one for all rows or a list of one a
                row; and ``reset_mask``, ``(num_envs,)`` bool.

        Raises:
            ConfigError: seeds of another number, an option that is unknown or not what is allowed.
            StateError: bytes of another game, or damaged.
        """
        mask, options = self._rows_to_reset(options)  # type: ignore[assignment]
        rows = np.flatnonzero(mask)
        if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
            seeds: list[Any] = [int(seed) + row for row in range(self.num_envs)]
        elif seed is None or isinstance(seed, (list, tuple, np.ndarray)):
            seeds = [None] * self.num_envs if seed is None else list(seed)
        else:
            raise ConfigError(
                "seed", seed, f"one whole number, 0 or more, or a list of {self.num_envs}"
            )
        allowed = f"one whole number, 0 or more, or a list of {self.num_envs}"
        if len(seeds) != self.num_envs:
            raise ConfigError("seed", seed, allowed)
        self._seed([_seed_of(one, allowed) for one in seeds], rows.tolist())
        opened = self.table.open(options, self._keys(rows), rows, self.num_envs)
        self._state = opened if mask.all() else _put(self.state, mask, opened)
        return self._observe(), _masked(_spread(self.table.look_at(opened), mask), mask)

    def step(  # type: ignore[override]
        self, actions: Any
    ) -> tuple[
        NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]
    ]:
        """One turn in every row; what happens to ended rows says ``autoreset_mode``.

        Raises:
            ActionError: another number of actions, or such as :meth:`GameEnv.step` refuses; nothing
            was played. gymnasium.error.ResetNeeded: rows have ended that must be reset by
            ``reset``.
        """
        over, everywhere = self.state.ended, np.ones(self.num_envs, bool)
        if over.any() and self.autoreset_mode != AutoresetMode.NEXT_STEP:
            text = (
                f"games {np.flatnonzero(over).tolist()} have ended: "
                f"reset(options={{'reset_mask': mask}})"
            )
            raise gym.error.ResetNeeded(text)
        turn = self.table.play(self.state, self.table.actions(actions, self.num_envs))
        after, ended, info, over = turn.after, turn.after.ended & turn.played, {}, ~turn.played
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            info, over = self._finals(turn, ended), ended
        self._state = _put(after, over, self._deal(np.flatnonzero(over))) if over.any() else after
        if not over.all():
            info |= _masked(_spread(_take(turn.info, ~over), ~over), ~over)
        info |= _masked(
            {**self.table.look_at(self.state), "played": turn.played.copy()}, everywhere
        )
        return (
            self._observe(),
            turn.reward,
            after.terminated & turn.played,
            after.truncated & turn.played,
            info,
        )

    def _deal(self, rows: NDArray[np.int64]) -> State:
        return self.table.open(None, self._keys(rows), rows, self.num_envs)

    def _finals(self, turn: _Turn, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """``final_obs`` and ``final_info`` of the rows that this turn has ended."""
        last = turn.after[ended]
        pictures = np.full(self.num_envs, None, object)
        for row, picture in zip(
            np.flatnonzero(ended), render(self.table.game, last, self.table.look), strict=True
        ):
            pictures[row] = picture
        final = _spread({**self.table.look_at(last), **_take(turn.info, ended)}, ended)
        return {
            "final_obs": pictures,
            "_final_obs": ended.copy(),
            "final_info": _masked(final, ended),
            "_final_info": ended.copy(),
        }

    def _observe(self) -> NDArray[np.uint8]:
        return (
            self._frames.draw(self.state)
            if self._frames
            else render(self.table.game, self.state, self.table.look)
        )

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures, one a row, new arrays; None, with a warning, without a render mode."""
        if self.render_mode is None:
            _warn_of_no_mode()
            return None
        return tuple(render(self.table.game, self.state, self.table.look))

    def action_masks(self) -> NDArray[np.bool_]:
        """``(num_envs, A)``: the actions that change something now."""
        return self.table.game.legal(self.state).copy()

    def snapshot(self) -> bytes:
        """Everything that the future of all rows depends on."""
        return self.state.to_bytes(self.table.game)

    def restore(self, snapshot: bytes) -> NDArray[np.uint8]:
        """Go back to a snapshot (of this game, level and number of rows); returns the pictures.

        Raises:
            StateError: bytes of another game, or damaged.
            ConfigError: another level or number of rows.
        """
        state = self.table.game.from_bytes(snapshot)
        if state.level != self.table.level or len(state) != self.num_envs:
            raise ConfigError(
                "snapshot",
                (len(state), state.level),
                f"{self.num_envs} games of level {self.table.level}",
            )
        self._state = state
        return self._observe()

    def fork(self, n: int) -> GameVectorEnv:
        """A vector environment of ``num_envs * n`` rows, each row of this one ``n`` times in a row.

        Luck is included, also that of the games that they deal next.

        Raises:
            ConfigError: ``n`` is no whole number, or below 1.
        """
        twin = copies.copy(self)
        twin._state = self.state.repeat(_count("n", n, 1))
        twin._generators = {
            n * row + k: copies.deepcopy(g) for row, g in self._generators.items() for k in range(n)
        }
        twin._seeds = {n * row + k: seed for row, seed in self._seeds.items() for k in range(n)}
        twin._seat(self.num_envs * n, self._frames is None)
        return twin


def _take(values: Mapping[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Some rows of arrays."""
    return {
        key: _take(value, rows) if isinstance(value, dict) else value[rows]
        for key, value in values.items()
    }


def _autoreset_mode(mode: object) -> AutoresetMode:
    for known in AutoresetMode:
        if mode in (known, known.name, known.value):
            return known
    raise ConfigError(
        "autoreset_mode", mode, "one of " + ", ".join(known.name for known in AutoresetMode)
    )


def _compile(name: str) -> None:
    """Run everything that is compiled for one game, on a few rows."""
    game = get_game(name)
    for look in ("tiny", "clean:noise=0.1"):
        level = game.level("tiny", max_steps=0, restart=True)
        envs = GameVectorEnv(game, 2, level, look, copy=False)
        envs.reset(seed=0)
        for _ in range(2):
            envs.step(game.draw_legal(envs.state))
    state = envs.state
    action = int(game.draw_legal(state)[0])
    game.branch(state, np.full((2, 1), action))
    game.oracle(state)
    game.explain(state, 0, action)
    game.candidates(state, 0)
    game.would_succeed(level, game.scene(state).symbols, np.full(2, action))


def compile_all(processes: int = 0, progress: Callable[[int, int], None] | None = None) -> float:
    """Compile all kernels of all games, once on a machine; they are compiled one by one at their
    first use otherwise.

    Args:
        processes: workers side by side; 0 = one for each usable core.
        progress: called with the games done and their number.

    Returns:
        Seconds.
    """
    # the longest first
    begin, names = time.perf_counter(), sorted(GAMES, key=lambda name: name != "Minesweeper")
    with ProcessPoolExecutor(
        min(processes or usable_cores(), len(names)), mp_context=get_context("spawn")
    ) as pool:
        for done, future in enumerate(
            as_completed([pool.submit(_compile, name) for name in names]), 1
        ):
            future.result()
            if progress:
                progress(done, len(names))
    return time.perf_counter() - begin
