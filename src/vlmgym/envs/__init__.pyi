from .environments import GameEnv as GameEnv
from .environments import GameVectorEnv as GameVectorEnv
