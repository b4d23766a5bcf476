"""Who acts: every player maps states to reply texts."""

PLAYERS = (
    "random, random-legal, greedy, oracle, teacher[:error], scripted:FILE, local:MODEL, "
    "relay:MODEL+MODEL, api:MODEL, "
    "anthropic:MODEL"
)
MAX_TOKENS = 4096
"""New tokens of a reply where nothing else is said: room for a model that thinks before its first
visible word.
"""
