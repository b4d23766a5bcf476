"""The contract of a player, and the luck that players share."""

from __future__ import annotations

import asyncio
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from typing_extensions import override

from vlmgym.core import ConfigError, Game, State, VlmGymError
from vlmgym.core.files import whole_text
from vlmgym.dialogue import prompt
from vlmgym.dialogue.reply import BLOCKS, Blocks
from vlmgym.render.looks import Look, get_look

CUT = "length"
REFUSED = "refusal"
"""Words of :attr:`Answer.finish` with a meaning: the reply was cut at its limit of tokens; the
model or its provider refused.
"""


@dataclass(frozen=True)
class Answer:
    """A reply with what is known of how it came about; the text alone is what is judged."""

    text: str = ""
    # what a reasoning model thought, if the endpoint tells it apart from the reply
    reasoning: str = ""
    seconds: float = 0.0  # wall time, attempts and waits included
    input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0  # among the output tokens
    cost: float | None = None  # US dollars
    attempts: int = 1
    # why the model stopped: CUT, REFUSED, or the endpoint's own word ("stop" ...); "" where it is
    # not known
    finish: str = ""
    failure: str = ""  # not empty: there is no reply, for this reason

    def __post_init__(self) -> None:
        """Texts are made such that they can be written down: halves of surrogate pairs become
        U+FFFD.
        """
        for name in ("text", "reasoning", "finish", "failure"):
            object.__setattr__(self, name, whole_text(getattr(self, name)))

    @staticmethod
    def of(reply: str | Answer) -> Answer:
        """An answer from what a player gave: a text alone, or an Answer."""
        return Answer(reply) if isinstance(reply, str) else reply


@dataclass(frozen=True)
class Query:
    """What a player is asked: one turn of some games of one kind (none of them ended).

    Attributes:
        game: the game.
        state: ``B`` games.
        look: how they look.
        style: prompt style.
        observation: what is shown of the boards: ``"image"``, ``"text"`` (the true board as text)
            or ``"both"``.
        past: for each game the earlier turns that are told again: the state (one row) and the reply
            to it, oldest first.
        begun: for each game the text that the reply begins with, which a local model goes on from;
            empty = none.
        blocks: what the blocks of a reply are called.
        repeats: for each game its number among the repetitions of one start, so that each has luck
            of its own; empty = 0.
    """

    game: Game
    state: State
    look: Look
    style: str = "full"
    observation: str = "image"
    past: Sequence[Sequence[tuple[State, str]]] = ()
    begun: Sequence[str] = ()
    blocks: Blocks = BLOCKS
    repeats: Sequence[int] = ()

    def __getitem__(self, rows: slice) -> Query:
        """The same question about some of the games."""
        names = ("state", "past", "begun", "repeats")
        selected = {name: getattr(self, name)[rows] for name in names}
        return replace(self, **selected)

    def conversation(self, row: int) -> list[tuple[str, list[State | str]]]:
        """What is said about one game: roles (``"user"``, ``"assistant"``) with their parts, a
        picture as its state (one row).

        The first turn that is told has the whole prompt; later ones only the board after the reply.

        Raises:
            ConfigError: boards as text, for a game without truth text.
        """
        earlier_turns = self.past[row] if self.past else ()
        messages = list[tuple[str, list[State | str]]]()
        shows_picture = self.observation != "text"
        shows_text = self.observation != "image"
        turns = [*earlier_turns, (self.state[row], None)]
        for turn, (state, reply) in enumerate(turns):
            board = prompt.board_lines(self.game, state) if shows_text else []
            if turn == 0:
                text = prompt.prompt_text(
                    self.game, state.level, self.style, board, shows_picture, self.blocks
                )
            else:
                text = prompt.next_text(board)
            messages.append(("user", [state, text] if shows_picture else [text]))
            if reply is not None:
                messages.append(("assistant", [reply]))
        return messages


PLACES = ("base_url",)
"""What is described of a player and may change while it stays the same: the address at which an
endpoint is to be found.
"""


SEES = ("picture", "state", "nothing")
"""What a player can be handed: see :attr:`Player.sees`."""

SEES_ALLOWED = (
    "'picture', 'state' (it is handed the true board) or 'nothing': a player's class states which"
)


