"""One game as a Gymnasium environment.

``gymnasium.make("vlmgym/2048-v0", level="paper", look="tiny")``; ``import vlmgym`` registers it.
"""

from __future__ import annotations

import copy as copies
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from vlmgym.core import ConfigError, Game, Level, State
from vlmgym.dialogue.reply import Blocks
from vlmgym.envs.arguments import (
    check_render_mode,
    count_of,
    seed_of,
    state_after_reset,
    warn_of_no_render_mode,
)
from vlmgym.envs.openings import KEYS
from vlmgym.envs.rows import first_row
from vlmgym.envs.table import Table, TurnSettings
from vlmgym.envs.types import Info, Mask, Pictures
from vlmgym.render.looks import Look


class GameEnv(gym.Env[Pictures, Any]):  # type: ignore[misc]
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
            mapping, or ``Blocks``.
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
        check_render_mode(render_mode)
        settings = TurnSettings(action, mode, reward, reply)
        self.table = Table(game, level, look, settings, fields)
        self.observation_space = self.table.observation_space
        self.action_space = self.table.action_space
        self.render_mode = render_mode
        self._frames = self.table.frames(copy, 1)
        self._state: State | None = None

    @property
    def state(self) -> State:
        """The current state, a batch of one row.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        return state_after_reset(self._state)

    def reset(
        self, *, seed: int | None = None, options: Info | None = None
    ) -> tuple[Pictures, Info]:
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
        super().reset(seed=seed_of(seed, "a whole number, 0 or more, or None"))
        keys = self.np_random.integers(0, KEYS, 1, dtype=np.uint64)
        rows = np.zeros(1, np.int64)
        self._state = self.table.openings.open(options, keys, rows, 1)
        return self._observe(), first_row(self.table.look_at(self._state))

    def step(self, action: Any) -> tuple[Pictures, float, bool, bool, Info]:
        """One turn. A game that has ended must be reset first.

        Raises:
            ActionError: no whole number of the action space (no text); nothing was played.
            gymnasium.error.ResetNeeded: the game has ended.
        """
        if self.state.ended[0]:
            raise gym.error.ResetNeeded("the game has ended: call reset()")
        actions = self.table.actions([action], 1)
        turn = self.table.play(self.state, actions)
        after = turn.after
        self._state = after
        info = first_row({**self.table.look_at(after), **turn.info})
        terminated = bool(after.terminated[0])
        truncated = bool(after.truncated[0])
        return self._observe(), float(turn.reward[0]), terminated, truncated, info

    def render(self) -> Pictures | None:  # type: ignore[override]
        """The picture of the current state, a new array; None, with a warning, without a render
        mode.
        """
        if self.render_mode is None:
            warn_of_no_render_mode()
            return None
        return self._picture()

    def _picture(self) -> Pictures:
        picture: Pictures = self.table.pictures(self.state)[0]
        return picture

    def _observe(self) -> Pictures:
        if self._frames is None:
            return self._picture()
        return self._frames.draw(self.state)[0]

    def action_masks(self) -> Mask:
        """``(A,)``: the actions that change something now; the name is the one that sb3-contrib's
        MaskablePPO asks for.
        """
        return self.table.game.legal(self.state)[0].copy()

    def snapshot(self) -> bytes:
        """Everything that the future of this game depends on."""
        return self.state.to_bytes(self.table.game)

    def restore(self, snapshot: bytes) -> Pictures:
        """Go back to a snapshot (of this game and level); returns its picture.

        Raises:
            StateError: bytes of another game, or damaged.
            ConfigError: a snapshot of another level, or of several games.
        """
        state = self.table.game.from_bytes(snapshot)
        if state.level != self.table.level or len(state) != 1:
            allowed = f"one game of level {self.table.level}"
            raise ConfigError("snapshot", (len(state), state.level), allowed)
        self._state = state
        return self._observe()

    def fork(self, n: int) -> list[GameEnv]:
        """``n`` independent environments in exactly this state, their luck included; also the games
        that they deal next.

        Raises:
            ConfigError: ``n`` is no whole number, or below 0.
        """
        forks = []
        for _ in range(count_of("n", n, 0)):
            fork = copies.copy(self)
            fork._state = self.state[0]
            fork._np_random = copies.deepcopy(self._np_random)
            fork._frames = self.table.frames(self._frames is None, 1)
            forks.append(fork)
        return forks
