"""A board of each game, and its description."""

import pytest

from vlmgym.core import seeds_for
from vlmgym.dialogue.perception import truth
from vlmgym.games import GAMES, get_game


@pytest.fixture(scope="session", params=GAMES)
def described(request):
    """A board in the middle of a game, with symbols of several kinds: its scene and the lines of
    its truth.
    """
    game = get_game(request.param)
    state = game.reset(game.level("easy"), seeds_for("free", "described", "easy", 1))
    for _ in range(3):
        state, _ = game.step(state, game.draw_legal(state))
    return game.scene(state), truth(game, state)[0].split("\n")
