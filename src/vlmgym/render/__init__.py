"""A Scene and a Look to pixels.

``looks`` are the dials of how a board looks, ``photos`` the photographs of its tiles. A cell is
drawn once: ``cells`` asks ``tiles`` or ``sprites`` for its face, and ``effects`` turn, hide and
blur it. ``atlas`` keeps the cells of a look, ``frames`` gathers pictures of whole batches from
them, and ``pixel_values`` makes of these what a model's processor would.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
