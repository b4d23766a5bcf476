"""Stable-Baselines3 over the environments: its own checker, PPO on pictures, and MaskablePPO with
the masks of the games.
"""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.vec_env import DummyVecEnv

import vlmgym

SETTINGS = {"level": "easy", "look": "tiny"}


@pytest.mark.parametrize("name", [name for name in vlmgym.GAMES if name != "ShisenShoPhotos"])
def test_the_checker_of_stable_baselines_has_nothing_to_say(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(f"vlmgym/{name}-v0", render_mode="rgb_array", **SETTINGS))


def test_masked_ppo_learns_some_steps_and_never_plays_an_illegal_action():
    made = []

    def make():
        made.append(gym.make("vlmgym/Sokoban-v0", **SETTINGS))
        return made[-1]

    envs = DummyVecEnv([make, make])
    assert is_masking_supported(envs)
    model = MaskablePPO(
        "CnnPolicy", envs, n_steps=8, batch_size=8, n_epochs=1, seed=0, device="cpu"
    )
    model.learn(16)
    seen = envs.reset()
    for _ in range(10):
        masks = get_action_masks(envs)
        assert (masks == np.stack([env.action_masks() for env in made])).all()
        actions, _ = model.predict(seen, action_masks=masks)
        assert masks[np.arange(2), actions].all()
        seen, _, _, infos = envs.step(actions)
        assert all(info["changed"] for info in infos)
