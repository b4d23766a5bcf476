"""Exact values of moves: what an oracle knows that needs a search, each a concept of its own.

``fifteen`` solves sliding puzzles, ``boxes`` rooms with boxes, ``walks`` ways over ice; ``mines``
has the probabilities of mines, with the groups of its ``frontier``. They know nothing of the games
that ask them.
"""
