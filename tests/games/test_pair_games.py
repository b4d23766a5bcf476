"""Games in which two cells are named: what holds for each of them."""

import numpy as np
import pytest

from vlmgym.core import concat, seeds_for
from vlmgym.games.shisen_sho import LevelShisenSho, ShisenSho
from vlmgym.games.swap import LevelSwap, Swap

SMALL = {
    ShisenSho(): LevelShisenSho(rows=4, cols=4, max_steps=12),
    Swap(): LevelSwap(rows=6, cols=5, colours=5, shapes=1, max_steps=12),
}


@pytest.mark.parametrize("game", SMALL, ids=lambda game: game.name)
def test_row_does_not_depend_on_its_batch(game):
    level = SMALL[game]
    seeds, rng = seeds_for("free", game.name, "batch", 9), np.random.default_rng(0)
    batch, alone = game.reset(level, seeds), [game.reset(level, seeds[i : i + 1]) for i in range(9)]
    count = game.n_actions(level)
    for _ in range(14):
        legal = game.legal(batch)
        actions = np.where(
            rng.random(9) < 0.8,
            (rng.random(legal.shape) * legal).argmax(1),
            rng.integers(-1, count, 9),
        )
        batch, _ = game.step(batch, actions)
        alone = [game.step(s, actions[i : i + 1])[0] for i, s in enumerate(alone)]
        assert concat(alone) == batch
        assert np.array_equal(
            game.oracle(batch), np.concatenate([game.oracle(s) for s in alone]), equal_nan=True
        )
