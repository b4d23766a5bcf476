"""A Scene and a Look to pixels.

``looks`` are the dials of how a board looks, ``photos`` the photographs of its tiles, ``drawing``
draws one cell, ``frames`` puts the cells of whole batches together, and ``pixel_values`` makes of
them what a model's processor would.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
