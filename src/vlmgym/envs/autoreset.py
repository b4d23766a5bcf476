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
    for known in AutoresetMode:
        if mode in (known, known.name, known.value):
            return known
    names = ", ".join(known.name for known in AutoresetMode)
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
    last = turn.after[ended]
    pictures = np.full(len(ended), None, object)
    for row, picture in zip(np.flatnonzero(ended), table.pictures(last), strict=True):
        pictures[row] = picture
    info = spread({**table.look_at(last), **take_rows(turn.info, ended)}, ended)
    return {
        "final_obs": pictures,
        "_final_obs": ended.copy(),
        "final_info": masked(info, ended),
        "_final_info": ended.copy(),
    }
