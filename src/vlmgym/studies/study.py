"""Studies: training runs and evaluations that build on each other, as one plain file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.core.config import find, merge, read_file
from vlmgym.evals.protocol import Protocol
from vlmgym.train.recipe import Recipe, read_recipe, recipe_path

BASE = "base"
"""The player that is the model which every run starts from."""

FIXED = ("random", "random-legal", "greedy", "oracle", BASE)
"""Players that are not trained."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_=-]*(\.[A-Za-z0-9_=-]+)*")
"""What runs and evaluations are called, and their folders; ``+`` joins runs to a relay, the last
dot precedes the seed.
"""


# time of a row of SFT and of an answer of an evaluation, in answers of GRPO; for the bar alone
SFT_COST, ASK_COST = 0.5, 0.4


@dataclass(frozen=True)
class TrainingRun:
    """A training run of a study, made once for each seed."""

    recipe: str
    start: str = BASE  # the run whose model it starts from
    set: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """An evaluation of a study: a protocol, and who is asked."""

    protocol: str
    # names and patterns of runs, "base", a relay "RUN+RUN", players of the command line
    # ("teacher:0.3")
    players: tuple[str, ...]
    set: tuple[str, ...] = ()
    games: tuple[str, ...] = ()  # of the protocol's tasks only those of these games; none = all


@dataclass(frozen=True)
class Job:
    """One process of a study."""

    name: str  # train/RUN/SEED, or evaluate/PLAYER: in all evaluations that ask it
    needs: tuple[str, ...]
    cost: float  # in answers of GRPO, roughly


