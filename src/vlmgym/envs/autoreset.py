"""What happens to games of a batch that have ended, by the modes of Gymnasium."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from vlmgym.core import ConfigError
from vlmgym.envs.rows import masked, spread, take_rows
from vlmgym.envs.table import Table, Turn
from vlmgym.envs.types import Info, Mask


def autoreset_mode_of(mode: object) -> AutoresetMode:
    """The mode of a member, name or value of ``gymnasium.vector.AutoresetMode``."""
    for member in AutoresetMode:
        if mode in (member, member.name, member.value):
            return member
    names = ", ".join(member.name for member in AutoresetMode)
    raise ConfigError("autoreset_mode", mode, f"one of {names}")


def refuse_ended_games(ended: Mask, mode: AutoresetMode) -> None:
    """Ask for a reset of games that have ended, unless the next step resets them."""
    if ended.any() and mode != AutoresetMode.NEXT_STEP:
        raise gym.error.ResetNeeded(
            f"games {np.flatnonzero(ended).tolist()} have ended: "
            f"reset(options={{'reset_mask': mask}})"
        )


def final_infos(table: Table, turn: Turn, ended: Mask) -> Info:
    """``final_obs`` and ``final_info`` of the rows that a turn has ended."""
    last_states = turn.after[ended]
    pictures = np.full(len(ended), None, object)
    rows = np.flatnonzero(ended)
    for row, picture in zip(rows, table.pictures(last_states), strict=True):
        pictures[row] = picture
    info = {**table.look_at(last_states), **take_rows(turn.info, ended)}
    return {
        "final_obs": pictures,
        "_final_obs": ended.copy(),
        "final_info": masked(spread(info, ended), ended),
        "_final_info": ended.copy(),
    }
