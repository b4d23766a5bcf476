"""Asking turn after turn.

A :class:`Task` says what is played and where states come from. A batch of episodes
(``batch``) asks a player about each state, judges the replies, plays the moves, and keeps a
:class:`Turn` of each; ``trace`` is the file of those. ``seats`` are batches of two players who play
against each other. ``curriculum`` walks a ladder of levels or looks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