@dataclass(frozen=True)
class Study:
    """What is trained and measured.

    Attributes:
        model: what runs start from.
        seeds: of the training runs; each makes a run of its own, which starts from the same seed of
            what it builds on.
        runs: by name.
        evaluations: by name.
        train: overrides of all recipes.
        evaluate: overrides of all protocols.
        leave_out: patterns of runs and evaluations that are not made.
    """

    model: str
    seeds: tuple[int, ...]
    runs: Mapping[str, TrainingRun]
    evaluations: Mapping[str, Measured]
    train: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()

    @classmethod
    def parse(cls, values: Mapping[str, Any], quick: bool = False) -> Study:
        """Build from the mapping of a YAML file; ``quick`` lays its section of that name over the
        rest.

        Raises:
            ConfigError: a key is unknown or missing, or a run starts from one that comes later.
        """
        values = dict(values)
        shorter = values.pop("quick", None) or {}
        if not isinstance(shorter, Mapping):
            raise ConfigError("study.quick", shorter, "a mapping, as the study itself")
        if quick:
            values = merge(values, shorter)
        keys: dict[str, type] = {"model": str, "seeds": list, "runs": dict, "evaluations": dict}
        keys |= {"train": list, "evaluate": list, "leave_out": list}
        for key in values:
            if key not in keys:
                raise ConfigError(
                    f"study.{key}", values[key], "one of " + ", ".join([*keys, "quick"])
                )
        for key, kind in keys.items():
            if not isinstance(values.setdefault(key, kind()), kind):
                raise ConfigError(f"study.{key}", values[key], f"a {kind.__name__}")
        for key in ("train", "evaluate", "leave_out"):
            if not all(isinstance(one, str) for one in values[key]):
                raise ConfigError(f"study.{key}", values[key], "a list of strings")
        seeds = values["seeds"]
        if (
            not seeds
            or len(set(map(str, seeds))) < len(seeds)
            or not all(type(seed) is int and seed >= 0 for seed in seeds)
        ):
            raise ConfigError("study.seeds", seeds, "a list of different whole numbers from 0 on")
        out = values["leave_out"]
        for name in (*values["runs"], *values["evaluations"]):
            # they are names of folders below the study's own
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise ConfigError(
                    "study",
                    name,
                    "names of letters, digits, _, = and - (dots within), for runs and evaluations",
                )
        runs = {
            name: _part(TrainingRun, f"runs.{name}", one)
            for name, one in values["runs"].items()
            if not _hit(name, out)
        }
        known = [BASE]
        for name, run in runs.items():
            if name in FIXED:
                raise ConfigError(
                    "study.runs", name, "a name that no player has (" + ", ".join(FIXED) + ")"
                )
            if run.start not in known:
                raise ConfigError(f"study.runs.{name}.start", run.start, ", ".join(known))
            known.append(name)
        asked = {
            name: _part(Measured, f"evaluations.{name}", one)
            for name, one in values["evaluations"].items()
            if not _hit(name, out)
        }
        lists = {key: tuple(values[key]) for key in ("seeds", "train", "evaluate", "leave_out")}
        return cls(model=values["model"] or "tiny", runs=runs, evaluations=asked, **lists)

    def recipe(self, run: str, seed: int, out: Path | None = None) -> Recipe:
        """The recipe of a run, ready to be trained under ``out``; without, its model is named by
        the run that makes it.
        """
        spec = self.runs[run]
        model = self.model if spec.start == BASE else f"{spec.start}/{seed}"
        if out is not None and spec.start != BASE:
            model = str(self.model_of(spec.start, seed, out).resolve())
        seeds = [f"grpo.seed={seed}", f"sft.seed={seed}"]
        plain = read_recipe(recipe_path(spec.recipe))
        seeds = [text for text in seeds if text.startswith("sft") or plain.grpo is not None]
        ours = [
            text
            for text in self.train
            if plain.grpo is not None or not text.startswith(("grpo.", "checks."))
        ]
        ours = [
            text
            for text in ours
            if plain.cold_start is not None or not text.startswith("cold_start.")
        ]
        return replace(
            read_recipe(recipe_path(spec.recipe), [*ours, *spec.set, *seeds]), model=model
        )

    def model_of(self, run: str, seed: int, out: Path) -> Path:
        """The folder of a run's model."""
        plain = read_recipe(recipe_path(self.runs[run].recipe))
        return out / "runs" / run / str(seed) / ("cold" if plain.grpo is None else "final")

    def protocol(self, evaluation: str) -> Protocol:
        """The protocol of an evaluation."""
        spec = self.evaluations[evaluation]
        whole = Protocol.parse(
            read_file("protocol", find("protocol", spec.protocol), [*self.evaluate, *spec.set])
        )
        entries = tuple(
            one for one in whole.entries if not spec.games or one[0].names.game in spec.games
        )
        if not entries:
            games = ", ".join(dict.fromkeys(task.names.game for task, _ in whole.entries))
            raise ConfigError(
                f"study.evaluations.{evaluation}.games", list(spec.games), f"some of {games}"
            )
        return replace(whole, entries=entries)

    def players(self, evaluation: str) -> list[str]:
        """Who is asked: runs and relays with their seed (``g1-swap.0``, ``base+g1-swap.0``), and
        the others as they are called.

        Raises:
            ConfigError: a name that is neither that of a run (one that is left out does not count)
                nor of a player.
        """
        found, spec = list[str](), self.evaluations[evaluation]
        for wanted in spec.players:
            names = [name for name in self.runs if fnmatch(name, wanted)]
            if "+" in wanted and all(part in (BASE, *self.runs) for part in wanted.split("+")):
                names = [wanted]
            if names:
                found += [f"{name}.{seed}" for name in names for seed in self.seeds]
            elif wanted in FIXED or wanted.startswith("teacher"):
                found.append(wanted)
            elif not set(wanted) & set("*+") and not _hit(wanted, self.leave_out):
                raise ConfigError(
                    f"study.evaluations.{evaluation}.players",
                    wanted,
                    ", ".join([*self.runs, *FIXED, "teacher:ERROR"]),
                )
        return list(dict.fromkeys(found))

    def makers(self, player: str) -> list[tuple[str, int]]:
        """The runs, each with its seed, that a player is made of; none for ``base`` and scripted
        ones.
        """
        names, _, seed = player.rpartition(".")
        runs = [name for name in names.split("+") if name != BASE]
        return (
            [(name, int(seed)) for name in runs]
            if runs and all(name in self.runs for name in runs)
            else []
        )

    @cached_property
    def jobs(self) -> list[Job]:
        """All jobs, each after those that it needs; who is trained is asked at once, so that a
        stopped study has whole rows.
        """
        found = []
        for name, run in self.runs.items():
            for seed in self.seeds:
                before = () if run.start == BASE else (f"train/{run.start}/{seed}",)
                found.append(
                    Job(f"train/{name}/{seed}", before, _training_cost(self.recipe(name, seed)))
                )
        turns = {
            name: sum(
                how.episodes * (how.turns or task.level.max_steps)
                for task, how in self.protocol(name).entries
            )
            for name in self.evaluations
        }
        for player, asked in self.asked.items():
            needs = tuple(f"train/{run}/{seed}" for run, seed in self.makers(player))
            cost = ASK_COST * sum(turns[name] for name in asked) if needs or player == BASE else 1.0
            found.append(Job(f"evaluate/{player}", needs, cost))
        place = {job.name: at for at, job in enumerate(found)}

        def turn(job: Job) -> int:
            return (
                max((place[need] for need in job.needs), default=-1)
                if job.name.startswith("evaluate/")
                else place[job.name]
            )

        return sorted(found, key=turn)

    def wanted(self, only: Sequence[str] = ()) -> list[Job]:
        """The jobs whose names match one of the patterns, and those that they need; all, without
        patterns.

        Raises:
            ConfigError: nothing has such a name.
        """
        for pattern in only:
            if not any(fnmatch(job.name, pattern) for job in self.jobs):
                raise ConfigError(
                    "only",
                    pattern,
                    "patterns of the names of vlmgym reproduce --list: 'evaluate/g1-*'",
                )
        if not only:
            return self.jobs
        names = set[str]()
        for job in reversed(self.jobs):  # what needs comes before what is needed
            if job.name in names or _hit(job.name, only):
                names |= {job.name, *job.needs}
        return [job for job in self.jobs if job.name in names]

    @cached_property
    def asked(self) -> dict[str, list[str]]:
        """By player: the evaluations that ask it."""
        found: dict[str, list[str]] = {}
        for name in self.evaluations:
            for player in self.players(name):
                found.setdefault(player, []).append(name)
        return found


