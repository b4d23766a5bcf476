"""DoorKey of MiniGrid as a game of vlmgym, with a partial view; an environment of others in one
file, to copy from.

The player sees the seven by seven cells before it, and remembers the rest or does not (``vlmgym
eval --history``). Its oracle is exact: a breadth-first search of the whole room.
"""

from collections import deque

import gymnasium
import minigrid  # noqa: F401 - registers its environments

from vlmgym import from_gymnasium
from vlmgym.games.external import LevelOutside, OutsideGame

ACTIONS = {"turn left": 0, "turn right": 1, "forward": 2, "pick up": 3, "open": 5}
"""What answers are called, and MiniGrid's numbers."""
SIZE = 6
"""Rows and columns of the room, walls included."""
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Column and row steps of MiniGrid's directions: right, down, left, up."""
RULES = (
    "This is DoorKey. You see what lies before you: you stand in the middle of the lowest row of "
    "the picture and look up. A wall with a locked door parts the room. Pick up the key, open the "
    "door with it, and walk onto the green square. Keys and doors are picked up and opened on the "
    "cell right before you."
)


class WholeReward(gymnasium.RewardWrapper):
    """1 at the goal: MiniGrid pays less the later it is reached, and points are whole numbers."""

    def reward(self, reward):
        """1 for any reward."""
        return float(reward > 0)


def make_room(render_mode=None):
    """The environment of MiniGrid, seen from the player's place."""
    name = f"MiniGrid-DoorKey-{SIZE}x{SIZE}-v0"
    return WholeReward(gymnasium.make(name, render_mode=render_mode, agent_pov=True))


def minus_moves_left(env):
    """Minus the moves of a shortest way to the goal; breadth-first search over place, direction,
    key and door.
    """
    room = env.unwrapped
    things = {
        (column, row): room.grid.get(column, row)
        for column in range(room.width)
        for row in range(room.height)
    }
    kinds = {place: thing.type for place, thing in things.items() if thing is not None}
    is_open = any(kinds.get(place) == "door" and things[place].is_open for place in things)
    start = (
        tuple(map(int, room.agent_pos)),
        int(room.agent_dir),
        room.carrying is not None,
        is_open,
    )
    moves = {start: 0}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if kinds.get(state[0]) == "goal":
            return -float(moves[state])
        for after in _followers(state, kinds):
            if after not in moves:
                moves[after] = moves[state] + 1
                queue.append(after)
    return -1000.0


def _followers(state, kinds):
    """What each action makes of a place, a direction, whether the key is held, the door open."""
    place, direction, has_key, is_open = state
    yield place, (direction - 1) % 4, has_key, is_open
    yield place, (direction + 1) % 4, has_key, is_open
    ahead = place[0] + STEPS[direction][0], place[1] + STEPS[direction][1]
    kind = kinds.get(ahead, "")
    if kind == "key" and not has_key:
        yield place, direction, True, is_open
    if kind == "door" and (has_key or is_open):
        yield place, direction, has_key, not is_open
    free = kind in ("", "goal") or (kind == "door" and is_open) or (kind == "key" and has_key)
    if free:
        yield ahead, direction, has_key, is_open


def doorkey() -> OutsideGame:
    """The game, for ``--game doorkey:doorkey``."""
    if "DoorKeySeen-v0" not in gymnasium.registry:
        gymnasium.register("DoorKeySeen-v0", make_room)
    return from_gymnasium(
        "DoorKeySeen-v0",
        ACTIONS,
        RULES,
        name="DoorKey",
        levels={
            "easy": LevelOutside(max_steps=100),
            "normal": LevelOutside(max_steps=50),
            "hard": LevelOutside(max_steps=50, sticky=0.1),
        },
        value=minus_moves_left,
        sources=("M. Chevalier-Boisvert et al., Minigrid and Miniworld (2023), arXiv 2306.13831",),
    )
