"""Memory: turn two cards over; equal ones are taken away, others are turned back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import PER_CELL, Outcome, Scene, State, StateError, setting
from vlmgym.games.parts.actions import CellPairs
from vlmgym.games.parts.boards import Actions, Arrays, Boards, Marks, Seeds, Symbols, Values
from vlmgym.games.parts.cards import (
    FIRST,
    GONE,
    NEVER,
    UNSEEN,
    LevelCards,
    deal_cards,
    good_moves,
    lay_under,
    movable,
    pair_shown_ago,
    turn_over,
)
from vlmgym.games.parts.grid import GridGame, Turn
from vlmgym.games.solvers.recall import move_values


@dataclass(frozen=True)
class LevelMemory(LevelCards):
    """Rule settings of Memory."""

    shown: int = setting(
        1, "moves for which two cards stay face up after the one that turned them over", 1, 200
    )


@dataclass(frozen=True, eq=False)
class StateMemory(State[LevelMemory]):
    """A state of Memory; ``board`` holds what is seen: 0 = no card, 1 = a card that lies face down,
    from 2 on what a card shows.
    """

    # (B, rows, cols) what the cards show, those that lie face down too; 0 = none
    faces: NDArray[np.uint8] = field(metadata=PER_CELL)
    # (B, rows, cols) moves for which a card still lies face up; 0 = face down, or none
    up: NDArray[np.uint8] = field(metadata=PER_CELL)
    # (B, rows, cols) of cards that lie face down: the turn whose picture showed them last, or NEVER
    last_shown: NDArray[np.int32] = field(metadata=PER_CELL)
    # (B, rows, cols) which photograph, 16 * (number drawn for the class) + (0 or 1)
    photos: NDArray[np.int32] = field(metadata=PER_CELL)

    @property
    def remembered(self) -> Boards:
        """``(B, rows, cols)``: the board as who forgets nothing knows it. The picture, the text and
        the values of moves depend on no other card.
        """
        return np.where((self.up > 0) | (self.last_shown > NEVER), self.faces, self.board)


class Memory(GridGame[LevelMemory, StateMemory]):
    """Memory on any board from 2x2 to 8x8, with shapes, letters or photographs."""

    name = "Memory"
    version = 1
    level_type = LevelMemory
    state_type = StateMemory
    answers = CellPairs()
    unnamed = covered = UNSEEN
    tags = ("memory", "luck")
    sources = (
        "Concentration (Memory, Pairs), https://en.wikipedia.org/wiki/Concentration_(card_game)",
        "D. J. Velleman, G. S. Warrington, What to Expect in a Game of Memory (2013), "
        "https://arxiv.org/abs/1208.4854",
    )
    LEVELS = MappingProxyType(
        {
            "easy": LevelMemory(rows=3, cols=4, colours=3, shapes=4, max_steps=24),
            "normal": LevelMemory(max_steps=32),
            "hard": LevelMemory(rows=6, cols=6, colours=8, shapes=8, max_steps=72),
            "tiny": LevelMemory(rows=3, cols=4, colours=2, shapes=3, shown=4, max_steps=24),
            "photos": LevelMemory(cards="photos", max_steps=32),
        }
    )
    RULES = (
        "This is Memory on a board of {rows} rows and {cols} columns: {pairs} pairs of cards were "
        "laid out face down. A move names two cards and turns them over. If {match}, they are a "
        "pair and are taken away; if not, they stay face up for {moves} and are then turned face "
        "down again. A card that lies face up may be named as well, but if both do and differ, "
        "nothing happens. The goal is to take all pairs in few moves, so remember what was shown. "
        "{writing} A card that lies face down is written as face down, a place without a card as "
        "empty."
    )

    def words(self, level: LevelMemory) -> dict[str, object]:
        """How many pairs there are, what makes one, and how cards are written."""
        moves = "the next move" if level.shown == 1 else f"the next {level.shown} moves"
        names = level.names[FIRST:]
        if level.cards == "photos":
            match = "their pictures show the same kind of thing"
            writing = f"A card is written as what it shows, one of: {', '.join(names)}."
        else:
            match = f"they have the same colour and the same {level.cards[:-1]}"
            writing = f"A card is written as what it shows, such as {names[0]}."
        return {"pairs": level.pairs, "moves": moves, "match": match, "writing": writing}

    def names(self, level: LevelMemory) -> tuple[str, ...]:
        """0 = empty, 1 = face down, then what cards may show."""
        return level.names

    def further(self, board: Boards) -> Arrays:
        """Nothing under the cards, and none was shown."""
        return {
            "faces": np.zeros(board.shape, np.uint8),
            "up": np.zeros(board.shape, np.uint8),
            "last_shown": np.full(board.shape, NEVER, np.int32),
            "photos": np.zeros(board.shape, np.int32),
        }

    def deal(self, level: LevelMemory, seeds: Seeds, board: Boards) -> Arrays:
        """Pairs of different kinds, all of them face down."""
        arrays = self.further(board)
        deal_cards(board, seeds, level.kinds, arrays["faces"], arrays["photos"])
        return arrays

    def play(self, state: StateMemory, actions: Actions, turn: Turn) -> None:
        """A pair is taken away and gains 1; other cards lie face up for the moves to come."""
        legal = self.legal(state)[np.arange(len(state)), actions]
        copies = (turn.copy_of(name) for name in ("faces", "up", "last_shown"))
        turn_over(turn.for_kernels(), actions, legal, state.level.shown, *copies)

    def points(self, state: StateMemory) -> NDArray[np.float64]:
        """It ends when all pairs are taken."""
        return np.where(state.terminated, 1.0, np.nan)

    def uncovered(self, state: StateMemory, row: int, action: int) -> str:
        """The pair that is taken away, unless both cards lay face up."""
        cells = divmod(action, state.board[row].size)
        first, second = (int(state.faces[row].flat[cell]) for cell in cells)
        lay_open = [int(state.board[row].flat[cell]) >= FIRST for cell in cells]
        is_pair = first == second and bool(self.legal(state[row])[0, action])
        return f"a pair: {state.level.names[first]}" if is_pair and not all(lay_open) else ""

    def legal_moves(self, state: StateMemory, legal: Marks) -> None:
        """Two cards, unless both lie face up and differ."""
        legal[:] = movable(state.board).reshape(legal.shape)

    def _good(self, state: StateMemory, faces: Boards) -> Marks:
        legal = self.legal(state)
        return legal & good_moves(state.remembered, faces).reshape(legal.shape)

    def success_mask(self, state: StateMemory) -> Marks:
        """``(B, A)``: the moves that find a pair in this very game, and those that show a card not
        seen before while no pair is known; for judging, as no player could know them all.
        """
        return self._good(state, state.faces)

    def success(self, state: StateMemory, actions: Actions, outcome: Outcome) -> Marks:
        """``(B,)``: the move found a pair, or showed a card not seen before while both cards of no
        pair had been shown.
        """
        return (actions >= 0) & self.success_mask(state)[np.arange(len(state)), actions]

    def would_succeed(
        self, level: LevelMemory, symbols: Symbols, actions: Actions
    ) -> NDArray[np.bool_]:
        """``(B,)``: the two cards are described as a pair, or one as face down where no pair is
        described: a description remembers nothing.
        """
        state = self.from_symbols(level, symbols)
        good = self._good(state, state.remembered)
        return (actions >= 0) & good[np.arange(len(state)), actions]

    def scene(self, state: StateMemory) -> Scene:
        """The board as it is; the kind follows from what the cards show."""
        level = state.level
        if level.cards != "photos":
            return self.view(state, state.board, level.names, level.kind)
        photos = np.where(state.board >= FIRST, state.photos, np.int32(0))
        scene = self.view(state, state.board, level.names, level.kind, photos)
        return replace(scene, classes=level.names[FIRST:])

    def from_symbols(self, level: LevelMemory, symbols: Symbols) -> StateMemory:
        """The board as it is described, whose cards were not shown before. The partners of what
        lies face up come first under what lies face down, then pairs of other kinds.
        """
        board = np.array(symbols, np.uint8, order="C")
        arrays = self.further(board)
        kinds = level.kinds
        for game, cards in enumerate(board):
            arrays["faces"][game] = lay_under(cards, kinds)
        arrays["photos"] += np.arange(board[0].size, dtype=np.int32).reshape(board.shape[1:]) % 16
        arrays["up"][board >= FIRST] = level.shown
        return self.start(level, board, terminated=~board.any(axis=(1, 2)), **arrays)

    def verify(self, state: StateMemory) -> None:
        """The board must be what is seen of the cards that lie there.

        Raises:
            StateError: it is not.
        """
        super().verify(state)
        seen = np.where(state.up > 0, state.faces, np.minimum(state.faces, UNSEEN))
        bounds = ((state.faces, len(state.level.names) - 1), (state.up, state.level.shown))
        beyond = any(array.max(initial=0) > most for array, most in bounds)
        if beyond or (state.board != seen).any() or (state.faces == UNSEEN).any():
            raise StateError("faces of Memory: allowed are cards with names, seen as on the board")

    def oracle(self, state: StateMemory) -> Values:
        """``(B, A)``: minus the expected sum, over the pairs, of the turns until each is found, by
        the best play of somebody who remembers all cards that were shown; exact. It never sees what
        was not shown.
        """
        return move_values(state.remembered, state.up > 0, state.ended)

    def shown_ago(self, state: StateMemory) -> NDArray[np.int64]:
        """``(B,)``: how many turns ago both cards of a known pair had been shown, of the pair of
        which that is least; -1 where no pair is known.
        """
        ago = np.where(state.up > 0, 0, state.steps[:, None, None] - state.last_shown)
        return pair_shown_ago(state.remembered, ago)

    def explain(self, state: StateMemory, row: int, action: int) -> str:
        """Such as ``"(0, 1) (2, 3) red circle pair"``, ``"... 2 new"``, ``"... red circle 1 new"``;
        ``differ``, ``same`` or ``empty`` at the end.
        """
        names = state.level.names
        text = self.encode(state.level, action)
        first, second = divmod(action, state.board[row].size)
        cards = sorted(int(state.remembered[row].flat[cell]) for cell in (first, second))
        if first == second:
            return f"{text} same"
        if cards[0] == GONE:
            return f"{text} empty"
        if cards == [UNSEEN, UNSEEN]:
            return f"{text} 2 new"
        if cards[0] == UNSEEN:
            return f"{text} {names[cards[1]]} 1 new"
        return f"{text} {names[cards[1]]} {'pair' if cards[0] == cards[1] else 'differ'}"

    def candidates(self, state: StateMemory, row: int) -> list[int]:
        """Of the moves of each value the first, of the three best values: a known pair, two cards
        that were not shown, one beside one that was.
        """
        values = np.round(self.oracle(state[row])[0], 9)
        _, first = np.unique(values[~np.isnan(values)], return_index=True)
        actions = np.flatnonzero(~np.isnan(values))[first[-3:]]
        return sorted(actions.tolist())
