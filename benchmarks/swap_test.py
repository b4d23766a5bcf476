"""Does the think block read the description or the picture?

The swap test (docs/results.md, "What the description does").

Every reply begins with a description of *another* board; the picture stays. Of the tiles that the
think block then names in cells where the boards differ, those are counted that are as in the
picture, and as in the description. With --success the moves are counted that work after the model's
own description, the true one, that of another board and one tile in every cell, and after its own
under the plain look: the same states, printed instead of turned.

usage: swap_test.py MODEL [--prompt brief|moves] [--states 60] [--success] [--out result.json]
(MODEL: tiny, or a folder)
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np

from vlmgym.core import Game, State
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import judge
from vlmgym.dialogue.reply import parse
from vlmgym.dialogue.thinking import named_tiles
from vlmgym.episodes.task import Task
from vlmgym.evals import stats
from vlmgym.games import get_game
from vlmgym.models.loading import banned_tokens, load
from vlmgym.players.base import Answer, Query
from vlmgym.players.local import LocalPlayer
from vlmgym.render.looks import get_look

GAME, PLAIN, TURNED = "ShisenSho", "tiny", "tiny:rotation=8"


def counts(
    game: Game, shown: State, told: State, replies: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each state, the tiles named in cells where the boards differ; of those, as in the
    picture, as in the description.
    """
    scene = game.scene(shown)
    described = game.scene(told).symbols
    total, picture, description = (np.zeros(len(shown)) for _ in range(3))
    for row, reply in enumerate(replies):
        think = parse(game, shown.level, reply).think or ""
        tiles = named_tiles(think, scene.names, scene.symbols[row], described[row])
        total[row] = tiles.conflicts
        picture[row] = tiles.as_shown
        description[row] = tiles.as_described
    return total, picture, description


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--prompt", default="brief", choices=("brief", "moves"))
    parser.add_argument("--states", type=int, default=60)
    parser.add_argument("--first", type=int, default=0, help="number of the first test state")
    parser.add_argument("--success", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model, processor = load(options.model)
    player = LocalPlayer(
        model,
        processor,
        name=options.model,
        look=PLAIN,
        style=options.prompt,
        banned=banned_tokens(model, processor),
        max_new_tokens=192,
        batch=64,
    )
    game = get_game(GAME)

    def ask(state: State, look: str, begun: list[str]) -> list[str]:
        return [
            Answer.of(one).text
            for one in player.answer(
                [Query(game, state, get_look(look), options.prompt, begun=begun)]
            )[0]
        ]

    task = {
        "game": GAME,
        "level": "tiny",
        "prompt": options.prompt,
        "walk_max": 5,
        "walk_legal": True,
    }
    found: dict[str, object] = {}
    for look in (PLAIN, TURNED):
        state = Task(look=look, **task).states("test", options.states, options.first)
        other = state[np.roll(np.arange(len(state)), 1)]
        begun = prompt.prefills(game, other, options.prompt)
        total, picture, description = counts(game, state, other, ask(state, look, begun))
        found[look] = {
            "tiles": int(total.sum()),
            "as in the picture": str(stats.ratio(picture, total)),
            "as in the description": str(stats.ratio(description, total)),
        }
        if options.success and look == TURNED:
            true = prompt.prefills(game, state, options.prompt)
            names = "|".join(map(re.escape, sorted(game.scene(state).names, key=len, reverse=True)))
            one = [re.sub(rf"\b(?:{names})\b", "red circle", text) for text in true]
            asked = {
                "its own": (look, []),
                "the true one": (look, true),
                "another board's": (look, begun),
                "red circle": (look, one),
            }
            asked["its own, tiles printed"] = (PLAIN, [])
            worked = {}
            for name, (shown, given) in asked.items():
                judged = judge(game, state, ask(state, shown, given))[1]
                worked[name] = np.array([turn.terms["game"] > 0 for turn in judged], float)
            found["success after"] = {
                name: str(stats.mean(values)) for name, values in worked.items()
            }
            gap = stats.paired(worked["its own, tiles printed"], worked["its own"])
            found["printed - turned"] = (
                f"{gap.mean:.3f} [{gap.low:.3f}, {gap.high:.3f}], p = {gap.p:.3g}"
            )
    text = json.dumps(found, indent=1)
    sys.stdout.write(text + "\n")
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
