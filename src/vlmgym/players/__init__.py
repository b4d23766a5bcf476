"""Who acts: every player maps states to replies.

A :class:`Query` is what a player is asked about some games of one kind, an :class:`Answer` a reply
and how it came about. ``simple``, ``teacher`` and ``beginner`` are programs that know the true
board; ``local`` asks a model in this process (``model_inputs`` makes what it reads, ``relay`` has
one go on from another's description), ``api`` one behind an endpoint (``wire`` speaks with it,
``requests`` writes what is sent, ``sampling`` says which settings it knows); ``registry`` makes a
player from the word of a command line.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
