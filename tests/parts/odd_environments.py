"""Environments of others: a counter, and counters with one oddity each."""

from __future__ import annotations

import gymnasium
import numpy as np


class Counter(gymnasium.Env):  # type: ignore[type-arg]
    """A bar that grows by the action; seeded, so it can be replayed; or with hidden luck."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None = None,
        hidden_luck: bool = False,
        flat: bool = False,
        points: float = 1.0,
    ) -> None:
        self.observation_space, self.action_space = (
            gymnasium.spaces.Discrete(256),
            gymnasium.spaces.Discrete(3),
        )
        self.render_mode, self.hidden_luck, self.flat, self.points, self.level = (
            render_mode,
            hidden_luck,
            flat,
            points,
            0,
        )
        self.resets = 0

    def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
        super().reset(seed=seed)
        self.level = int(self.np_random.integers(100))
        self.resets += 1
        return self.level, {}

    def step(self, action):  # type: ignore[no-untyped-def]
        luck = np.random.default_rng() if self.hidden_luck else self.np_random
        self.level += int(action) + int(luck.integers(3))
        return self.level % 256, self.points * float(action == 2), self.level >= 140, False, {}

    def render(self):  # type: ignore[no-untyped-def]
        shape = (20, 30) if self.flat else (20, 30, 3)
        picture = np.zeros(shape, np.uint8)
        picture.reshape(600, -1)[: self.level] = 255
        return picture


gymnasium.register("Counter-v0", Counter)
gymnasium.register("Short-v0", Counter, max_episode_steps=3)
ACTIONS = {"none": 0, "little": 1, "much": 2}
RULES = (
    "A white bar. Every answer makes it longer by a little luck and by what the answer says; "
    "the game ends when it is long."
)


class Odd(Counter):
    """A counter with one oddity, named by ``odd``."""

    def __init__(self, odd: str = "", render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.odd, self.turns, self.buffer = odd, 0, np.zeros((20, 30, 3), np.uint8)
        if odd == "counts from five":
            self.action_space = gymnasium.spaces.Discrete(3, start=5)
        if odd == "many actions":
            self.action_space = gymnasium.spaces.MultiDiscrete([2, 2])
        if odd == "a force":
            self.action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
        if self.odd == "reset raises":
            raise OSError("no such device")
        self.turns = 0
        return super().reset(seed=seed, options=options)

    def step(self, action):  # type: ignore[no-untyped-def]
        self.turns += 1
        if self.odd == "step raises" and self.turns == 2:
            raise ZeroDivisionError("division by zero")
        seen, reward, over, cut, info = super().step(int(action) % 5)
        reward = {"nan": np.nan, "inf": np.inf, "none": None, "a word": "much"}.get(
            self.odd, reward
        )
        if self.odd == "numpy ends":
            return seen, np.float32(reward), np.bool_(over), int(cut), info
        return seen, reward, over, cut, info

    def render(self):  # type: ignore[no-untyped-def]
        if self.odd == "render raises":
            raise RuntimeError("no display")
        picture = super().render()
        if self.odd == "own buffer":
            self.buffer[:] = picture
            return self.buffer
        if self.odd == "own buffer, upside down":
            self.buffer[::-1] = picture
            return self.buffer[::-1]
        shapes = {
            "grows": picture[: 10 + self.turns],
            "grey": picture[..., :1],
            "alpha": np.dstack([picture, picture[..., :1]]),
        }
        kinds = {"floats": picture / 255.0, "a list": [picture, picture], "nothing": None}
        return {**shapes, **kinds}.get(self.odd, picture)


gymnasium.register("Odd-v0", Odd, order_enforce=False, disable_env_checker=True)
