"""GRPO on a Ray cluster by verl.

``config`` checks a recipe and starts verl, ``sections`` writes verl's settings for it, and
``worker`` is what runs there.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
