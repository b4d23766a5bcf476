"""How much the check of a game tries."""

from __future__ import annotations

GAMES_A_CHECK = 12
TURNS = 12
ACTIONS_TRIED = 64
LUCKS_TRIED = 40
SYMBOLS_DRAWN = 32
RUNS = 64
RUNS_TRIED = 4
"""Runs of actions that are played from as many seeds as ``RUNS``, to see whether the seed is
used.
"""
POSITIONS = 16
MOVES_TRIED = 256
"""Positions of a puzzle, and moves in them, of which the values are followed up."""
SMALL = 16
"""Cells of a board on which all moves may well be as good as each other."""
EPISODES = 40
ENDING = 40
"""Turns of the oracle's play to ends of the game."""
LONGEST = 200
"""Turns of these episodes (a quarter of them for games that render themselves)."""
CONFIDENCE = 0.999
"""Of the statement that the oracle beats random play."""
Z = 3.09
"""Standard errors that this confidence needs, one-sided (the 0.999 quantile of the normal
distribution).
"""
