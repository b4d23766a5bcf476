"""The games, one file a game, and how they are found.

``bundled`` lists them, ``registry`` finds a game by its name: one of these, one of an installed
package, or ``module:Class``; what a *state* or a *trace* names is only looked up, never imported.
``parts`` is what games are made of, ``solvers`` are exact oracles, ``external`` makes a game of any
Gymnasium environment, ``guard`` holds games of others to their contract.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
