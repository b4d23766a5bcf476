"""What games are made of, each of use to several.

``grid`` has the classes that a game on a grid starts from: it says how a board is dealt, what a
turn writes and which moves are legal, and the rest is here. ``actions`` says how answers name what
is done; ``boards``, ``lines``, ``slides``, ``paths`` are kernels on boards; ``mazes``, ``rooms``
and ``minefields`` deal solvable ones; ``pairs`` is common to the games of pairs, ``tile_kinds``
names tiles, ``explanations`` has a teacher's phrases.
"""
