"""A player of whom it is known what its think block reads."""

import numpy as np

from vlmgym.players.base import Player


class Follower(Player):
    """Goes on from a given description: names tiles of what was described, or of the board."""

    name = "follower"
    sees = "picture"

    def __init__(self, reads):
        self.reads = reads

    def describe(self):
        return {"kind": "follower", "reads": self.reads}

    def answer(self, queries):
        return [[self._reply(query, row) for row in range(len(query.state))] for query in queries]

    def _reply(self, query, row):
        begun = query.begun[row]
        scene = query.game.scene(query.state)
        shown = {}
        for cell, symbol in np.ndenumerate(scene.symbols[row]):
            shown[cell] = scene.names[symbol]
        if self.reads == "nothing":
            thought = "I guess"
        elif self.reads == "picture":
            thought = " ".join(f"{cell} {tile}" for cell, tile in shown.items())
        else:
            thought = begun.removeprefix("<perception>").removesuffix("</perception>")
        return f"{begun}<think>{thought}</think><answer>none</answer>"
