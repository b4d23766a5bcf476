"""How a player is measured: the settings, where episodes start, and both as the first line of a
trace.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from typing_extensions import TypeVar

from vlmgym.core import ConfigError, Settings, State, VlmGymError, seeds_for, setting
from vlmgym.dialogue.judge import ATTRIBUTION
from vlmgym.episodes.batch import BEGUN, EpisodeBatch, ObservationSettings
from vlmgym.episodes.records import EvaluationRun
from vlmgym.episodes.task import Task
from vlmgym.episodes.trace import TraceError
from vlmgym.games import known_game
from vlmgym.players.base import Player, identity_of

OBSERVATIONS = ("image", "text", "both", *BEGUN)

ASKED = ("game", "level", "look", "prompt", "reply")
"""Fields of a trace's first line that are those of the task."""
WALK = ("walk_min", "walk_max", "walk_legal")
"""Settings of the task's random walk."""
OPPONENT = "opponent"
"""Who has the other side, where that is a player: :func:`opponent_of`."""
MOST_EPISODES = 1_000_000
"""Episodes of one evaluation, repetitions included: all of them are in memory side by side."""


@dataclass(frozen=True)
class Evaluation(Settings):
    """How a player is measured on a task."""

    episodes: int = setting(
        20, "episodes (or states, for start = walk with turns = 1)", 1, 1_000_000
    )
    turns: int = setting(0, "most turns of an episode; 0 = the level's limit", 0, 1_000_000)
    start: str = setting(
        "reset",
        "reset: fresh games; walk: the task's random-walk states",
        choices=("reset", "walk"),
    )
    mode: str = setting("strict", "parse mode", choices=("strict", "lenient"))
    oracle: bool = setting(True, "record oracle values and regret")
    split: str = setting(
        "test",
        "seeds that starts are drawn from; pilot: for all that is chosen before a study is frozen",
        choices=("test", "pilot"),
    )
    first: int = setting(0, "number of the first seed", 0, 1_000_000_000)
    repeats: int = setting(1, "times that each start is played", 1, 10_000)
    observation: str = setting(
        "image",
        "what is shown of the board; text = its truth, prefill = replies begin with it, swapped = "
        "replies begin with that of another start",
        choices=OBSERVATIONS,
    )
    history: int = setting(
        0, "earlier turns of the episode that are told again; -1 = all", -1, 10_000
    )
    patience: int = setting(
        20,
        "an episode is stuck after so many turns with one move (or none) and no effect; 0 = never",
        0,
        1_000_000,
    )

    def __post_init__(self) -> None:
        """See that the whole of it can be held in memory."""
        super().__post_init__()
        if self.episodes * self.repeats > MOST_EPISODES:
            raise ConfigError(
                "episodes * repeats",
                self.episodes * self.repeats,
                f"at most {MOST_EPISODES:,} together",
            )


def starts(task: Task, settings: Evaluation) -> State:
    """The start states of an evaluation: a pure function of task and settings."""
    if settings.start == "walk":
        return task.states(settings.split, settings.episodes, settings.first)
    names = task.names
    seeds = seeds_for(settings.split, names.game, names.level, settings.episodes, settings.first)
    return task.game.reset(task.level, seeds)


def all_starts(task: Task, settings: Evaluation) -> State:
    """The start states with their repetitions: one row an episode."""
    return starts(task, settings).repeat(settings.repeats)


B = TypeVar("B", bound=EpisodeBatch, default=EpisodeBatch)
"""A class of batches of episodes."""


def batch_of(
    task: Task,
    settings: Evaluation,
    state: State,
    kind: type[B] = EpisodeBatch,  # type: ignore[assignment]
) -> B:
    """Episodes of a task that begin in these states, played and told as the settings say."""
    observation = ObservationSettings(
        task.look, task.prompt, settings.observation, settings.history, task.blocks
    )
    return kind(
        task.game,
        state,
        observation,
        settings.turns,
        settings.mode,
        settings.oracle,
        settings.patience,
        settings.repeats,
    )


def ask_from_the_start(settings: Evaluation) -> None:
    """See that no reply begins with a given text, which models at endpoints do not go on from.

    Raises:
        ConfigError: replies do.
    """
    if settings.observation in BEGUN:
        raise ConfigError(
            "observation",
            settings.observation,
            "image, text or both: only a local model goes on with a given beginning",
        )


def settings_in(run: EvaluationRun) -> Evaluation:
    """How the run line of a trace says that a player was measured.

    Raises:
        TraceError: it is none of an evaluation, or a setting of it cannot be.
    """
    if not run.evaluation:
        raise TraceError("none that vlmgym eval wrote")
    try:
        return Evaluation.parse(settings_of_run(run) | {"mode": run.mode})
    except VlmGymError as error:
        raise TraceError(f"its run line cannot be ({error})") from error


def task_and_settings(run: EvaluationRun) -> tuple[Task, Evaluation]:
    """What the run line of a trace says was asked, and how.

    Raises:
        TraceError: see :func:`settings_in`; or the task cannot be.
    """
    settings = settings_in(run)
    walk = {name: value for name, value in run.evaluation.items() if name in WALK}
    try:
        known_game(run.game)
        names = {name: getattr(run, name) for name in ASKED}
        return Task.parse(names | walk), settings
    except VlmGymError as error:
        raise TraceError(f"its run line cannot be ({error})") from error


def walk_of(task: Task, settings: Evaluation) -> dict[str, Any]:
    """The settings of the random walk, where episodes start from one."""
    if settings.start != "walk":
        return {}
    return {name: getattr(task, name) for name in WALK}


def settings_of_run(run: EvaluationRun) -> dict[str, Any]:
    """What the first line of a trace says of the evaluation itself."""
    others = (*WALK, OPPONENT)
    return {name: value for name, value in run.evaluation.items() if name not in others}


def opponent_of(player: Player) -> dict[str, str]:
    """Who has the other side, as the first line of a trace and a summary say it: label and
    identity.
    """
    return {OPPONENT: f"{player.name} ({player.identity})"}


def run_of(player: Player, task: Task, settings: Evaluation) -> EvaluationRun:
    """The first line of a trace, with all settings that decide what is asked, and who is asked."""
    about = player.describe()
    names = task.names
    return EvaluationRun(
        player.name,
        names.game,
        names.level,
        names.look,
        task.prompt,
        settings.mode,
        asdict(settings) | walk_of(task, settings),
        about,
        identity_of(about),
        player.sees,
        reply=task.reply,
        attribution=ATTRIBUTION,
    )
