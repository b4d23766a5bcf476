"""Exact solvers, which know nothing of the games that ask them."""

DEAD = -1000.0
"""Value of a move after which there is no solution."""
