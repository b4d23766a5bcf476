"""Values of moves: what an oracle knows that needs a search, each a concept of its own.

Exact are ``fifteen`` of sliding puzzles, ``boxes`` of rooms with boxes and ``walks`` of ways over
ice; ``mines`` has the probabilities of mines, with the groups of its ``frontier``; ``merges`` and
``cascades`` look ahead as far as luck can be known. They know nothing of the games that ask them.
"""
