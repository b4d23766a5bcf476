"""Tasks and settings that tests share."""

from vlmgym.episodes.task import Task
from vlmgym.train.compute import Compute

T2048 = Task.parse(
    {
        "game": "2048",
        "level": "tiny",
        "look": "tiny",
        "prompt": "brief",
        "walk_min": 4,
        "walk_max": 40,
    }
)
SWAP = Task.parse(
    {
        "game": "Swap",
        "level": "tiny",
        "look": "tiny",
        "prompt": "brief",
        "walk_max": 3,
        "walk_legal": True,
    }
)
CPU = Compute(device="cpu", threads=1)