def _part(kind: type[Any], name: str, values: Any) -> Any:
    """A run or an evaluation from its mapping."""
    known = {one.name: one for one in fields(kind)}
    allowed = "a mapping with " + ", ".join(known)
    if not isinstance(values, Mapping) or not values.keys() <= known.keys():
        raise ConfigError(f"study.{name}", values, allowed)
    for key, one in known.items():
        if key not in values and one.default is MISSING:
            raise ConfigError(f"study.{name}", dict(values), f"{allowed}; {key} is missing")
        if one.type == "str" and not isinstance(values.get(key, ""), str):
            raise ConfigError(f"study.{name}.{key}", values[key], "a string")
        if one.type != "str" and not (
            isinstance(values.get(key, []), list)
            and all(isinstance(x, str) for x in values.get(key, []))
        ):
            raise ConfigError(f"study.{name}.{key}", values[key], "a list of strings")
    return kind(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    )


def _hit(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def _training_cost(recipe: Recipe) -> float:
    cost = (
        SFT_COST * recipe.cold_start.states * len(recipe.tasks) * recipe.sft.epochs
        if recipe.cold_start
        else 0.0
    )
    if recipe.grpo:
        cost += recipe.grpo.steps * recipe.grpo.batch
        if recipe.checks.every:
            cost += (
                ASK_COST
                * (recipe.grpo.steps // recipe.checks.every + 1)
                * recipe.checks.states
                * len(recipe.tasks)
            )
    return cost


def read_study(name: str, quick: bool = False) -> Study:
    """A study by the name of its bundled file, or by its path.

    Raises:
        ConfigError: there is no such study, or something in it is wrong.
    """
    return Study.parse(read_file("study", find("study", name)), quick)