class Player(ABC):
    """Answers states with texts; one reply a row, each independent of the batch it came in.

    A class that can be asked (no method of it is abstract) states what it sees.

    Raises:
        ConfigError: at the definition of a class that does not.
    """

    name: str
    """A label for tables; who the player is, :attr:`identity` says."""
    sees: str
    """``"picture"``; ``"state"``: it is handed the truth (it reads the state), so what it says of
    the board is given; ``"nothing"``. There is no default: what a player says of a board that it
    was handed must not be scored as if it had looked.
    """
    heavy: bool = False
    """It holds a model: there should be one of the kind in memory at a time."""
    notes: Sequence[str] = ()
    """What makes every answer of this player another one than it was asked for, as far as is known
    by now, one sentence each.
    """
    on_answers: Callable[[int], object] | None = None
    """Called by slow players with the number of states answered since the last call, for a progress
    bar; an evaluation sets it for as long as it runs.
    """
    on_fault: Callable[[str], object] | None = None
    """Called by players at endpoints with one sentence for each attempt that gave no answer; an
    evaluation sets it for as long as it runs.
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        """See that a class which can be asked states what it sees, or inherits it."""
        super().__init_subclass__(**arguments)
        sees = getattr(cls, "sees", None)
        is_text = sees is None or isinstance(sees, str)  # a property is seen where it is asked
        if is_text and sees not in SEES and not _has_abstract_methods(cls):
            raise ConfigError(f"{cls.__name__}.sees", sees, SEES_ALLOWED)

    @abstractmethod
    def answer(self, queries: Sequence[Query]) -> Sequence[Sequence[str | Answer]]:
        """Replies to several queries, one a row of each; players who gain from it answer them in
        common batches. This is what a player must have.

        A reply is a text, or an :class:`vlmgym.players.base.Answer` where more is known of it (that
        it was cut, say).
        """

    def reply(self, game: Game, state: State) -> list[str]:
        """The texts for each row of ``state`` (none of them ended), outside of an evaluation: under
        the look ``clean``.

        Raises:
            VlmGymError: there is no reply to a row.
        """
        (replies,) = self.answer([Query(game, state, get_look("clean"))])
        answers = [Answer.of(reply) for reply in replies]
        for answer in answers:
            if answer.failure:
                raise VlmGymError(f"{self.name}: {answer.failure}")
        return [answer.text for answer in answers]

    def check(self) -> None:
        """See that the player can be asked; called once, before anything of an evaluation is
        written.

        Raises:
            VlmGymError: it cannot be, for a reason that every question would meet (a key, an
                address, a model that is not there).
        """
        return

    def doubts(self, game: str, level: str, look: str, prompt: str, reply: str) -> list[str]:
        """What makes numbers of this player on a task doubtful, one sentence each; arguments are
        the fields of the task.
        """
        return list(self.notes)

    def describe(self) -> dict[str, Any]:
        """What makes this player another one than its namesakes, as JSON values: its kind and all
        its settings.

        A setting that comes later stands here only where it is not its default, so that what was
        begun goes on.
        """
        return {"kind": type(self).__name__}

    @property
    def identity(self) -> str:
        """16 hexadecimal digits that two players share if, and only if, they are described alike
        (but for :data:`PLACES`).
        """
        return identity_of(self.describe())


def _has_abstract_methods(kind: type) -> bool:
    """Whether a class leaves methods to its subclasses."""
    members = (getattr(kind, name, None) for name in dir(kind))
    return any(getattr(member, "__isabstractmethod__", False) for member in members)


def identity_of(description: Mapping[str, Any]) -> str:
    """The :attr:`Player.identity` of a player with this :meth:`Player.describe`."""
    text = json.dumps(_without_places(description), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _without_places(value: Any) -> Any:
    """A description with texts as keys, and without :data:`PLACES` at any depth."""
    if isinstance(value, Mapping):
        return {
            str(name): _without_places(field) for name, field in value.items() if name not in PLACES
        }
    if isinstance(value, list | tuple):
        return [_without_places(element) for element in value]
    return value


class AsyncPlayer(Player):
    """A player that is asked about many games at once, each by itself; used as an asynchronous
    context.
    """

    @abstractmethod
    async def ask(self, query: Query, seconds: float = 0.0) -> Answer:
        """The answer for a query of one row, within so many seconds (0 = no limit); a failure is an
        Answer too.
        """

    @abstractmethod
    async def __aenter__(self) -> AsyncPlayer:
        """Open what is needed."""

    @abstractmethod
    async def __aexit__(self, *_: object) -> None:
        """Close it."""

    episode_seconds: float = 0.0
    """Time limit of all answers of an episode together; 0 = none."""

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[Answer]]:
        """The games of each query, asked at once; a failure is an Answer too."""

        async def ask_all() -> list[list[Answer]]:
            async with self:
                return [await _ask_rows(self, query) for query in queries]

        answers: list[list[Answer]] = finish(ask_all())
        return answers


async def _ask_rows(player: AsyncPlayer, query: Query) -> list[Answer]:
    single_queries = [query[row : row + 1] for row in range(len(query.state))]
    return await asyncio.gather(*(player.ask(single_query) for single_query in single_queries))


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, also where a loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, coroutine).result()


def player_rng(salt: int, state: State, row: int) -> np.random.Generator:
    """Luck of a player for one turn: a function of (salt, the game's seed, the turn), so equal in
    every batch.
    """
    seed = int(state.seed[row])
    turn = int(state.steps[row])
    return np.random.default_rng([salt, seed, turn])
