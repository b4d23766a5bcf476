"""From episodes to numbers.

``evaluation`` plays frozen seeds and writes a trace and a summary; a ``protocol`` is many of them.
``metrics`` is the one table of what is measured, ``stats`` has the intervals. ``reading`` reads
finished evaluations; of these ``comparison`` pairs players, ``leaderboards`` ranks them,
``confusions`` tells what is taken for what, ``curves`` what difficulty changes. ``baselines`` are
stored. Episodes that failed are missing everywhere, never zero.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
