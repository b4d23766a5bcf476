"""Set: find three cards that are alike or all different in each of their attributes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import NO_ACTION, ConfigError, State, setting
from vlmgym.games.parts.action_texts import name_tiles, write_cell
from vlmgym.games.parts.actions import CellTriples, triples
from vlmgym.games.parts.boards import Actions, Arrays, Boards, GridLevel, Marks, Seeds, Values
from vlmgym.games.parts.grid import GridGame, Turn
from vlmgym.games.parts.set_cards import NAMES, VALUES, deal_cards, take_sets
from vlmgym.games.solvers.sets import NONE, THIRD, mark_sets

ATTRIBUTES = ("number", "colour", "shape", "filling")
"""What cards differ in, in the order in which levels take them."""
MOST_SETS = MappingProxyType({6: 3, 8: 5, 9: 6, 10: 9, 12: 14, 15: 23})
"""By the cards on the table: the most sets that can be asked for; all numbers below can be had."""
LEAST_SETS = MappingProxyType({(2, 6): 2, (3, 10): 2, (3, 12): 4, (3, 15): 13})
"""By attributes and cards on the table: the fewest sets where one alone cannot be had."""


@dataclass(frozen=True)
class LevelSet(GridLevel):
    """Rule settings of Set."""

    rows: int = setting(3, "rows of cards", 2, 3)
    cols: int = setting(4, "columns of cards", 3, 5)
    attributes: int = setting(
        4, "what cards differ in: number and colour, then shape, then filling", 2, 4
    )
    sets: int = setting(3, "sets on the table, at each turn", 1, 23)

    def __post_init__(self) -> None:
        """Check that there are cards enough, and tables with so many sets.

        Raises:
            ConfigError: a field is out of range, there are too few different cards, or no table
                that has exactly so many sets.
        """
        super().__post_init__()
        cards = self.rows * self.cols
        if cards + 3 > 3**self.attributes:
            allowed = f"3 or more for {cards} cards: 2 attributes make 9 different cards"
            raise ConfigError("LevelSet.attributes", self.attributes, allowed)
        least = LEAST_SETS.get((self.attributes, cards), 1)
        most = MOST_SETS[cards]
        if not least <= self.sets <= most:
            allowed = f"{least} to {most} among {cards} cards with {self.attributes} attributes"
            raise ConfigError("LevelSet.sets", self.sets, allowed)

    @property
    def deck(self) -> int:
        """Different cards."""
        return int(3**self.attributes)


StateSet: TypeAlias = State[LevelSet]


# A board holds uint8: 0 = no card, else a card of the solver.
class Set(GridGame[LevelSet, StateSet]):
    """Set with 6 to 15 cards of 2 to 4 attributes, and always the same number of sets among them.

    The game has no end but the turn limit. Without a set there can be at most 20 of the 81 cards.
    """

    name = "Set"
    version = 1
    level_type = LevelSet
    answers = CellTriples()
    symbols = NAMES
    kind = "sprite"
    tags = ("luck",)
    sources = (
        "M. J. Falco, Set (1991), https://www.setgame.com/set; "
        "https://en.wikipedia.org/wiki/Set_(card_game)",
        "G. Pellegrino, Sul massimo ordine delle calotte in S(4,3) (1971): at most 20 of the 81 "
        "cards are without a set; B. L. Davis, D. Maclagan, The card game SET (2003), "
        "https://doi.org/10.1007/BF02984846",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelSet(cols=3, attributes=3, sets=4, max_steps=20),
            "normal": LevelSet(max_steps=20),
            "hard": LevelSet(cols=5, sets=1, max_steps=20),
            "tiny": LevelSet(cols=3, attributes=3, sets=6, max_steps=16),
        }
    )
    RULES = (
        "This is Set with cards in {rows} rows and {cols} columns. No two cards are equal; they "
        "differ in {differ}. Three cards are a set if in each of these they are all alike or all "
        "different. A move names three cells. If their cards are a set, it is taken, and three "
        "others are laid in its place; else nothing changes. There {are} on the table at each "
        "turn. Each set scores 1, and the goal is to take one with every move. A cell is written "
        "as its card: number, colour, filling and shape, such as {card}."
    )

    def names(self, level: LevelSet) -> tuple[str, ...]:
        """0 is no card."""
        return NAMES[: 1 + level.deck]

    def words(self, level: LevelSet) -> dict[str, object]:
        """What cards differ in, how many sets there are, and a card."""
        parts = []
        for name, values in zip(ATTRIBUTES, VALUES, strict=True):
            parts.append(f"{name} ({', '.join(values)})")
        differ = ", ".join(parts[: level.attributes - 1]) + f" and {parts[level.attributes - 1]}"
        are = "is 1 set" if level.sets == 1 else f"are {level.sets} sets"
        return {"differ": differ, "are": are, "card": NAMES[2]}

    def deal(self, level: LevelSet, seeds: Seeds, board: Boards) -> Arrays:
        """Different cards with exactly the sets of the level."""
        terminated = np.zeros(len(seeds), bool)
        deal_cards(_flat(board), seeds, level.deck, level.sets, terminated)
        return {"terminated": terminated}

    def play(self, state: StateSet, actions: Actions, turn: Turn) -> None:
        """A set gains 1, and is replaced by three cards that did not lie on the table, so that
        there are as many sets as before; where no three do that, all cards are dealt anew.
        """
        level = state.level
        take_sets(turn.for_kernels(), actions, _cells(level), level.deck, level.sets)

    def legal_moves(self, state: StateSet, legal: Marks) -> None:
        """The sets."""
        mark_sets(_flat(state.board), _cells(state.level), legal)

    def oracle(self, state: StateSet) -> Values:
        """1 for each set; exact: as many sets lie on the table after each of them."""
        return np.where(self.legal(state), 1.0, np.nan)

    def explain(self, state: StateSet, row: int, action: int) -> str:
        """Such as ``"(0, 0) 1 red solid oval (0, 1) 2 red solid oval (2, 2) 3 red solid oval
        set"``, else what fails: ``"number no"``.
        """
        level = state.level
        text = name_tiles(self.encode(level, action), state.board[row], NAMES)
        cards = state.board[row].ravel()[list(triples(level.rows * level.cols)[action])].astype(int)
        if not cards.all():
            return f"{text} no card"
        for index, name in enumerate(ATTRIBUTES):
            values = (cards - 1) // 3**index % 3
            if values.sum() % 3:
                return f"{text} {name} no"
        return f"{text} set"

    def candidates(self, state: StateSet, row: int) -> list[int]:
        """The first three sets."""
        return super().candidates(state, row)[:3]

    def reasoning(self, state: StateSet, row: int, values: Values) -> tuple[str, int]:
        """Two cards after the other, and the third one that they want, to the first that lies on
        the table; ``values`` are not used.

        Such as ``"(0, 0) 1 red solid oval (0, 1) 2 red solid oval wants 3 red solid oval no; (0, 0)
        1 red solid oval (0, 2) 1 green solid oval wants 1 purple solid oval (2, 1)"``.
        """
        level = state.level
        cards = state.board[row].ravel().tolist()
        cells = [write_cell(*divmod(cell, level.cols)) for cell in range(len(cards))]
        thoughts = list[str]()
        for first in range(len(cards)):
            for second in range(first + 1, len(cards)):
                third = THIRD[cards[first], cards[second]]
                if third == NONE:
                    continue
                words = f"{cells[first]} {NAMES[cards[first]]} {cells[second]} "
                words += f"{NAMES[cards[second]]} wants {NAMES[third]}"
                if third in cards[second + 1 :]:
                    place = cards.index(third, second + 1)
                    answer = " ".join(cells[cell] for cell in (first, second, place))
                    thoughts.append(f"{words} {cells[place]}")
                    return "; ".join(thoughts), self.decode(level, answer).action
                thoughts.append(f"{words} no")
        return "; ".join(thoughts), NO_ACTION


@lru_cache(16)
def _places(cells: int) -> NDArray[np.int64]:
    """``(A, 3)``: the cells of each action."""
    return np.array(triples(cells), np.int64)


def _cells(level: LevelSet) -> NDArray[np.int64]:
    return _places(level.rows * level.cols)


def _flat(board: Boards) -> NDArray[np.uint8]:
    """``(B, cells)``: the cells of each board in reading order, of the same memory."""
    return board.reshape(len(board), board.shape[1] * board.shape[2])
