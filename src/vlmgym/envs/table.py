"""What single and batched environments share: game, level, look, spaces, openings, turns, infos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from vlmgym.core import ActionError, ConfigError, Game, Level, State, whole
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import Judgement, judge
from vlmgym.dialogue.perception import truth
from vlmgym.dialogue.reply import MODES, Blocks
from vlmgym.envs.openings import Openings
from vlmgym.envs.rows import put_rows, spread
from vlmgym.envs.types import Info, Mask, Pictures, Rewards
from vlmgym.games import get_game
from vlmgym.render.frames import Frames, frame_size, render
from vlmgym.render.looks import Look, get_look

ACTIONS = ("discrete", "text")
REWARDS = ("game", "gain", "score")
TEXT_LIMIT = 16_384
"""Longest reply of the text action space, in characters."""
TEXT_CHARACTERS = "".join(map(chr, [9, 10, *range(32, 127)]))
MOST_ACTIONS = (1 << 31) - 1
LONGEST_SHOWN = 80
"""Characters of a refused action that a message shows."""


class KeywordError(ConfigError, TypeError):
    """A keyword that the environments of this game do not take, worded as Python does, which
    TorchRL waits for.

    Made from its message alone as well, since ``gymnasium.make`` raises it once more with a longer
    one.
    """

    def __init__(
        self, message: str, name: str = "", value: object = None, allowed: str = ""
    ) -> None:
        super(ConfigError, self).__init__(message)
        self.name = name
        self.value = value
        self.allowed = allowed


@dataclass(frozen=True)
class TurnSettings:
    """How actions are given and turns are rewarded; the arguments of :class:`GameEnv`."""

    action: str = "discrete"
    mode: str = "strict"
    reward: str = "game"
    reply: str | Mapping[str, Any] | Blocks = ""

    def __post_init__(self) -> None:
        """Refuses what is not allowed."""
        for name, choices in (("action", ACTIONS), ("mode", MODES), ("reward", REWARDS)):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(name, value, "one of " + ", ".join(choices))


@dataclass
class Turn:
    """What one turn of ``B`` games did."""

    after: State
    reward: Rewards  # (B,)
    info: Info  # arrays (B,), and a dict of such arrays for the reward terms
    played: Mask  # (B,) the other rows had ended and were left alone


class Table:
    """A level of a game as environments play it.

    Args:
        game: the game, or its name.
        level: the level, or its name.
        look: the look, or its name.
        settings: how actions are given and turns are rewarded.
        fields: single fields of the level, overridden.
    """

    def __init__(
        self,
        game: str | Game,
        level: str | Level,
        look: str | Look,
        settings: TurnSettings,
        fields: Mapping[str, Any],
    ) -> None:
        self.game = get_game(game)
        _check_keywords(self.game, fields)
        self.level = self.game.level(level, **fields)
        self.look = get_look(look)
        game_name = self.game.name if isinstance(game, Game) else str(game)
        names = (game_name, self.game.level_name(level, fields))
        self.openings = Openings(self.game, self.level, names)
        self.settings = settings
        height, width = frame_size(self.game, self.level, self.look)
        self.observation_space = gym.spaces.Box(0, 255, (height, width, 3), np.uint8)
        self.action_space = self._action_space()
        self.blocks = Blocks.of(settings.reply)
        self.prompt = prompt.prompt_text(self.game, self.level, blocks=self.blocks)

    @property
    def takes_text(self) -> bool:
        """Whether actions are whole replies."""
        return self.settings.action == "text"

    def _action_space(self) -> gym.spaces.Space[Any]:
        if self.takes_text:
            return gym.spaces.Text(TEXT_LIMIT, min_length=0, charset=TEXT_CHARACTERS)
        name = f"{type(self.game).__name__}.n_actions()"
        return gym.spaces.Discrete(whole(name, self.game.n_actions(self.level), MOST_ACTIONS, 1))

    # ---- pictures
    def frames(self, copy: bool, count: int) -> Frames | None:
        """The kept buffer of so many games; None where each picture is a new array."""
        return None if copy else Frames(self.game, self.level, self.look, count)

    def pictures(self, state: State) -> Pictures:
        """The pictures of states, as new arrays."""
        return render(self.game, state, self.look)

    # ---- turns
    def actions(self, actions: Any, count: int) -> Any:
        """Actions as ``(count,)`` int64, or as a list of ``count`` texts.

        Raises:
            ActionError: another number, or not whole numbers (texts).
        """
        if self.takes_text:
            return _texts(actions, count)
        numbers = _numbers(actions)
        if numbers is None or numbers.dtype.kind not in "iu" or numbers.shape != (count,):
            highest = self.game.n_actions(self.level) - 1
            allowed = _allowed(f"whole numbers 0 to {highest}", count)
            raise ActionError(f"actions {_short(actions)}: {allowed}")
        return numbers

    def play(self, state: State, actions: Any) -> Turn:
        """One turn of every game that has not ended; the others are left alone, with reward 0.

        Args:
            state: ``B`` games.
            actions: of :meth:`actions`; those of games that have ended are not looked at.
        """
        played = ~state.ended
        if played.all():
            return self._play(state, actions)
        reward = np.zeros(len(state))
        if not played.any():
            return Turn(state, reward, {}, played)
        rows = np.flatnonzero(played)
        chosen = [actions[row] for row in rows] if self.takes_text else actions[rows]
        turn = self._play(state[rows], chosen)
        reward[rows] = turn.reward
        after = put_rows(state, played, turn.after)
        return Turn(after, reward, spread(turn.info, played), played)

    def _play(self, state: State, actions: Any) -> Turn:
        info: Info
        if self.takes_text:
            blocks = self.blocks
            after, judged = judge(self.game, state, actions, self.settings.mode, blocks=blocks)
            success = np.array([judgement.terms["game"] > 0 for judgement in judged])
            gain = np.array([judgement.gain for judgement in judged], np.int64)
            changed = np.array([judgement.changed for judgement in judged])
            info = _info_of_replies(judged)
        else:
            after, outcome = self.game.step(state, actions)
            success = self.game.success(state, actions, outcome)
            gain = outcome.gain
            changed = outcome.changed
            info = {}
        reward = self._reward(after, success, gain)
        info = {"gain": gain.copy(), "changed": changed.copy(), **info}
        return Turn(after, reward, info, np.ones(len(state), bool))

    def _reward(self, after: State, success: Mask, gain: NDArray[np.int64]) -> Rewards:
        if self.settings.reward == "game":
            return np.where(success, 1.0, -1.0)
        if self.settings.reward == "gain":
            return gain.astype(np.float64)
        return np.where(after.ended, after.score, 0).astype(np.float64)

    def look_at(self, state: State) -> Info:
        """What the infos say of any state: arrays of ``(B,)``, the legal actions ``(B, A)``."""
        return {
            "prompt": np.array([self.prompt] * len(state), object),
            "truth": np.array(truth(self.game, state), object),
            "legal": self.game.legal(state).copy(),
            "score": state.score.copy(),
        }


def _info_of_replies(judged: list[Judgement]) -> Info:
    """What was read in replies, as arrays of one a reply."""
    replies = [judgement.reply for judgement in judged]
    terms = {}
    for name in judged[0].terms:
        terms[name] = np.array([judgement.terms[name] for judgement in judged])
    return {
        "action": np.array([reply.action for reply in replies], np.int64),
        "problem": np.array([str(reply.problem) for reply in replies], object),
        "fault": np.array([str(judgement.fault) for judgement in judged], object),
        "terms": terms,
    }


def _check_keywords(game: Game, fields: Mapping[str, Any]) -> None:
    level = game.level_type.__name__
    names = list(game.level_type.__dataclass_fields__)
    for name, value in fields.items():
        if name not in names:
            allowed = "one of the fields " + ", ".join(names)
            text = (
                f"got an unexpected keyword argument '{name}': {level}.{name} = {value!r}: "
                f"allowed is {allowed}"
            )
            raise KeywordError(text, f"{level}.{name}", value, allowed)


def _numbers(actions: Any) -> NDArray[Any] | None:
    """Actions as an array; None for truth values, and for rows of several lengths."""
    is_list = isinstance(actions, (list, tuple))
    if is_list and any(isinstance(action, (bool, np.bool_)) for action in actions):
        return None
    try:
        return np.asarray(actions)
    except ValueError:
        return None


def _texts(actions: Any, count: int) -> list[str]:
    """``count`` actions that are texts."""
    allowed = _allowed("texts", count)
    if isinstance(actions, str) or not hasattr(actions, "__len__") or len(actions) != count:
        raise ActionError(f"actions {_short(actions)}: {allowed}")
    for action in actions:
        if not isinstance(action, str):
            raise ActionError(f"action {_short(action)}: {allowed}")
    return [str(action) for action in actions]


def _allowed(choices: str, count: int) -> str:
    if count > 1:
        return f"allowed are {count} {choices}"
    return f"allowed is one of the {choices}"


def _short(value: object) -> str:
    if isinstance(value, np.ndarray) and value.ndim:
        text = f"of shape {value.shape} and type {value.dtype}"
    else:
        text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 3] + "..."
