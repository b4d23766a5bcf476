"""Shisen-Sho by a plain breadth-first search."""

from __future__ import annotations

from collections import deque
from itertools import product

import numpy as np


def reachable(
    board: np.ndarray, start: tuple[int, int], max_bends: int, margin: int
) -> set[tuple[int, int]]:
    """Tiles that a path from ``start`` ends on: breadth-first over (cell, direction, bends)."""
    rows, cols = board.shape
    first = [(start, way, 0) for way in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    queue, seen, ends = deque(first), set(first), set()
    while queue:
        (r, c), (dr, dc), bends = queue.popleft()
        r, c = r + dr, c + dc
        if not (-margin <= r < rows + margin and -margin <= c < cols + margin):
            continue
        if 0 <= r < rows and 0 <= c < cols and board[r, c] != 0:
            ends.add((r, c))
            continue
        onward = [((r, c), (dr, dc), bends)]
        if bends < max_bends:
            onward += [((r, c), (dc, dr), bends + 1), ((r, c), (-dc, -dr), bends + 1)]
        for node in onward:
            if node not in seen:
                seen.add(node)
                queue.append(node)
    return ends - {start}


def plain_pairs(board: np.ndarray, max_bends: int, margin: int) -> set[tuple[int, int]]:
    """All unordered joinable pairs as cell numbers, first < second."""
    rows, cols = board.shape
    pairs = set()
    for r, c in product(range(rows), range(cols)):
        if board[r, c] != 0:
            for i, j in reachable(board, (r, c), max_bends, margin):
                if board[i, j] == board[r, c] and r * cols + c < i * cols + j:
                    pairs.add((r * cols + c, i * cols + j))
    return pairs
