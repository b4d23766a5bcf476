from .adapter import OutsideGame as OutsideGame
from .adapter import SnapshotError as SnapshotError
from .environment import OutsideError as OutsideError
from .levels import LevelAtari as LevelAtari
from .levels import LevelOutside as LevelOutside
from .levels import StateOutside as StateOutside
from .making import from_gymnasium as from_gymnasium
