"""A training run as one YAML file: model, tasks, cold start, GRPO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vlmgym.core import ConfigError, Settings, setting
from vlmgym.core.config import find, read_file
from vlmgym.core.random import CHECKS_FIRST
from vlmgym.dialogue.weights import Weights
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.episodes.task import Task
from vlmgym.games.parts.habits import HABITS
from vlmgym.games.suites import chosen_games, spread_games
from vlmgym.train.compute import Compute, Lora
from vlmgym.train.settings import GrpoSettings, SftSettings
from vlmgym.train.sources import Source

PRETRAINING_SHARES: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {"search": (0.5, 0.15, 0.35), "plain": (0.4, 0.25, 0.35)}
)
"""Shares of the rows that ask about moves, that ask whether tiles are the same, and that ask for a
move.
"""


@dataclass(frozen=True)
class Pretraining(Settings):
    """The embedded model from random weights, by SFT on an endless stream of rows."""

    moves: str = setting(
        "search",
        "rows that ask about moves: the teacher's search for one, or (plain) whether one move "
        "works and what comes of it; plain has no search in any row",
        choices=tuple(PRETRAINING_SHARES),
    )
    chunk: int = setting(40, "states drawn at once for a task of weight 1", 1, 100_000)
    near: int = setting(
        64,
        "rows among which those of a length are put together, so that little of a batch is padding",
        1,
        100_000,
    )


@dataclass(frozen=True)
class ColdStart(Settings):
    """The perception-enhanced cold start: the teacher's answers with the true board in the
    perception block.
    """

    states: int = setting(
        1000, "states of each task, scaled by nothing: every task gets as many", 1, 10_000_000
    )
    teacher_error: float = setting(
        0.0, "probability that the scripted teacher jumps to a random answer", 0.0, 1.0
    )
    teacher: str = setting(
        "",
        "habit by which the scripted teacher is wrong, see vlmgym.games.parts.habits",
        choices=("", *HABITS),
    )
    careful: float = setting(
        0.0, "share of the states in which a teacher with a habit looks carefully", 0.0, 1.0
    )
    verified: bool = setting(
        True,
        "only answers that work are taught; false: those that fail as well, if the teacher errs",
    )
    hopeless: bool = setting(
        True,
        "states in which no action succeeds (2048: nothing merges) belong to it, as to whole games",
    )
    player: str = setting(
        "teacher",
        "who answers; weigher: weighs several moves by simulation; beginner: guesses, see "
        "vlmgym.players.beginner",
        choices=("teacher", "weigher", "beginner"),
    )
    think: bool = setting(
        True, "answers have a think block (without, they are no longer well formed)"
    )
    told: float = setting(
        0.0,
        "share of the rows whose true description is given, as the beginning of an answer, and not "
        "trained on, beside their own picture: the control of the next two",
        0.0,
        1.0,
    )
    mismatched: float = setting(
        0.0, "share of such rows beside the picture of another state of the task", 0.0, 1.0
    )
    blank: float = setting(0.0, "share of such rows beside a blank picture", 0.0, 1.0)

    def __post_init__(self) -> None:
        """See that the shares fit into the rows, and that a habit is the teacher's.

        Raises:
            ConfigError: they do not; or another player is asked.
        """
        super().__post_init__()
        if sum(self.shares_told.values()) > 1 + 1e-9:
            shares = " + ".join(f"{name} {share:g}" for name, share in self.shares_told.items())
            raise ConfigError("ColdStart", shares, "at most 1 together")
        if self.careful and not self.teacher:
            raise ConfigError("ColdStart.careful", self.careful, "0 where teacher has no habit")
        if self.teacher and self.player != "teacher":
            allowed = f"no habit where player = {self.player}"
            raise ConfigError("ColdStart.teacher", self.teacher, allowed)

    @property
    def shares_told(self) -> dict[str, float]:
        """Shares of the rows whose description is given, by the picture beside it."""
        return {"told": self.told, "mismatched": self.mismatched, "blank": self.blank}


@dataclass(frozen=True)
class Checks(Settings):
    """Greedy evaluation on held-out states during GRPO."""

    every: int = setting(10, "steps between evaluations; 0 = never", 0, 1_000_000)
    states: int = setting(64, "held-out states of each task", 1, 1_000_000)
    swapped: int = setting(
        0,
        "of each task, states whose replies begin with the description of another of them (2 or "
        "more): whether what follows goes by it; 0 = none",
        0,
        1_000_000,
    )
    first: int = setting(
        CHECKS_FIRST,
        "number of the first of these test seeds: apart from those of the final evaluation",
        0,
        10**9,
    )
    teacher: str = setting(
        "",
        "habit of the teacher whose mistakes are looked for, see vlmgym.evals.habits; empty = that "
        "of cold_start",
        choices=("", *HABITS),
    )

    def __post_init__(self) -> None:
        """Each of the swapped states needs another one."""
        super().__post_init__()
        if self.swapped == 1:
            raise ConfigError("Checks.swapped", 1, "0, or 2 and more")


@dataclass(frozen=True)
class Recipe:
    """A whole run; see ``recipes/`` for examples."""

    model: str
    tasks: tuple[Task, ...]
    pretrain: Pretraining | None = None  # the embedded model from random weights
    cold_start: ColdStart | None = None
    sft: SftSettings = field(default_factory=SftSettings)
    grpo: GrpoSettings | None = None
    reward: Weights = field(default_factory=Weights)
    checks: Checks = field(default_factory=Checks)
    compute: Compute = field(default_factory=Compute)
    lora: Lora | None = None
    states: tuple[Source, ...] = (Source(),)
    curriculum: Mapping[str, Curriculum] = field(default_factory=dict)  # by name of a game
    held_out: tuple[str, ...] = ()  # names of games that are left out, to be asked about later

    @property
    def habit(self) -> str:
        """The habit of the teacher whose mistakes the checks look for; empty = none."""
        return self.checks.teacher or (self.cold_start.teacher if self.cold_start else "")

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Recipe:
        """Build from the mapping of a YAML file.

        Raises:
            ConfigError: a key is unknown, missing, or a value is out of range; the message names
                it.
        """
        for key, value in values.items():
            if key not in (*SECTIONS, *OTHERS):
                allowed = "one of " + ", ".join([*OTHERS, *SECTIONS])
                raise ConfigError(f"recipe.{key}", value, allowed)
        model = values.get("model")
        if not isinstance(model, str):
            raise ConfigError("recipe.model", model, "'tiny', a hub name or a folder")
        held_out = values.get("held_out") or []
        held_out = chosen_games(held_out, "recipe.held_out") if held_out else []
        tasks = _read_tasks(values.get("tasks"), held_out)
        fields: dict[str, Any] = {"model": model, "tasks": tasks, "held_out": tuple(held_out)}
        sources = values.get("states")
        ladders = values.get("curriculum")
        _check_shapes(sources, ladders)
        fields["states"] = _read_sources([{}] if sources is None else sources)
        fields["curriculum"] = {
            game: Curriculum.parse(ladder) for game, ladder in (ladders or {}).items()
        }
        for key, kind in SECTIONS.items():
            if key in values:
                fields[key] = _read_section(key, kind, values[key])
        recipe = cls(**{key: value for key, value in fields.items() if value is not None})
        recipe._check_stages()
        if recipe.grpo is not None and not any(recipe.reward.factors().values()):
            raise ConfigError(
                "recipe.reward",
                "weight 0 for all terms",
                "a weight other than 0 for at least one term",
            )
        recipe._refuse_without_words()
        return recipe

    def _check_stages(self) -> None:
        """Refuse a recipe without a stage, and a pretraining with what does not go with it."""
        if self.pretrain is None and self.cold_start is None and self.grpo is None:
            raise ConfigError("recipe", "no stage", "pretrain, cold_start, grpo, or the last two")
        if self.pretrain is None:
            return
        if self.model != "tiny":
            raise ConfigError("recipe.model", self.model, "tiny where there is pretrain")
        if self.cold_start is not None or self.grpo is not None:
            raise ConfigError(
                "recipe.pretrain", "more stages", "pretrain alone: others start from it"
            )
        if not self.sft.steps:
            raise ConfigError("recipe.sft.steps", 0, "1 or more where there is pretrain")

    @property
    def fine_tunes(self) -> bool:
        """Whether there is a stage of supervised fine-tuning."""
        return self.pretrain is not None or self.cold_start is not None

    @property
    def last_folder(self) -> str:
        """The folder of a run that holds the model of its last stage."""
        if self.grpo is not None:
            return "final"
        return "base" if self.pretrain is not None else "cold"

    def _refuse_without_words(self) -> None:
        """Refuse what compares descriptions, for games whose boards cannot be told in words."""
        for task in self.tasks:
            if task.game.sample(task.level).symbols.size:
                continue
            allowed = f"for {task.names.game}, which has no truth text"
            if self.grpo is not None and self.grpo.credit == "replay":
                raise ConfigError("recipe.grpo.credit", "replay", f"another one {allowed}")
            if self.checks.swapped:
                raise ConfigError("recipe.checks.swapped", self.checks.swapped, f"0 {allowed}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values that :meth:`parse` reads back."""
        values = asdict(replace(self, tasks=(), states=()))
        sections = {key: value for key, value in values.items() if value is not None}
        return sections | {
            "tasks": [task.to_dict() for task in self.tasks],
            "states": [asdict(source) for source in self.states],
            "held_out": [*self.held_out],
        }


