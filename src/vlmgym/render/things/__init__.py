"""Drawings of things, by what shows them together: walls and lakes, mines, cars, pipes, cards.

Each module has a table ``SPRITES`` of its drawings by name; :mod:`vlmgym.render.sprites` puts them
together. ``pencil`` is what they are drawn with.
"""
