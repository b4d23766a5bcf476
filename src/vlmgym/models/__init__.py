"""Models that see: any image-text model of Transformers, and the embedded tiny one.

``loading`` finds a model by its name (``tiny``, a folder, or one of the hub) and says which weights
those are. ``tiny/`` is the embedded model, ``known/`` what is stated of some large ones.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