SECTIONS: Mapping[str, type[Settings]] = MappingProxyType(
    {
        "pretrain": Pretraining,
        "cold_start": ColdStart,
        "sft": SftSettings,
        "grpo": GrpoSettings,
        "reward": Weights,
        "checks": Checks,
        "compute": Compute,
        "lora": Lora,
    }
)
"""Settings by the key of the recipe that holds them."""
OTHERS = ("model", "tasks", "states", "curriculum", "held_out")
"""The other keys of a recipe."""


def _read_tasks(values: Any, held_out: Sequence[str]) -> tuple[Task, ...]:
    if not isinstance(values, list) or not values:
        raise ConfigError("recipe.tasks", values, "a list with at least one task")
    sections = spread_games(values, "recipe.tasks", held_out)
    tasks = tuple(Task.parse(section) for section in sections)
    if not any(task.weight for task in tasks):
        raise ConfigError(
            "recipe.tasks", "weight 0 for all of them", "a weight above 0 for at least one task"
        )
    return tasks


def _check_shapes(sources: Any, ladders: Any) -> None:
    """Refuse sources that are no list of mappings, and curricula that are no mapping of them."""
    if sources is not None and not (isinstance(sources, list) and sources and _mappings(sources)):
        raise ConfigError(
            "recipe.states", sources, "a list of sources, such as {kind: policy_pool, weight: 1}"
        )
    if ladders is not None and not (isinstance(ladders, Mapping) and _mappings(ladders.values())):
        raise ConfigError(
            "recipe.curriculum",
            ladders,
            "a mapping from games to ladders, such as {Swap: {dial: level, ...}}",
        )


