"""From episodes to numbers.

``evaluation`` plays frozen seeds, as its ``settings`` say, and writes a trace and a summary
(``progress``, ``resuming``, ``folders``; ``rescoring`` judges old replies anew); a ``protocol`` is
many of them, and ``duels`` let two players play against each other. ``metrics`` is the one table of
what is measured, ``summaries`` hold it; ``stats`` has the intervals of players, ``crossed_effects``
those over training seeds, ``estimates`` how they are written. ``reading`` reads finished
evaluations; of these ``comparison`` pairs players, ``leaderboards`` ranks them, ``confusions``
tells what is taken for what, ``curves`` what difficulty changes, ``turns_table`` is all turns in
Parquet. ``baselines`` are stored. Episodes that failed are missing everywhere, never zero.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
