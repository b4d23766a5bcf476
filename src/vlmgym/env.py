"""Gymnasium environments over the games: single, and natively batched.

``gymnasium.make("vlmgym/2048-v0", level="paper", look="tiny")`` and ``gymnasium.make_vec("vlmgym/2048-v0", num_envs=128)``.
``import vlmgym`` registers them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from vlmgym import prompt
from vlmgym.core import NO_ACTION, ConfigError, Game, Level, Outcome, State
from vlmgym.games import GAMES, get_game
from vlmgym.kernels import usable_cores
from vlmgym.looks import Look, get_look
from vlmgym.render import Frames, frame_size, render

ACTIONS = ("discrete", "text")
TEXT_LIMIT = 16_384
"""Longest reply of the text action space, in characters."""


class _Table:
    """What single and batched environments share: game, level, look, spaces, and turning actions into ids."""

    def __init__(self, game: str | Game, level: str | Level, look: str | Look, action: str, mode: str, **fields: Any) -> None:
        if action not in ACTIONS:
            raise ConfigError("action", action, "one of " + ", ".join(ACTIONS))
        if mode not in prompt.MODES:
            raise ConfigError("mode", mode, "one of " + ", ".join(prompt.MODES))
        self.game = get_game(game)
        self.level = self.game.level(level, **fields)
        self.look = get_look(look)
        self.action, self.mode = action, mode
        height, width = frame_size(self.game, self.level, self.look)
        self.observation_space = gym.spaces.Box(0, 255, (height, width, 3), np.uint8)
        self.action_space: gym.Space[Any]
        if action == "text":
            charset = "".join(map(chr, [9, 10, *range(32, 127)]))
            self.action_space = gym.spaces.Text(TEXT_LIMIT, min_length=0, charset=charset)
        else:
            self.action_space = gym.spaces.Discrete(self.game.n_actions(self.level))
        self.prompt = prompt.prompt_text(self.game, self.level)

    def ids(self, actions: Any) -> NDArray[np.int64]:
        """Action ids of discrete or text actions; an unreadable text is no action."""
        if self.action == "text":
            return np.array([prompt.parse(self.game, self.level, text, self.mode).action for text in actions], np.int64)
        return np.asarray(actions, np.int64)

    def play(self, state: State, actions: NDArray[np.int64]) -> tuple[State, Outcome, NDArray[np.float64]]:
        """One turn: states, outcome, and the paper's reward (+1 where the move was good, else -1)."""
        after, outcome = self.game.step(state, actions)
        return after, outcome, np.where(self.game.good(state, actions, outcome), 1.0, -1.0)

    def info(self, state: State, outcome: Outcome | None = None) -> dict[str, Any]:
        """Batched info arrays: truth text, legal mask, score, and what the last turn did."""
        info: dict[str, Any] = {
            "truth": np.array(prompt.truth(self.game, state), dtype=object),
            "legal": self.game.legal(state),
            "score": state.score.copy(),
        }
        if outcome is not None:
            info |= {"gain": outcome.gain, "changed": outcome.changed}
        return info


