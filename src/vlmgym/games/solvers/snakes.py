"""Snakes: what a move meets, and a breadth-first search with a free tail that looks to survival.

The search plans with cells. A cell of the body may be entered from the move on with which the tail
leaves it; a way enters no cell twice. So a way that is found can be gone; one that would have to
wait until a cell is free is overlooked.

A snake is *safe* if some way leads its head onto a cell of its own body. It can then follow its own
trail: way and trail together are a circle of at least as many cells as the snake has, round which
it can go for ever, as long as it does not grow.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import DEAD
from vlmgym.core.kernels import apart, inner, kernel
from vlmgym.games.parts.boards import Boards, Values, step_from

FLOOR, WALL, FOOD, HEAD, CRASHED, BODY = range(6)
"""Values of the cells of a board, (rows, cols) uint8; ``BODY + move`` is a cell of the body whose
next cell towards the head is where that move leads.
"""
NOTHING, CRASH, STEP, EAT = range(4)
"""What a move does: nothing (onto the neck, or without a head), crash, a step, or eat."""
WAITING = -500.0
"""Value of a move that keeps the snake safe though no safe way to the food is known; more by the
moves until the head meets the trail.
"""
LEAST = -300.0
"""Ways to the food are worth more: minus their moves, which are fewer than the cells."""
WAYS = 64
"""Shortest ways from one place that are looked at for a safe one."""
_NEVER = 1 << 30


class Scratch(NamedTuple):
    """Arrays to work with, int64, with a place for each cell of a board and one more."""

    trail: Any  # the cells of the snake, the head first
    after: Any  # the same after a move
    fed: Any  # and after a way that ends with eating
    wait: Any  # by cell: the first move with which it may be entered
    moves: Any  # by cell: moves of a shortest way to it, -1 = none
    later: Any  # the same, of a fed snake
    queue: Any
    way: Any  # by moves: the cell that a way has reached
    tried: Any  # by moves: steps that were tried


@kernel
def new_scratch(cells):
    """Arrays for boards of so many cells."""
    rows = np.empty((9, cells + 1), np.int64)
    return Scratch(rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], rows[6], rows[7], rows[8])


@kernel
def follow(board, trail):
    """Write the cells of the snake into ``trail``, the head first; returns how many, 0 without a
    head.
    """
    cols = board.shape[1]
    length = 0
    for cell in range(board.size):
        if board[cell // cols, cell % cols] in (HEAD, CRASHED):
            trail[0] = cell
            length = 1
            break
    grown = length > 0
    while grown:
        grown = False
        for move in range(4):
            behind = step_from(board, trail[length - 1], (move + 2) % 4)
            if behind >= 0 and board[behind // cols, behind % cols] == BODY + move:
                trail[length] = behind
                length += 1
                grown = True
                break
    return length


@kernel
def effect_of(board, trail, length, move):
    """What a move does, of :data:`NOTHING` to :data:`EAT`."""
    if length == 0:
        return NOTHING
    target = step_from(board, trail[0], move)
    if length > 1 and target == trail[1]:
        return NOTHING
    if target < 0:
        return CRASH
    value = board[target // board.shape[1], target % board.shape[1]]
    if value == FOOD:
        return EAT
    return STEP if value == FLOOR or target == trail[length - 1] else CRASH


@apart
def _spread(board, wait, start, moves, queue):
    """Write the moves of a shortest way from ``start`` to each cell.

    Returns:
        The number of cells that are reached, and the moves until the head first meets its own
        trail, 0 = never.
    """
    for cell in range(board.size):
        moves[cell] = -1
    moves[start] = 0
    queue[0] = start
    queued = 1
    taken = 0
    meets = 0
    while taken < queued:
        cell = queue[taken]
        taken += 1
        for move in range(4):
            target = step_from(board, cell, move)
            if target < 0 or moves[cell] + 1 < wait[target]:
                continue
            if wait[target] > 0 and meets == 0:
                meets = moves[cell] + 1
            if moves[target] < 0:
                moves[target] = moves[cell] + 1
                queue[queued] = target
                queued += 1
    return queued, meets


@inner
def _explore(board, work, own_length, snake, length, food_blocks, moves):
    """Spread from the head of a snake that was ``work.trail`` on the board and now is ``snake``.

    Returns:
        As :func:`_spread`; ``meets`` is 1 where no cell is left, so that the game is won.
    """
    cols = board.shape[1]
    room = 0
    for cell in range(board.size):
        value = board[cell // cols, cell % cols]
        is_free = value == FLOOR or (value == FOOD and not food_blocks)
        work.wait[cell] = 0 if is_free else _NEVER
        room += value in (FLOOR, FOOD)
    for index in range(own_length):
        work.wait[work.trail[index]] = 0
    for index in range(length):
        work.wait[snake[index]] = length - index
    if length == 2:
        work.wait[snake[1]] = 2  # one cannot turn round
    reached, meets = _spread(board, work.wait, snake[0], moves, work.queue)
    return reached, 1 if room + own_length == length else meets


@inner
def _feed(work, length, way_length):
    """Write the snake into ``work.fed`` that ``work.after`` is after ``work.way``, at whose end it
    eats.
    """
    for index in range(length + 1):
        on_way = way_length - index
        work.fed[index] = work.way[on_way] if on_way > 0 else work.after[-on_way]


@apart
def _has_safe_way(board, work, own_length, length, food):
    """Whether after one of the shortest ways of ``work.moves`` to the food the snake is safe; up to
    :data:`WAYS` of them are looked at.
    """
    last = work.moves[food]
    work.way[last] = food
    work.tried[last] = 0
    place = last
    looked_at = 0
    while place <= last:
        if place == 0:
            _feed(work, length, last)
            safe = _explore(board, work, own_length, work.fed, length + 1, False, work.later)[1]
            looked_at += 1
            if safe or looked_at == WAYS:
                return safe > 0
            place = 1
        move = work.tried[place]
        if move == 4:
            place += 1
            continue
        work.tried[place] += 1
        before = step_from(board, work.way[place], move)
        if before >= 0 and work.moves[before] == place - 1:
            place -= 1
            work.way[place] = before
            work.tried[place] = 0
    return False


@inner
def _nearest_food(board, moves):
    """The food with the fewest moves, the first in reading order; -1 where none is reached."""
    cols = board.shape[1]
    nearest = -1
    for cell in range(board.size):
        is_reached = board[cell // cols, cell % cols] == FOOD and moves[cell] >= 0
        if is_reached and (nearest < 0 or moves[cell] < moves[nearest]):
            nearest = cell
    return nearest


@apart
def _worth(board, work, own_length, target, eats):
    """The value of a move of ``work.trail`` onto a cell where it does not crash."""
    length = own_length + eats
    work.after[0] = target
    for index in range(1, length):
        work.after[index] = work.trail[index - 1]
    reached, meets = _explore(board, work, own_length, work.after, length, False, work.moves)
    if eats:
        return -1.0 if meets else DEAD + reached
    food = _nearest_food(board, work.moves)
    if food >= 0:
        way_length = work.moves[food]
        if _has_safe_way(board, work, own_length, length, food):
            return -1.0 - way_length
    meets = _explore(board, work, own_length, work.after, length, True, work.moves)[1]
    return WAITING + meets if meets else DEAD + reached


@apart
def write_values(board, work, value):
    """Write the value of each move of one game, see :func:`values`; (4,) float64."""
    length = follow(board, work.trail)
    for move in range(4):
        effect = effect_of(board, work.trail, length, move)
        if effect == NOTHING:
            value[move] = np.nan
        elif effect == CRASH:
            value[move] = DEAD
        else:
            target = step_from(board, work.trail[0], move)
            value[move] = _worth(board, work, length, target, effect == EAT)


@kernel
def _values(boards, ended, value):
    work = new_scratch(boards.shape[1] * boards.shape[2])
    for game in range(len(boards)):
        if ended[game]:
            value[game] = np.nan
        else:
            write_values(boards[game], work, value[game])


def values(board: Boards, ended: NDArray[np.bool_]) -> Values:
    """Values of the four moves, ``(B, 4)``; NaN where a move does nothing.

    Where a safe way to the food is known that begins with the move: minus its moves, of a shortest
    one. Else, where the snake stays safe without eating: :data:`WAITING` and the moves until it
    meets its trail. Else :data:`DEAD` and the cells that it reaches; a crash has :data:`DEAD`.

    Args:
        board: ``(B, rows, cols)``.
        ended: ``(B,)`` games without moves.
    """
    value = np.empty((len(board), 4))
    _values(board, ended, value)
    return value
