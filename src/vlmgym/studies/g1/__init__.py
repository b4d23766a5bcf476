"""The study along the lines of the paper: all that knows this one study.

``paper`` has what the paper says, ``findings`` what the runs have measured, ``claims`` what follows
from it; ``tables`` and ``plots`` (``bars``, ``curves``, ``axes``) show it, for the page that
``vlmgym reproduce --report`` writes. What any study needs stands one package above.
"""
