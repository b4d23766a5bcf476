"""What a game has to say, and may say: the methods that its author writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Generic

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from vlmgym.core.actions import NO_ACTION, Decoded, Outcome, best_action
from vlmgym.core.errors import ConfigError, StateError
from vlmgym.core.scene import Scene
from vlmgym.core.state import Level, State

L = TypeVar("L", bound=Level, default=Any)
"""The class of levels of a game."""
S = TypeVar("S", bound=State[Any], default=Any)
"""The class of states of a game."""

TAGS = MappingProxyType(
    {
        "paper": "one of the four of the paper",
        "puzzle": "no luck: what counts is a solution",
        "search": "good moves are found by looking some moves ahead",
        "deduction": "what is not shown follows from what is",
        "luck": "turns draw",
        "memory": "what was shown before is worth knowing, and is no longer to be seen",
        "opponent": "somebody plays against",
        "photo": "photographs are to be told apart",
    }
)
"""What the tags of games mean."""


class Contract(ABC, Generic[L, S]):
    """What the author of a game writes: the abstract methods, and others where their defaults do
    not fit; all else is :class:`vlmgym.core.game.Game`.
    """

    name: ClassVar[str]
    """Identifier used in commands and traces, e.g. ``"2048"``."""
    version: ClassVar[int]
    """Raised when a rule changes, so that traces of other rules are refused."""
    level_type: type[L]
    state_type: type[S] = State  # type: ignore[assignment]
    LEVELS: Mapping[str, L]
    """Named levels: ``easy``, ``normal``, ``hard`` and each reading of the paper's protocol
    (``paper...``).
    """

    unnamed: ClassVar[int] = 0
    """The symbol that stands for a cell which a description does not state, when a move is replayed
    on it.
    """
    covered: ClassVar[int | None] = None
    """The symbol of a cell that hides what is under it; None if there is none. What a think block
    says of such a cell is a guess, not a tile that it has read.
    """
    tags: ClassVar[tuple[str, ...]] = ()
    """What kind of game it is, of :data:`TAGS`; suites are chosen by it."""
    sources: ClassVar[tuple[str, ...]] = ()
    """Where the rules come from: names and addresses, for the docs page."""
    one_game: ClassVar[bool] = False
    """There is one opening and no luck, so that every seed is the same game (chess against a
    program that draws nothing).
    """
    screen: ClassVar[bool] = False
    """Known to show finished pictures without symbols, so that its lists need not start it."""

    @abstractmethod
    def n_actions(self, level: L) -> int:
        """Number of action ids, ``A``."""

    @abstractmethod
    def reset(self, level: L, seeds: NDArray[np.uint64]) -> S:
        """Fresh games, one per seed (``(B,)`` uint64).

        Raises:
            ConfigError: the seeds are no list and no array of whole numbers of 64 bits; no game has
                to look at that itself.
        """

    @abstractmethod
    def legal(self, state: S) -> NDArray[np.bool_]:
        """``(B, A)``: the actions that change the board; all False where the game has ended."""

    def success_mask(self, state: S) -> NDArray[np.bool_]:
        """``(B, A)``: the actions that :meth:`success` would accept, the paper's +1; by default the
        legal ones.
        """
        return self.legal(state)

    @abstractmethod
    def _step(self, state: S, actions: NDArray[np.int64]) -> tuple[S, Outcome]:
        """The rules of :meth:`step`, on checked actions."""

    def success(self, state: S, actions: NDArray[np.int64], outcome: Outcome) -> NDArray[np.bool_]:
        """``(B,)``: the turns that are worth the paper's +1; by default those with a gain.

        Puzzles without a score of each move override it together with :meth:`success_mask`.

        Args:
            state: the games before the turn.
            actions: what was played.
            outcome: what :meth:`step` said of it.
        """
        return outcome.gain > 0

    @abstractmethod
    def scene(self, state: S) -> Scene:
        """What is to be seen of each row; built with :meth:`view`."""

    @abstractmethod
    def from_symbols(self, level: L, symbols: NDArray[np.int16]) -> S:
        """Playable states with the given scenes (score 0, turn 0, seed 0): to replay a move on a
        *described* board.

        It never raises on symbols that the game has names for; boards that the rules could not
        reach (two players, no player) get a state all the same, in which moves may be illegal.

        Args:
            level: the level.
            symbols: ``(B, rows, cols)``, as in :class:`Scene`.

        Raises:
            StateError: symbols of another shape, or without a name; no game has to look at that
                itself.
        """

    @abstractmethod
    def oracle(self, state: S) -> NDArray[np.float64]:
        """``(B, A)`` value of each action, NaN where illegal; it knows the board, never the luck to
        come.

        Larger is better. It sees what a perfect player could know, so never what the picture hides.
        """

    def counts_moves(self, level: L) -> bool:
        """Whether :meth:`oracle` is exactly minus the moves of a shortest solution that begins with
        the action, and :data:`vlmgym.core.DEAD` where there is none.
        """
        return False

    @abstractmethod
    def encode(self, level: L, action: int) -> str:
        """The canonical text of an action."""

    @abstractmethod
    def decode(self, level: L, text: str) -> Decoded:
        """Read the text of an answer; anything but a clearly stated action of this level is no
        action with a reason.
        """

    @abstractmethod
    def rules(self, level: L) -> str:
        """The rules, for a player who sees the picture (a few sentences), and how the cells are
        written as text.
        """

    @abstractmethod
    def answer_format(self, level: L) -> str:
        """What belongs into ``<answer>``: a sentence with an example."""

    @abstractmethod
    def explain(self, state: S, row: int, action: int) -> str:
        """One short phrase that names ``action`` and what it actually does in ``row``; for a
        teacher's reasoning.
        """

    @abstractmethod
    def candidates(self, state: S, row: int) -> list[int]:
        """The few actions that a careful player would weigh in ``row``, in reading order; may hold
        illegal ones.
        """

    def points(self, state: S) -> NDArray[np.float64]:
        """``(B,)``: what became of games that the rules have ended: 1 = won, or the goal is
        reached; 0.5 = drawn; 0 = lost. NaN where a game goes on or, as by default, only its score
        says how it went.
        """
        return np.full(len(state), np.nan)

    def possible(self, state: S) -> NDArray[np.bool_]:
        """``(B, A)``: the actions that may be legal at some time in these games, which a person is
        offered; by default all.
        """
        return np.ones((len(state), self.n_actions(state.level)), bool)

    def uncovered(self, state: S, row: int, action: int) -> str:
        """What an action brings to light in ``row`` that no picture shows, neither before nor
        after, for a person who plays; nothing by default.
        """
        return ""

    def shown_ago(self, state: S) -> NDArray[np.int64] | None:
        """``(B,)``: how many turns ago a picture last showed what a good move needs to know: 0 =
        this one shows it, -1 = no picture did, as what is good is to find out.

        None by default: the pictures of the game show all that counts.
        """
        return None

    def reasoning(self, state: S, row: int, values: NDArray[np.float64]) -> tuple[str, int]:
        """What a careful player thinks aloud in ``row``, and the move that it comes to.

        By default every candidate and what it does, and the best move. Games with many moves search
        place by place, and end at the first move that works.

        Args:
            state: games.
            row: the one that is thought about.
            values: ``(A,)`` of :meth:`oracle` for this row.

        Returns:
            Phrases joined by ``"; "``, and the id of the move, or NO_ACTION if there is none.
        """
        best = best_action(values)
        weighed = self.candidates(state, row)
        if best != NO_ACTION and best not in weighed:
            weighed = [*weighed, best]
        return "; ".join(self.explain(state, row, action) for action in weighed), best

    def believed(self, state: S, habit: str) -> S:
        """The games as somebody takes them to be whose eyes have a habit, such as ``"half"``, which
        takes the lower half of the board for free cells; see :mod:`vlmgym.games.parts.habits`.

        Raises:
            ConfigError: the game does not know the habit; by default it knows none.
        """
        allowed = f"no habit: {self.name} does not know how a board is looked at"
        raise ConfigError("habit", habit, allowed)

    def reasoning_by_habit(self, state: S, row: int, habit: str) -> tuple[str, int]:
        """As :meth:`reasoning`, of somebody with a habit: what is found so may be wrong. By default
        that is the reasoning of who takes the board for what is believed of it.

        Returns:
            The phrases, and the id of the move, or NO_ACTION where nothing is found.

        Raises:
            ConfigError: the game does not know the habit; by default it knows none.
        """
        believed = self.believed(state[row], habit)
        return self.reasoning(believed, 0, self.oracle(believed)[0])

    def blank(self, level: L) -> S | None:
        """One game whose board is there but not dealt: what is seen of it has the size, names and
        kind of every game.

        None by default: then a game is dealt where these are asked for, which takes longer.
        """
        return None

    def verify(self, state: S) -> None:
        """See that the values of a state which came from outside are some that the rules, the skins
        and the texts can work on.

        By default: turns are counted from 0, and what is to be seen has names. Games with further
        arrays add what these may hold.

        Raises:
            StateError: they are not.
        """
        if (state.steps < 0).any():
            raise StateError(f"turn {state.steps.min()}: allowed are turns from 0")
        try:
            self.scene(state).check()
        except IndexError as error:
            raise StateError(f"values that stand for nothing in {self.name}: {error}") from error
