"""What of the description can be had without looking, on every game."""

from __future__ import annotations

from vlmgym.core import Game
from vlmgym.dialogue.judge import constant_cells
from vlmgym.episodes.task import Task
from vlmgym.games import GAMES

LEVELS = ("easy", "normal", "hard")
STATES = 100
"""Of the test split, behind each number."""
WALK = 20
"""Random moves, at most, before a state."""


def chance_of_cells(game: Game, level: str) -> float:
    """The chance level of ``cells`` on :data:`STATES` states after up to :data:`WALK` moves."""
    state = Task(game=game, level=level, walk_max=WALK).states("test", STATES)
    return constant_cells(game.scene(state).symbols)


def table() -> str:
    """The chance level of ``cells`` of all games in Markdown, as docs/evaluation.md holds it."""
    lines = ["| | " + " | ".join(LEVELS) + " |", "|---" * (1 + len(LEVELS)) + "|"]
    for name, game in GAMES.items():
        cells = []
        for level in LEVELS:
            is_there = level in game.LEVELS
            cells.append(f"{chance_of_cells(game, level):.2f}" if is_there else "-")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
