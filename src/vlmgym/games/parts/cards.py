"""Cards that lie face down: dealing pairs, turning two of them over, and which moves are good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlmgym.core import PHOTO_STREAM, ConfigError, draw_below, setting
from vlmgym.core.kernels import kernel
from vlmgym.games.parts.boards import Boards, GridLevel, Marks, cell_by_cell
from vlmgym.games.parts.tile_kinds import (
    COLOURS,
    FACE_DOWN,
    FORMS,
    KIND_OF,
    NAMES,
    PICTURE_CLASSES,
    WIDE,
    picture_classes,
    tile_types,
)

GONE = 0
UNSEEN = 1
"""Values of cells where a card is gone, or is not seen; a larger one is what a card shows."""
FIRST = 2
"""The first thing that a card may show."""
NEVER = -1
"""The turn of a picture that was never there."""
MOST_CLASSES = 254


@dataclass(frozen=True)
class LevelCards(GridLevel):
    """Levels whose cells hold pairs of cards."""

    rows: int = setting(4, "board rows", 2, 8)
    cols: int = setting(4, "board columns; rows * cols must be even", 2, 8)
    cards: str = setting("shapes", "what the cards show", choices=(*FORMS, "photos"))
    colours: int = setting(4, "colours that pairs are drawn from", 1, len(COLOURS))
    shapes: int = setting(6, "shapes (or letters) that pairs are drawn from", 1, WIDE)
    classes: str = setting(
        "digits",
        "of photographs: digits, cifar10, or the names of class folders joined by commas; the two "
        "cards of a pair show two pictures of one class",
    )

    def __post_init__(self) -> None:
        """Check that all cards have partners, and that there are enough different pairs.

        Raises:
            ConfigError: a field is out of range, the number of cells is odd, or there are too few
                things to show.
        """
        super().__post_init__()
        name = type(self).__name__
        if self.rows * self.cols % 2:
            allowed = f"an even number, as rows is {self.rows}"
            raise ConfigError(f"{name}.cols", self.cols, allowed)
        if self.cards != "photos":
            if self.pairs > self.colours * self.shapes:
                needed = f"colours * shapes of at least {self.pairs} (rows * cols / 2)"
                allowed = f"{needed}; shapes is {self.shapes}"
                raise ConfigError(f"{name}.colours", self.colours, allowed)
        elif not self.pairs <= len(picture_classes(self.classes)) <= MOST_CLASSES:
            allowed = (
                f"{', '.join(PICTURE_CLASSES)} or different names joined by commas; "
                f"{self.pairs} (rows * cols / 2) to {MOST_CLASSES} classes"
            )
            raise ConfigError(f"{name}.classes", self.classes, allowed)

    @property
    def pairs(self) -> int:
        """Pairs on a fresh board."""
        return self.rows * self.cols // 2

    @property
    def kind(self) -> str:
        """The kind of the scenes."""
        return "photo" if self.cards == "photos" else KIND_OF[self.cards]

    @property
    def names(self) -> tuple[str, ...]:
        """0 = empty, 1 = face down, then what cards may show."""
        if self.cards == "photos":
            return ("empty", FACE_DOWN, *picture_classes(self.classes))
        return ("empty", FACE_DOWN, *NAMES[self.cards][1:])

    @property
    def kinds(self) -> NDArray[np.uint8]:
        """``(n,)``: the values of the board that pairs are drawn from."""
        if self.cards == "photos":
            return np.arange(FIRST, len(self.names), dtype=np.uint8)
        return tile_types(self.colours, self.shapes) + np.uint8(1)


@kernel
def deal_cards(boards, seeds, kinds, faces, photos):
    """Lay pairs of different kinds face down; kinds (n,) uint8 are drawn from."""
    rows, cols = boards.shape[1:]
    cells = rows * cols
    for game in range(len(boards)):
        seed = seeds[game]
        drawn = kinds.copy()
        cards = np.arange(cells)
        for pair in range(cells // 2):
            other = pair + draw_below(seed, 0, pair, len(drawn) - pair)
            drawn[pair], drawn[other] = drawn[other], drawn[pair]
        for cell in range(cells - 1, 0, -1):
            other = draw_below(seed, 0, cells + cell, cell + 1)
            cards[cell], cards[other] = cards[other], cards[cell]
        for cell in range(cells):
            kind = drawn[cards[cell] // 2]
            number = draw_below(seed, 0, PHOTO_STREAM + kind, 1 << 20)
            boards[game, cell // cols, cell % cols] = UNSEEN
            faces[game, cell // cols, cell % cols] = kind
            photos[game, cell // cols, cell % cols] = 16 * number + cards[cell] % 2


@kernel
def turn_over(turn, actions, legal, shown, faces, up, last_shown):
    """Play a turn; faces, up, last_shown (B, rows, cols) are written as well.

    legal (B,) bool: the action of the row is.
    """
    rows, cols = turn.board.shape[1:]
    for game in range(len(turn.board)):
        if turn.over[game] or actions[game] < 0 or not legal[game]:
            continue
        first, second = divmod(actions[game], rows * cols)
        face = faces[game, first // cols, first % cols]
        is_pair = faces[game, second // cols, second % cols] == face
        left = 0
        for row in range(rows):
            for column in range(cols):
                cell = row * cols + column
                if cell in (first, second):
                    if is_pair:
                        faces[game, row, column] = GONE
                    up[game, row, column] = 0 if is_pair else shown
                    last_shown[game, row, column] = NEVER
                    turn.board[game, row, column] = faces[game, row, column]
                elif up[game, row, column] > 0:
                    up[game, row, column] -= 1
                    if up[game, row, column] == 0:
                        last_shown[game, row, column] = turn.steps[game]
                        turn.board[game, row, column] = UNSEEN
                left += turn.board[game, row, column] != GONE
        turn.gain[game] = is_pair
        turn.changed[game] = True
        turn.terminated[game] = left == 0


def pairs_of(cards: Boards) -> Marks:
    """``(B, cells, cells)``: two different cells whose cards are seen and equal.

    Args:
        cards: ``(B, rows, cols)``.
    """
    flat = cell_by_cell(cards)
    equal = (flat[:, :, None] == flat[:, None, :]) & (flat[:, :, None] >= FIRST)
    pairs: Marks = equal & ~np.eye(flat.shape[1], dtype=bool)
    return pairs


def movable(board: Boards) -> Marks:
    """``(B, cells, cells)``: two cells with cards of which not both lie face up and differ.

    Args:
        board: ``(B, rows, cols)``, what is seen.
    """
    flat = cell_by_cell(board)
    first = flat[:, :, None]
    second = flat[:, None, :]
    lower = np.minimum(first, second)
    allowed = (lower > GONE) & ((first == second) | (lower == UNSEEN))
    allowed &= ~np.eye(flat.shape[1], dtype=bool)
    moves: Marks = allowed
    return moves


def good_moves(remembered: Boards, faces: Boards) -> Marks:
    """``(B, cells, cells)``: two cells that are a pair, or one whose card was not shown before
    where no pair is known.

    Args:
        remembered: ``(B, rows, cols)``, what was shown of the cards.
        faces: ``(B, rows, cols)``, what they show.
    """
    new = cell_by_cell(remembered == UNSEEN)
    shows_new = new[:, :, None] | new[:, None, :]
    known = np.asarray(pairs_of(remembered).any(axis=(1, 2)))
    good: Marks = pairs_of(faces) | (shows_new & ~known[:, None, None])
    return good


def pair_shown_ago(remembered: Boards, ago: NDArray[np.int64]) -> NDArray[np.int64]:
    """``(B,)``: the turns since both cards of a known pair had been shown, the least of all pairs;
    -1 where no pair is known.

    Args:
        remembered: ``(B, rows, cols)``, what was shown of the cards.
        ago: ``(B, rows, cols)``, the turns since each card was shown last.
    """
    flat = cell_by_cell(ago)
    both = np.maximum(flat[:, :, None], flat[:, None, :])
    unknown = 1 << 62
    least = np.where(pairs_of(remembered), both, unknown).min(axis=(1, 2))
    return np.asarray(np.where(least < unknown, least, -1), np.int64)


def lay_under(board: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cards that may lie on a board that is described: the partners of what is seen come first
    under what is not, then pairs of other kinds.

    Args:
        board: ``(rows, cols)``.
        kinds: ``(n,)``, what cards may show.
    """
    faces = board.copy()
    seen, counts = np.unique(board[board >= FIRST], return_counts=True)
    others = np.setdiff1d(kinds, seen)
    under = np.concatenate([seen[counts % 2 == 1], np.repeat(others, 2)])
    down = board == UNSEEN
    faces[down] = np.resize(under if len(under) else kinds, down.sum())
    return faces
