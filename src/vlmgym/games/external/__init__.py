"""Any Gymnasium environment that renders RGB, as a game.

``making`` takes the id of an environment and checks what it is given; ``adapter`` is the game;
``environment`` plays turns, and keeps and restores where an environment stands. Whether snapshots
are exact gets tested when the game is made (that of ``breakout`` when its environment is), and an
environment of which they are not is refused.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
