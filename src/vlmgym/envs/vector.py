"""A batch of games as one Gymnasium environment, without a loop over environments.

``gymnasium.make_vec("vlmgym/2048-v0", num_envs=128)``; ``import vlmgym`` registers it.
"""

from __future__ import annotations

import copy as copies
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from vlmgym.core import ConfigError, Game, Level, State
from vlmgym.dialogue import prompt
from vlmgym.envs.arguments import autoreset_mode_of, count_of, seed_of, warn_of_no_render_mode
from vlmgym.envs.rows import masked, put_rows, spread, take_rows
from vlmgym.envs.table import KEYS, Table, Turn
from vlmgym.render.frames import Frames, render
from vlmgym.render.looks import Look


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
        reply: str | Mapping[str, Any] | prompt.Blocks = "",
        **fields: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ConfigError("render_mode", render_mode, "None or 'rgb_array'")
        self.num_envs, self.render_mode = count_of("num_envs", num_envs, 1), render_mode
        self.autoreset_mode = autoreset_mode_of(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        self.table = Table(game, level, look, action, mode, reward, reply, **fields)
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
        self._seed([seed_of(one, allowed) for one in seeds], rows.tolist())
        opened = self.table.open(options, self._keys(rows), rows, self.num_envs)
        self._state = opened if mask.all() else put_rows(self.state, mask, opened)
        return self._observe(), masked(spread(self.table.look_at(opened), mask), mask)

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
        self._state = (
            put_rows(after, over, self._deal(np.flatnonzero(over))) if over.any() else after
        )
        if not over.all():
            info |= masked(spread(take_rows(turn.info, ~over), ~over), ~over)
        info |= masked({**self.table.look_at(self.state), "played": turn.played.copy()}, everywhere)
        return (
            self._observe(),
            turn.reward,
            after.terminated & turn.played,
            after.truncated & turn.played,
            info,
        )

    def _deal(self, rows: NDArray[np.int64]) -> State:
        return self.table.open(None, self._keys(rows), rows, self.num_envs)

    def _finals(self, turn: Turn, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """``final_obs`` and ``final_info`` of the rows that this turn has ended."""
        last = turn.after[ended]
        pictures = np.full(self.num_envs, None, object)
        for row, picture in zip(
            np.flatnonzero(ended), render(self.table.game, last, self.table.look), strict=True
        ):
            pictures[row] = picture
        final = spread({**self.table.look_at(last), **take_rows(turn.info, ended)}, ended)
        return {
            "final_obs": pictures,
            "_final_obs": ended.copy(),
            "final_info": masked(final, ended),
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
            warn_of_no_render_mode()
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
        twin._state = self.state.repeat(count_of("n", n, 1))
        twin._generators = {
            n * row + k: copies.deepcopy(g) for row, g in self._generators.items() for k in range(n)
        }
        twin._seeds = {n * row + k: seed for row, seed in self._seeds.items() for k in range(n)}
        twin._seat(self.num_envs * n, self._frames is None)
        return twin