def _mappings(values: Iterable[Any]) -> bool:
    """Whether all values are mappings."""
    return all(isinstance(value, Mapping) for value in values)


def _read_sources(values: list[Any]) -> tuple[Source, ...]:
    sources = tuple(Source.parse(value) for value in values)
    if not any(source.weight for source in sources):
        raise ConfigError(
            "recipe.states", "weight 0 for all of them", "a weight above 0 for at least one source"
        )
    return sources


def _read_section(key: str, kind: type[Settings], values: Any) -> Settings | None:
    """A section of settings; None where it is switched off, as the type of its field allows."""
    if not isinstance(values, Mapping | None):
        raise ConfigError(f"recipe.{key}", values, "a mapping of settings, or nothing")
    if values is None and "None" in str(Recipe.__annotations__[key]):
        return None
    return kind.parse(values or {})


def recipe_path(name: str) -> Path:
    """The file of a recipe: a path, or the name of a bundled one such as ``tiny/g0``.

    Raises:
        ConfigError: there is neither; the message lists the bundled ones.
    """
    return find("recipe", name)


def read_recipe(path: Path, overrides: Sequence[str] = (), on: Sequence[str] = ()) -> Recipe:
    """Read a YAML recipe, adapt it to hardware and apply ``field=value`` overrides; see
    :func:`vlmgym.core.config.read_file`.
    """
    return Recipe.parse(read_file("recipe", path, overrides, on))
