from .worker import GameAgentLoop as GameAgentLoop
from .worker import GameDataset as GameDataset
