"""Breakout of the Arcade Learning Environment."""

from __future__ import annotations

from typing import Any

from vlmgym.core import need
from vlmgym.games.external.adapter import Adaptation, OutsideGame
from vlmgym.games.external.environment import Environment
from vlmgym.games.external.levels import LevelAtari
from vlmgym.games.external.making import maker

# Addresses in the memory of Breakout (Anand et al. 2019, Unsupervised State Representation Learning
# in Atari).
BALL_X = 99
BALL_Y = 101
PADDLE_X = 72
LIVES = 5
HALF_PADDLE = 8.0
SCREEN_WIDTH = 160.0

RULES = (
    "This is Breakout. The paddle at the bottom moves left and right and sends the ball back up; "
    "bricks that the ball hits vanish and score 1, 4 or 7 points, more in the upper rows. A ball "
    "that passes the paddle is lost; there are five. The answer serve brings a new ball when there "
    "is none. Each answer is held for a moment of play."
)
SOURCES = (
    "Atari, Breakout (1976, for the 2600: 1978), "
    "https://en.wikipedia.org/wiki/Breakout_(video_game)",
    "M. Bellemare et al., The Arcade Learning Environment (2013), "
    "https://doi.org/10.1613/jair.3912",
)


def breakout_value(env: Environment) -> float:
    """Minus the distance of the paddle's centre from the ball, in screen widths; -2 while no ball
    is in play, -1 a lost ball.
    """
    emulator: Any = env.unwrapped.ale  # type: ignore[attr-defined]
    memory = emulator.getRAM()
    lost = emulator.lives() - LIVES
    if memory[BALL_Y] == 0:
        return float(3.0 * lost - 2.0)
    distance = abs(float(memory[BALL_X]) - float(memory[PADDLE_X]) - HALF_PADDLE)
    return float(3.0 * lost - distance / SCREEN_WIDTH)


def breakout() -> OutsideGame:
    """The game; its snapshots are tried when the environment is first made."""
    need("atari", "ale_py")
    return OutsideGame(
        Adaptation(
            name="Breakout",
            make=maker("ALE/Breakout-v5", {}),
            actions={"stay": 0, "serve": 1, "right": 2, "left": 3},
            rules=RULES,
            levels={
                "easy": LevelAtari(max_steps=100, frameskip=8),
                "normal": LevelAtari(max_steps=300, frameskip=4),
                "hard": LevelAtari(max_steps=300, frameskip=4, sticky=0.25, difficulty=1),
            },
            value=breakout_value,
            sources=SOURCES,
        )
    )