class GameEnv(gym.Env[NDArray[np.uint8], Any]):  # type: ignore[misc]
    """One game as a Gymnasium environment.

    Observation: the picture, ``(H, W, 3)`` uint8. Reward: +1 if the move was good (did something), else -1. ``info``: ``prompt``,
    ``truth``, ``legal``, ``score``, and after a step ``gain`` and ``changed``.

    Args:
        game: name of the game (see :func:`vlmgym.games.get_game`), or a Game.
        level: name or Level.
        look: name or Look.
        action: ``"discrete"`` (ids) or ``"text"`` (whole replies; an unreadable one is a turn without an action).
        mode: parse mode of text actions.
        render_mode: ``"rgb_array"`` or None.
        copy: observations are new arrays. False: they are read-only views of one kept buffer, overwritten by the next call, in
            which only the cells that changed are drawn, which is far faster.
        fields: single fields of the level, overridden.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 - the form that Gymnasium reads

    def __init__(
        self,
        game: str | Game,
        level: str | Level = "normal",
        look: str | Look = "clean",
        action: str = "discrete",
        mode: str = "strict",
        render_mode: str | None = None,
        copy: bool = True,
        **fields: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ConfigError("render_mode", render_mode, "None or 'rgb_array'")
        self.table = _Table(game, level, look, action, mode, **fields)
        self.observation_space, self.action_space = self.table.observation_space, self.table.action_space
        self.render_mode = render_mode
        self._frames = None if copy else Frames(self.table.game, self.table.level, self.table.look, 1)
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
        """A fresh game; an equal seed gives an equal game."""
        super().reset(seed=seed)
        key = self.np_random.integers(0, 1 << 62, dtype=np.uint64)
        self._state = self.table.game.reset(self.table.level, np.array([key], np.uint64))
        return self._observe(), self._info()

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """One turn. A game that has ended must be reset first.

        Raises:
            gymnasium.error.ResetNeeded: the game has ended.
        """
        if self.state.ended[0]:
            raise gym.error.ResetNeeded("the game has ended: call reset()")
        after, outcome, reward = self.table.play(self.state, self.table.ids([action]))
        self._state = after
        return self._observe(), float(reward[0]), bool(after.terminated[0]), bool(after.truncated[0]), self._info(outcome)

    def render(self) -> NDArray[np.uint8]:  # type: ignore[override]
        """The picture of the current state."""
        return render(self.table.game, self.state, self.table.look)[0]

    def _observe(self) -> NDArray[np.uint8]:
        return self._frames.draw(self.state)[0] if self._frames else self.render()

    def _info(self, outcome: Outcome | None = None) -> dict[str, Any]:
        batched = self.table.info(self.state, outcome)
        return {"prompt": self.table.prompt, **{k: v[0] for k, v in batched.items()}}

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
            raise ConfigError("snapshot", state.level, f"one game of level {self.table.level}")
        self._state = state
        return self._observe()

    def fork(self, n: int) -> list[GameEnv]:
        """``n`` independent environments in exactly this state, their luck included."""
        forks = []
        for _ in range(n):
            twin = GameEnv(
                self.table.game,
                self.table.level,
                self.table.look,
                self.table.action,
                self.table.mode,
                self.render_mode,
                self._frames is None,
            )
            twin._state = self.state[0]
            forks.append(twin)
        return forks


class GameVectorEnv(gym.vector.VectorEnv[NDArray[np.uint8], Any, Any]):  # type: ignore[misc]
    """A batch of games as one State: no loop over environments.

    A game that ends is reset by the *next* step, whose action for it is ignored (``AutoresetMode.NEXT_STEP``); ``info`` then
    has ``played`` False in this row. Arguments as for :class:`GameEnv`, and:

    Args:
        num_envs: number of games.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4, "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

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
        **fields: Any,
    ) -> None:
        if num_envs < 1:
            raise ConfigError("num_envs", num_envs, "1 or more")
        self.table = _Table(game, level, look, action, mode, **fields)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.single_observation_space, self.single_action_space = self.table.observation_space, self.table.action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self._frames = None if copy else Frames(self.table.game, self.table.level, self.table.look, num_envs)
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The current states, ``num_envs`` rows.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        if self._state is None:
            raise gym.error.ResetNeeded("call reset() first")
        return self._state

    def _deal(self, count: int) -> State:
        keys = self.np_random.integers(0, 1 << 62, count, dtype=np.uint64)
        return self.table.game.reset(self.table.level, keys)

    def reset(  # type: ignore[override]
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Fresh games in every row; ``seed``: one number for the batch, or one for each row (as from ``GameEnv.reset``).

        Raises:
            ConfigError: a list of another length.
        """
        if isinstance(seed, list):
            if len(seed) != self.num_envs:
                raise ConfigError("seed", seed, f"one number, or a list of {self.num_envs}")
            rngs = [gym.utils.seeding.np_random(s)[0] for s in seed]
            keys = np.array([rng.integers(0, 1 << 62, dtype=np.uint64) for rng in rngs], np.uint64)
            self._np_random, self._np_random_seed = gym.utils.seeding.np_random(seed[0])
            self._state = self.table.game.reset(self.table.level, keys)
        else:
            super().reset(seed=seed)
            self._state = self._deal(self.num_envs)
        return self._observe(), self._info(np.ones(self.num_envs, bool))

    def step(  # type: ignore[override]
        self, actions: Any
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One turn in every row; rows that had ended are reset instead (reward 0)."""
        over = self.state.ended
        ids = self.table.ids(actions)
        after, outcome, reward = self.table.play(self.state, np.where(over, NO_ACTION, ids))
        if over.any():
            arrays, fresh = after.arrays(), self._deal(int(over.sum())).arrays()
            for key, value in arrays.items():
                arrays[key] = value.copy()
                arrays[key][over] = fresh[key]
            after = after.with_arrays(arrays)
        self._state = after
        return self._observe(), np.where(over, 0.0, reward), after.terminated.copy(), after.truncated, self._info(~over, outcome)

    def _observe(self) -> NDArray[np.uint8]:
        return self._frames.draw(self.state) if self._frames else render(self.table.game, self.state, self.table.look)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:  # type: ignore[override]
        """The pictures, one a row."""
        return tuple(render(self.table.game, self.state, self.table.look)) if self.render_mode == "rgb_array" else None

    def _info(self, played: NDArray[np.bool_], outcome: Outcome | None = None) -> dict[str, Any]:
        info = self.table.info(self.state, outcome)
        info["played"] = played
        mask = np.ones(self.num_envs, bool)
        info["prompt"] = np.array([self.table.prompt] * self.num_envs, dtype=object)
        return info | {f"_{key}": mask.copy() for key in info}

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
            raise ConfigError("snapshot", (len(state), state.level), f"{self.num_envs} games of level {self.table.level}")
        self._state = state
        return self._observe()

    def fork(self, n: int) -> GameVectorEnv:
        """A vector environment of ``num_envs * n`` rows, each row of this one ``n`` times in a row, luck included."""
        table = self.table
        count, copy = self.num_envs * n, self._frames is None
        twin = GameVectorEnv(table.game, count, table.level, table.look, table.action, table.mode, self.render_mode, copy)
        twin._state = self.state.repeat(n)
        return twin


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
    game.works(level, game.scene(state).symbols, np.full(2, action))


def compile_all(processes: int = 0, progress: Callable[[int, int], None] | None = None) -> float:
    """Compile all kernels of all games, once on a machine; they are compiled one by one at their first use otherwise.

    Args:
        processes: workers side by side; 0 = one for each usable core.
        progress: called with the games done and their number.

    Returns:
        Seconds.
    """
    begin, names = time.perf_counter(), sorted(GAMES, key=lambda name: name != "Minesweeper")  # the longest first
    with ProcessPoolExecutor(min(processes or usable_cores(), len(names)), mp_context=get_context("spawn")) as pool:
        for done, future in enumerate(as_completed([pool.submit(_compile, name) for name in names]), 1):
            future.result()
            if progress:
                progress(done, len(names))
    return time.perf_counter() - begin
