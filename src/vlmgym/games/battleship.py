"""Battleship: sink a hidden fleet, shot by shot."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import PER_CELL, Outcome, State, StateError, best_rows
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.actions import Cells
from vlmgym.games.parts.boards import (
    Actions,
    Arrays,
    Boards,
    Marks,
    Seeds,
    Symbols,
    Values,
    cell_by_cell,
)
from vlmgym.games.parts.grid import GridGame, Turn
from vlmgym.games.parts.ships import MOST_SHIPS, LevelShips, deal_ships
from vlmgym.games.solvers.fleets import HIT, MISS, SAMPLED, SEA, SUNK, most_steps, study
from vlmgym.games.solvers.layouts import MAX_STEPS

TIE = 1e-9
SAMPLED_TIE = 0.02
"""Probabilities closer than this count as equal: exact ones, and those from samples, whose standard
error is about 0.01 (0.02 on one board in twenty, by three keys on 205 boards of ``hard``).
"""


@dataclass(frozen=True)
class LevelBattleship(LevelShips):
    """Rule settings of Battleship."""


@dataclass(frozen=True, eq=False)
class StateBattleship(State[LevelBattleship]):
    """A state of Battleship; ``board`` holds what is seen: 0 = sea, 1 = miss, 2 = hit, 3 = sunk."""

    # (B, rows, cols) number of the ship that lies there, from 1 on; no picture or text depends on
    # it, and no value of those that still swim
    ships: NDArray[np.uint8] = field(metadata=PER_CELL)
    # (B, rows, cols) the same of the ships that were seen to sink: which parts sank together
    wrecks: NDArray[np.uint8] = field(metadata=PER_CELL)


@kernel
def _play(turn, actions, ships, wrecks):
    """ships, wrecks (B, cells) uint8; wrecks are written as well."""
    cols = turn.board.shape[2]
    for game in range(len(turn.board)):
        board = turn.board[game]
        cell = actions[game]
        if turn.over[game] or cell < 0 or board[cell // cols, cell % cols] != SEA:
            continue
        ship = ships[game, cell]
        board[cell // cols, cell % cols] = HIT if ship else MISS
        turn.changed[game] = True
        turn.gain[game] = 1 if ship else 0
        swims = ship == 0
        others = False
        sea = False
        for other in range(board.size):
            is_sea = board[other // cols, other % cols] == SEA
            sea = sea or is_sea
            if is_sea and ships[game, other]:
                others = True
                swims = swims or ships[game, other] == ship
        for other in range(board.size):
            if not swims and ships[game, other] == ship:
                board[other // cols, other % cols] = SUNK
                wrecks[game, other] = ship
        turn.terminated[game] = not sea or (ship > 0 and not others)


class Battleship(GridGame[LevelBattleship, StateBattleship]):
    """Battleship on any board from 4x4 to 10x10, against a fleet that does not shoot back."""

    name = "Battleship"
    version = 1
    level_type = LevelBattleship
    state_type = StateBattleship
    answers = Cells("the cell to shoot at")
    symbols = ("sea", "miss", "hit", "sunk")
    kind = "sprite"
    unnamed = covered = SEA
    tags = ("memory", "deduction", "luck")
    sources = (
        "Battleship, https://en.wikipedia.org/wiki/Battleship_(game)",
        "D. E. Knuth, Estimating the Efficiency of Backtrack Programs (1975), "
        "https://doi.org/10.1090/S0025-5718-1975-0373371-6",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelBattleship(rows=5, cols=5, fleet="3,2", max_steps=18),
            "normal": LevelBattleship(max_steps=26),
            "hard": LevelBattleship(rows=8, cols=8, fleet="4,3,3,2", adjacent=True, max_steps=40),
            "tiny": LevelBattleship(rows=4, cols=4, fleet="3,2", adjacent=True, max_steps=14),
        }
    )
    RULES = (
        "This is Battleship on a board of {rows} rows and {cols} columns. A fleet of {ships} ships "
        "is hidden in it: {lengths} cells long, each in a straight line across or down. {touching} "
        "A move shoots at one cell that was not shot at. If no ship lies there, it is a miss, else "
        "a hit; when the last part of a ship is hit, all its parts are shown as sunk. The goal is "
        "to sink the whole fleet in few shots. Cells are written as sea where no shot was fired, "
        "and as miss, hit or sunk."
    )

    def words(self, level: LevelBattleship) -> dict[str, object]:
        """The fleet, and how it may lie."""
        *others, last = map(str, level.lengths)
        apart = "Ships do not touch each other, not even at corners."
        touching = "Ships may touch each other, but do not overlap." if level.adjacent else apart
        lengths = f"{', '.join(others)} and {last}"
        return {"ships": len(level.lengths), "lengths": lengths, "touching": touching}

    def is_exact(self, level: LevelBattleship) -> bool:
        """Whether all layouts are counted on every board; else those of boards where that takes too
        long are sampled.
        """
        return most_steps(level.places) <= MAX_STEPS

    def further(self, board: Boards) -> Arrays:
        """No ships."""
        return {name: np.zeros(board.shape, np.uint8) for name in ("ships", "wrecks")}

    def deal(self, level: LevelBattleship, seeds: Seeds, board: Boards) -> Arrays:
        """A fleet, every layout being equally likely."""
        arrays = self.further(board)
        terminated = np.zeros(len(board), bool)
        ships = cell_by_cell(arrays["ships"])
        deal_ships(level.places, seeds, ships, terminated)
        return arrays | {"terminated": terminated}

    def play(self, state: StateBattleship, actions: Actions, turn: Turn) -> None:
        """A hit gains 1; the game ends when all ships are sunk."""
        wrecks = cell_by_cell(turn.copy_of("wrecks"))
        ships = cell_by_cell(np.ascontiguousarray(state.ships))
        _play(turn.for_kernels(), actions, ships, wrecks)

    def points(self, state: StateBattleship) -> NDArray[np.float64]:
        """It ends when the fleet is sunk."""
        return np.where(state.terminated, 1.0, np.nan)

    def legal_moves(self, state: StateBattleship, legal: Marks) -> None:
        """The cells that were not shot at."""
        legal[:] = state.board.reshape(legal.shape) == SEA

    def joins(self, state: StateBattleship) -> NDArray[np.uint8] | None:
        """Parts of a sunk ship go on in each other where ships cannot touch; where they can, what
        belongs together is not shown.
        """
        if state.level.adjacent:
            return None
        sunk = state.board == SUNK
        joins = np.zeros(sunk.shape, np.uint8)
        down = sunk[:, :-1] & sunk[:, 1:]
        across = sunk[:, :, :-1] & sunk[:, :, 1:]
        joins[:, 1:] |= down * np.uint8(1)
        joins[:, :, :-1] |= across * np.uint8(2)
        joins[:, :-1] |= down * np.uint8(4)
        joins[:, :, 1:] |= across * np.uint8(8)
        return joins

    def oracle(self, state: StateBattleship) -> Values:
        """``(B, A)`` probability that the shot hits, given all that was seen: the board, and which
        parts sank together. Every layout of the fleet that agrees with it is equally likely.

        It is exact, unless counting the layouts of a board takes too long; then it is of 2,000
        random layouts with a fixed key, with a standard error of about 0.01. On described boards
        that no layout fits, all shots are alike.
        """
        return study(state.level, state.board, state.wrecks, state.ended).chance

    def success_mask(self, state: StateBattleship) -> Marks:
        """``(B, A)``: the shots of the greatest probability, but for :data:`TIE`, or
        :data:`SAMPLED_TIE` where probabilities are of samples.
        """
        known = study(state.level, state.board, state.wrecks, state.ended)
        mask = np.zeros(known.chance.shape, bool)
        for sampled, tie in ((False, TIE), (True, SAMPLED_TIE)):
            rows = (known.kind == SAMPLED) == sampled
            best = np.zeros_like(mask[rows])
            best_rows(known.chance[rows], -1.0, tie, best)
            mask[rows] = best
        return mask

    def success(self, state: StateBattleship, actions: Actions, outcome: Outcome) -> Marks:
        """``(B,)``: the shot was one of the most probable, whatever it hit."""
        return (actions >= 0) & self.success_mask(state)[np.arange(len(state)), actions]

    def from_symbols(self, level: LevelBattleship, symbols: Symbols) -> StateBattleship:
        """Games with some layout that fits or, where none fits, without ships; which parts sank
        together is not known. They are ended where as much is sunk as the fleet has.
        """
        board = np.array(symbols, np.uint8, order="C")
        arrays = self.further(board)
        arrays["ships"][:] = study(
            level, board, arrays["wrecks"], np.zeros(len(board), bool)
        ).layout
        all_sunk = (board == SUNK).sum(axis=(1, 2)) >= sum(level.lengths)
        no_sea = ~(board == SEA).any(axis=(1, 2))
        return self.start(level, board, terminated=all_sunk | no_sea, **arrays)

    def verify(self, state: StateBattleship) -> None:
        """Ships must have numbers of the fleet.

        Raises:
            StateError: one has not.
        """
        super().verify(state)
        highest = max(state.ships.max(initial=0), state.wrecks.max(initial=0))
        if highest > MOST_SHIPS:
            raise StateError(f"ship {highest} of Battleship: allowed are 1 to {MOST_SHIPS}")

    def explain(self, state: StateBattleship, row: int, action: int) -> str:
        """Such as ``"(0, 1) ship 0.25"`` (the probability), ``"(1, 1) shot"``."""
        text = self.encode(state.level, action)
        if state.board[row].flat[action] != SEA:
            return f"{text} shot"
        return f"{text} ship {self.oracle(state[row])[0, action]:.2f}"

    def candidates(self, state: StateBattleship, row: int) -> list[int]:
        """The three most probable shots, of equal ones the first, in reading order."""
        chance = np.nan_to_num(self.oracle(state[row])[0], nan=-1.0)
        best = sorted(range(len(chance)), key=lambda cell: (-round(chance[cell], 9), cell))
        return sorted(cell for cell in best[:3] if chance[cell] >= 0)
