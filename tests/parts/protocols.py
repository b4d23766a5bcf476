"""A small protocol."""

SMALL = {
    "tasks": [
        {"game": "2048", "level": "tiny", "look": "tiny"},
        {"game": "Swap", "level": "tiny", "look": "tiny", "evaluation": {"turns": 3}},
    ],
    "evaluation": {"episodes": 4, "turns": 5},
    "sampling": {"temperature": 0},
}
