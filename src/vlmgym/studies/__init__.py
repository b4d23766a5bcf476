"""Many runs as one experiment.

``study`` reads what is to be trained and asked (``entries``), ``plan`` what is claimed before (each
``claim``); ``schedule`` says which jobs that makes, ``runner`` does them one by one (``jobs``), in
``processes``. ``branches`` plays the tables on which ``blocks`` measures ways to give credit.
``results`` reads what was measured, ``verdicts`` says what follows for each claim, ``power`` what
could be decided; ``report`` writes it down (``sections``, ``plots``).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
