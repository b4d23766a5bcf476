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

from vlmgym.core import ConfigError, Game, Level, State
from vlmgym.dialogue.reply import Blocks
from vlmgym.envs.arguments import (
    check_render_mode,
    count_of,
    is_whole_number,
    seed_of,
    state_after_reset,
    warn_of_no_render_mode,
)
from vlmgym.envs.autoreset import autoreset_mode_of, final_infos, refuse_ended_games
from vlmgym.envs.openings import KEYS
from vlmgym.envs.rows import masked, put_rows, spread, take_rows
from vlmgym.envs.table import Table, TurnSettings
from vlmgym.envs.types import Info, Keys, Mask, Pictures, Rewards, Rows
from vlmgym.render.looks import Look


class GameVectorEnv(gym.vector.VectorEnv[Pictures, Any, Any]):  # type: ignore[misc]
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
        check_render_mode(render_mode)
        self.num_envs = count_of("num_envs", num_envs, 1)
        self.render_mode = render_mode
        self.autoreset_mode = autoreset_mode_of(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        settings = TurnSettings(action, mode, reward, reply)
        self.table = Table(game, level, look, settings, fields)
        self._seat(self.num_envs, copy)
        self._generators: dict[int, np.random.Generator] = {}  # by row
        self._seeds: dict[int, int] = {}
        self._state: State | None = None

    def _seat(self, count: int, copy: bool) -> None:
        """Spaces and buffer for this number of games."""
        self.num_envs = count
        self.single_observation_space = self.table.observation_space
        self.single_action_space = self.table.action_space
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, count)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, count)
        self._frames = self.table.frames(copy, count)

    @property
    def state(self) -> State:
        """The current states, ``num_envs`` rows.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
        """
        return state_after_reset(self._state)

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

    def _keys(self, rows: Rows) -> Keys:
        keys = [self._generators[row].integers(0, KEYS, 1, dtype=np.uint64)[0] for row in rows]
        return np.array(keys, np.uint64)

    def _rows_to_reset(
        self, options: Mapping[str, Any] | None
    ) -> tuple[Mask, Mapping[str, Any] | None]:
        """The mask of the rows, and the other options."""
        if not isinstance(options, Mapping) or "reset_mask" not in options:
            return np.ones(self.num_envs, bool), options
        mask = options["reset_mask"]
        is_mask_of_rows = (
            isinstance(mask, np.ndarray)
            and mask.shape == (self.num_envs,)
            and mask.dtype == bool
            and mask.any()
        )
        if not is_mask_of_rows:
            allowed = f"an array ({self.num_envs},) of bool with at least one True"
            raise ConfigError("options['reset_mask']", mask, allowed)
        if self._state is None and not mask.all():
            raise gym.error.ResetNeeded("call reset() without a reset_mask first")
        others = {name: value for name, value in options.items() if name != "reset_mask"}
        return mask, others

    def reset(  # type: ignore[override]
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: Info | None = None,
    ) -> tuple[Pictures, Info]:
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
        self._seed(self._seeds_of_rows(seed), rows.tolist())
        opened = self.table.openings.open(options, self._keys(rows), rows, self.num_envs)
        self._state = opened if mask.all() else put_rows(self.state, mask, opened)
        return self._observe(), masked(spread(self.table.look_at(opened), mask), mask)

    def _seeds_of_rows(self, seed: Any) -> list[int | None]:
        """The seeds that the argument of ``reset`` stands for."""
        allowed = f"one whole number, 0 or more, or a list of {self.num_envs}"
        seeds: list[Any]
        if seed is None:
            seeds = [None] * self.num_envs
        elif is_whole_number(seed):
            seeds = [int(seed) + row for row in range(self.num_envs)]
        elif isinstance(seed, (list, tuple, np.ndarray)) and len(seed) == self.num_envs:
            seeds = list(seed)
        else:
            raise ConfigError("seed", seed, allowed)
        return [seed_of(seed_of_row, allowed) for seed_of_row in seeds]

    def step(  # type: ignore[override]
        self, actions: Any
    ) -> tuple[Pictures, Rewards, Mask, Mask, Info]:
        """One turn in every row; what happens to ended rows says ``autoreset_mode``.

        Raises:
            ActionError: another number of actions, or such as :meth:`GameEnv.step` refuses; nothing
            was played. gymnasium.error.ResetNeeded: rows have ended that must be reset by
            ``reset``.
        """
        refuse_ended_games(self.state.ended, self.autoreset_mode)
        turn = self.table.play(self.state, self.table.actions(actions, self.num_envs))
        after = turn.after
        ended = after.ended & turn.played
        restarted = ~turn.played  # rows whose next game begins now
        info: Info = {}
        if self.autoreset_mode == AutoresetMode.SAME_STEP and ended.any():
            info = final_infos(self.table, turn, ended)
            restarted = ended
        if restarted.any():
            self._state = put_rows(after, restarted, self._deal(np.flatnonzero(restarted)))
        else:
            self._state = after
        continued = ~restarted
        if continued.any():
            info |= masked(spread(take_rows(turn.info, continued), continued), continued)
        info_of_all = {**self.table.look_at(self.state), "played": turn.played.copy()}
        info |= masked(info_of_all, np.ones(self.num_envs, bool))
        terminated = after.terminated & turn.played
        truncated = after.truncated & turn.played
        return self._observe(), turn.reward, terminated, truncated, info

    def _deal(self, rows: Rows) -> State:
        return self.table.openings.open(None, self._keys(rows), rows, self.num_envs)

    def _observe(self) -> Pictures:
        if self._frames is None:
            return self.table.pictures(self.state)
        return self._frames.draw(self.state)

    def render(self) -> tuple[Pictures, ...] | None:  # type: ignore[override]
        """The pictures, one a row, new arrays; None, with a warning, without a render mode."""
        if self.render_mode is None:
            warn_of_no_render_mode()
            return None
        return tuple(self.table.pictures(self.state))

    def action_masks(self) -> Mask:
        """``(num_envs, A)``: the actions that change something now."""
        return self.table.game.legal(self.state).copy()

    def snapshot(self) -> bytes:
        """Everything that the future of all rows depends on."""
        return self.state.to_bytes(self.table.game)

    def restore(self, snapshot: bytes) -> Pictures:
        """Go back to a snapshot (of this game, level and number of rows); returns the pictures.

        Raises:
            StateError: bytes of another game, or damaged.
            ConfigError: another level or number of rows.
        """
        state = self.table.game.from_bytes(snapshot)
        if state.level != self.table.level or len(state) != self.num_envs:
            allowed = f"{self.num_envs} games of level {self.table.level}"
            raise ConfigError("snapshot", (len(state), state.level), allowed)
        self._state = state
        return self._observe()

    def fork(self, n: int) -> GameVectorEnv:
        """A vector environment of ``num_envs * n`` rows, each row of this one ``n`` times in a row.

        Luck is included, also that of the games that they deal next.

        Raises:
            ConfigError: ``n`` is no whole number, or below 1.
        """
        fork = copies.copy(self)
        fork._state = self.state.repeat(count_of("n", n, 1))
        fork._generators = {}
        fork._seeds = {}
        for row, generator in self._generators.items():
            for fork_row in range(n * row, n * (row + 1)):
                fork._generators[fork_row] = copies.deepcopy(generator)
                fork._seeds[fork_row] = self._seeds[row]
        fork._seat(self.num_envs * n, self._frames is None)
        return fork
