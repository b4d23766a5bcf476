"""Many runs as one experiment.

``study`` reads what is to be trained and asked, ``runner`` does it, job by job, in ``processes``.
``g1`` is the one study of this library: along the lines of the paper.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
