"""What a model is told, what it says, and what that is worth.

``prompt`` writes the question of a position. ``reply`` takes what comes back apart (the
description of the board, the reasoning, the answer), and ``perception`` reads the description.
``judge`` plays the answer and gives the reward terms, and the fault where there is one: was the
board seen wrongly, or the move thought wrongly?
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
