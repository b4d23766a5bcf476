"""TorchRL over the environments: made by name, single and batched, with TorchRL's own check of an
environment.
"""

import gymnasium as gym
import pytest
from torchrl.envs.libs.gym import GymEnv, GymWrapper
from torchrl.envs.utils import check_env_specs

import vlmgym
from vlmgym.envs.vector import GameVectorEnv


@pytest.mark.parametrize("name", ["2048", "Sokoban"])
def test_torchrl_makes_an_environment_by_its_name(name):
    """It tries keywords that no environment of ours has, and takes them back when told so in
    Python's words.
    """
    env = GymEnv(f"vlmgym/{name}-v0", level="easy", look="tiny", max_steps=9)
    check_env_specs(env)
    assert (
        env.observation_spec["pixels"].shape
        == gym.make(f"vlmgym/{name}-v0", look="tiny", level="easy").observation_space.shape
    )
    env.set_seed(0)
    found = env.rollout(9, break_when_any_done=False)
    assert found.shape == (9,)
    assert set(found["next", "reward"].flatten().tolist()) <= {-1.0, 1.0}
    assert found["next", "done"].any()


def test_torchrl_plays_the_native_batch_with_its_own_resets():
    """The batch of one State, in the mode that TorchRL prefers: rows that have ended are reset by
    it, the others go on.
    """
    batch = gym.make_vec(
        "vlmgym/2048-v0",
        num_envs=3,
        level="easy",
        look="tiny",
        max_steps=5,
        autoreset_mode="DISABLED",
    )
    assert isinstance(batch, GameVectorEnv)
    env = GymWrapper(batch)
    check_env_specs(env)
    found = env.rollout(20, break_when_any_done=False)
    assert found.shape == (3, 20)
    assert (found["next", "done"].sum(dim=1) >= 4).all()


def test_the_games_are_those_of_the_package():
    assert all(f"vlmgym/{name}-v0" in gym.registry for name in vlmgym.GAMES)
