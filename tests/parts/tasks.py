"""Tasks and settings that tests share."""

from vlmgym.episodes.task import Task
from vlmgym.train.compute import Compute

TINY_2048 = {
    "game": "2048",
    "level": "tiny",
    "look": "tiny",
    "prompt": "brief",
    "walk_min": 4,
    "walk_max": 40,
}
WIDE_2048 = {**TINY_2048, "look": "tiny:width=112,height=112"}
"""In frames that the processors of all families leave as they are."""
TINY_SHISEN_SHO = {
    "game": "ShisenSho",
    "level": "tiny",
    "look": "tiny",
    "prompt": "brief",
    "walk_max": 5,
    "walk_legal": True,
}
TINY_SWAP = {**TINY_SHISEN_SHO, "game": "Swap", "walk_max": 3}
T2048 = Task.parse(TINY_2048)
SWAP = Task.parse(TINY_SWAP)
ON_CPU = {"device": "cpu", "threads": 1}
CPU = Compute(**ON_CPU)
