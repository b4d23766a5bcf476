"""For authors of games: everything that the library relies on, tried on a game."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
