"""The games as Gymnasium environments: one game, or a batch of them as one state."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
