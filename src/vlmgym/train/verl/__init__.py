"""GRPO on a Ray cluster by verl: ``config`` maps a recipe, ``worker`` is what runs there."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
