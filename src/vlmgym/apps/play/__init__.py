"""A person plays: a page on this machine only, whose episodes are saved as an ordinary trace of the
player ``human``.

Every answer is a text that is read like a model's reply. ``inputs`` says how a person can answer,
``session`` plays and ``record`` keeps the trace, ``server`` shows the page.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
