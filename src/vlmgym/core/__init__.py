"""The values and contracts that everything else is made of; NumPy and Numba only.

A :class:`Game` makes a :class:`State` (a batch of games, a value) from a :class:`Level` and seeds,
``step`` makes the next one from actions, and ``scene`` says what is to be seen of it: a
:class:`Scene`, the only source of pixels and of the truth text. Luck is a function of (seed, turn,
number of the draw). What can be set is a :class:`Settings` whose fields say what is allowed; what
goes wrong is a :class:`VlmGymError` with one sentence. Below all of it lie the kernels
(``kernels``), settings in files (``config``), and files that are written whole (``files``).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
