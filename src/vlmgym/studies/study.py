"""Studies: training runs and evaluations that build on each other, as one plain file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from vlmgym.core import ConfigError
from vlmgym.core.config import find, read_file
from vlmgym.evals.protocol import Protocol
from vlmgym.studies.claim import GAME, INDEX, Claim, Side
from vlmgym.studies.entries import (
    BASE,
    FIXED,
    Branched,
    Measured,
    TrainingRun,
    entries_of,
    matches,
    settings_of,
)
from vlmgym.studies.plan import Plan
from vlmgym.train.recipe import Recipe, read_recipe, recipe_path


@dataclass(frozen=True)
class Study:
    """What is trained and measured.

    Attributes:
        model: what runs start from.
        seeds: of the training runs; each makes a run of its own, which starts from the same seed of
            what it builds on.
        runs: by name.
        evaluations: by name.
        blocks: tables of rewards of the blocks of answers, by name.
        train: overrides of all recipes.
        evaluate: overrides of all protocols.
        leave_out: patterns of runs, evaluations and tables that are not made.
        plan: what is asked of it.
    """

    model: str
    seeds: tuple[int, ...]
    runs: Mapping[str, TrainingRun]
    evaluations: Mapping[str, Measured]
    blocks: Mapping[str, Branched] = field(default_factory=dict)
    train: tuple[str, ...] = ()
    evaluate: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    plan: Plan = field(default_factory=Plan)

    @classmethod
    def parse(cls, values: Mapping[str, Any], quick: bool = False) -> Study:
        """Build from the mapping of a YAML file; ``quick`` lays its section of that name over the
        rest.

        Raises:
            ConfigError: a key is unknown or missing, a run starts from one that comes later, tables
                of blocks are asked of no model or about several tasks, or a claim of the plan names
                what is not asked.
        """
        settings = settings_of(values, quick)
        runs = entries_of(TrainingRun, "runs", settings)
        starts = [BASE]
        for name, run in runs.items():
            if name in (*FIXED, BASE):
                allowed = "a name that no player has (" + ", ".join([*FIXED, BASE]) + ")"
                raise ConfigError("study.runs", name, allowed)
            if run.start not in starts:
                raise ConfigError(f"study.runs.{name}.start", run.start, ", ".join(starts))
            starts.append(name)
        study = cls(
            model=settings["model"] or "tiny",
            seeds=tuple(settings["seeds"]),
            runs=runs,
            evaluations=entries_of(Measured, "evaluations", settings),
            blocks=entries_of(Branched, "blocks", settings),
            train=tuple(settings["train"]),
            evaluate=tuple(settings["evaluate"]),
            leave_out=tuple(settings["leave_out"]),
            plan=Plan.parse(settings["plan"]),
        )
        for name in study.blocks:
            study.branching(name)
            study.players_of_blocks(name)
        for claim in study.plan.claims:
            if not study.leaves_out(claim):
                study._check(claim)
        return study

    def recipe(self, run: str, seed: int, out: Path | None = None) -> Recipe:
        """The recipe of a run, ready to be trained under ``out``; without, its model is named by
        the run that makes it.
        """
        spec = self.runs[run]
        model = self.model if spec.start == BASE else f"{spec.start}/{seed}"
        if out is not None and spec.start != BASE:
            model = str(self.model_of(spec.start, seed, out).resolve())
        path = recipe_path(spec.recipe)
        unchanged = read_recipe(path)
        seeds = (f"grpo.seed={seed}", f"sft.seed={seed}")
        overrides = [
            *(override for override in self.train if _fits(unchanged, override)),
            *spec.set,
            *(override for override in seeds if _fits(unchanged, override)),
        ]
        return replace(read_recipe(path, overrides), model=model)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: every recipe and protocol with every setting."""
        return {
            "model": self.model,
            "seeds": list(self.seeds),
            "runs": {
                f"{run}/{seed}": self.recipe(run, seed).to_dict()
                for run in self.runs
                for seed in self.seeds
            },
            "evaluations": {
                name: self.protocol(name).to_dict() | {"players": self.players(name)}
                for name in self.evaluations
            },
            "blocks": {
                name: self.branching(name).to_dict()
                | {
                    "players": self.players_of_blocks(name),
                    "descriptions": entry.descriptions,
                    "continuations": entry.continuations,
                }
                for name, entry in self.blocks.items()
            },
            "plan": self.plan.to_dict(),
        }

    def model_of(self, run: str, seed: int, out: Path) -> Path:
        """The folder of a run's model."""
        recipe = read_recipe(recipe_path(self.runs[run].recipe))
        return out / "runs" / run / str(seed) / recipe.last_folder

    @cached_property
    def _protocols(self) -> dict[str, Protocol]:
        """Those that were read, by the place of their entries."""
        return {}

    def protocol(self, evaluation: str) -> Protocol:
        """The protocol of an evaluation."""
        return self._protocol_of(f"evaluations.{evaluation}", self.evaluations[evaluation])

    def branching(self, name: str) -> Protocol:
        """The protocol of tables of blocks: one task, from which so many states are drawn.

        Raises:
            ConfigError: it has several tasks.
        """
        protocol = self._protocol_of(f"blocks.{name}", self.blocks[name])
        if len(protocol.entries) > 1:
            tasks = ", ".join(protocol.names())
            raise ConfigError(f"study.blocks.{name}.protocol", tasks, "one task (games chooses)")
        return protocol

    def _protocol_of(self, place: str, spec: Measured) -> Protocol:
        """The protocol that an entry names, with what is laid over it."""
        if place not in self._protocols:
            self._protocols[place] = self._read_protocol(place, spec)
        return self._protocols[place]

    def _read_protocol(self, place: str, spec: Measured) -> Protocol:
        path = find("protocol", spec.protocol)
        overrides = [*self.evaluate, *spec.overrides]
        protocol = Protocol.parse(read_file("protocol", path, overrides))
        entries = protocol.entries
        if spec.games:
            entries = tuple(entry for entry in entries if entry[0].names.game in spec.games)
        if not entries:
            games = ", ".join(dict.fromkeys(task.names.game for task, _ in protocol.entries))
            field = f"study.{place}.games"
            raise ConfigError(field, list(spec.games), f"some of {games}")
        return replace(protocol, entries=entries)

    def players(self, evaluation: str) -> list[str]:
        """Who is asked: runs and relays with their seed (``g1-swap.0``, ``base+g1-swap.0``), and
        the others as they are called.

        Raises:
            ConfigError: a name that is neither that of a run (one that is left out does not count)
                nor of a player.
        """
        players = list[str]()
        for wanted in self.evaluations[evaluation].players:
            names = [name for name in self.runs if fnmatch(name, wanted)]
            if "+" in wanted and all(name in (BASE, *self.runs) for name in wanted.split("+")):
                names = [wanted]
            if names:
                players += [f"{name}.{seed}" for name in names for seed in self.seeds]
            elif _is_fixed(wanted):
                players.append(wanted)
            elif not self._may_be_none(wanted):
                raise ConfigError(
                    f"study.evaluations.{evaluation}.players",
                    wanted,
                    ", ".join([*self.runs, *(kind.form for kind in FIXED.values()), BASE]),
                )
        return list(dict.fromkeys(players))

    def players_of_blocks(self, name: str) -> list[str]:
        """Whose answers branch: runs with their seed, and the base.

        Raises:
            ConfigError: a name that is neither (a run that is left out does not count).
        """
        players = list[str]()
        for wanted in self.blocks[name].players:
            if wanted == BASE:
                players.append(BASE)
                continue
            runs = [run for run in self.runs if fnmatch(run, wanted)]
            if not runs and ("+" in wanted or not self._may_be_none(wanted)):
                allowed = "a model: one of " + ", ".join([*self.runs, BASE])
                raise ConfigError(f"study.blocks.{name}.players", wanted, allowed)
            players += [f"{run}.{seed}" for run in runs for seed in self.seeds]
        return list(dict.fromkeys(players))

    def _may_be_none(self, wanted: str) -> bool:
        """Whether a name may stand for nobody: a pattern, or what is left out."""
        return bool(set(wanted) & set("*+")) or matches(wanted, self.leave_out)

    def without_seed(self, player: str) -> str:
        """What a player is called without the training seed, if it is trained."""
        return player.rpartition(".")[0] if self.makers(player) else player

    def names_in(self, evaluation: str) -> list[str]:
        """Who is asked, each name once for all training seeds."""
        return list(dict.fromkeys(map(self.without_seed, self.players(evaluation))))

    def task_of(self, evaluation: str, game: str) -> str:
        """The folder of the task of a game in an evaluation.

        Raises:
            ConfigError: it has none, or several.
        """
        protocol = self.protocol(evaluation)
        games = [task.names.game for task, _ in protocol.entries]
        if games.count(game) != 1:
            field = f"study.evaluations.{evaluation}"
            raise ConfigError(field, sorted(games), f"one task of {game}, for a claim about it")
        return protocol.names()[games.index(game)]

    # ---- the plan
    def games_of(self, claim: Claim) -> tuple[str, ...]:
        """The games over which the mean of a claim is taken."""
        if claim.games:
            return claim.games
        evaluation = claim.pair.of.evaluation
        if any(GAME in name for name in claim.names) and self.plan.games:
            return tuple(self.plan.games)
        if evaluation not in self.evaluations:
            allowed = "one of " + ", ".join(self.evaluations)
            raise ConfigError(f"plan.{claim.name}.evaluation", evaluation, allowed)
        entries = self.protocol(evaluation).entries
        return tuple(dict.fromkeys(task.names.game for task, _ in entries))

    def leaves_out(self, claim: Claim) -> bool:
        """Whether a run or an evaluation that a claim names is not made."""
        words = [self.plan.word(game) for game in (claim.games or self.plan.games)] or [GAME]
        names = {name.replace(GAME, word) for name in claim.names for word in words}
        return any(matches(name, self.leave_out) for name in names)

    @property
    def primary(self) -> tuple[Claim, ...]:
        """The primary claims but for those that are left out."""
        return tuple(claim for claim in self.plan.primary if not self.leaves_out(claim))

    @property
    def exploratory(self) -> tuple[Claim, ...]:
        """The exploratory claims but for those that are left out."""
        return tuple(claim for claim in self.plan.exploratory if not self.leaves_out(claim))

    def _check(self, claim: Claim) -> None:
        """See that all that a claim names is asked.

        Raises:
            ConfigError: it is not; the message names it.
        """
        where = f"plan.{claim.name}"
        for game in self.games_of(claim):
            word = self.plan.word(game)
            pairs = [pair.of_game(word) for pair in claim.pairs]
            sides = [side for pair in pairs for side in pair.sides]
            others = [claim.fails] if claim.fails else []
            others += ["random", "oracle"] if claim.measure == INDEX else []
            home = pairs[0].of.evaluation
            sides += [Side(player.replace(GAME, word), home) for player in others]
            for side in sides:
                if side.evaluation not in self.evaluations:
                    allowed = "one of " + ", ".join(self.evaluations)
                    raise ConfigError(f"{where}.evaluation", side.evaluation, allowed)
                names = self.names_in(side.evaluation)
                if side.player not in names:
                    allowed = f"one that {side.evaluation} asks: {', '.join(names)}"
                    raise ConfigError(f"{where}", side.player, allowed)
                self.task_of(side.evaluation, game)

    def makers(self, player: str) -> list[tuple[str, int]]:
        """The runs, each with its seed, that a player is made of; none for ``base`` and scripted
        ones.
        """
        names, _, seed = player.rpartition(".")
        runs = [name for name in names.split("+") if name != BASE]
        if not all(name in self.runs for name in runs):
            return []
        return [(name, int(seed)) for name in runs]

    @cached_property
    def asked(self) -> dict[str, list[str]]:
        """By player: the evaluations that ask it."""
        return _by_player((name, self.players(name)) for name in self.evaluations)

    @cached_property
    def branched(self) -> dict[str, list[str]]:
        """By player: the tables of blocks that are made of its answers."""
        return _by_player((name, self.players_of_blocks(name)) for name in self.blocks)


def _by_player(entries: Iterable[tuple[str, Sequence[str]]]) -> dict[str, list[str]]:
    """The names of entries by the players that they ask."""
    names_of = dict[str, list[str]]()
    for name, players in entries:
        for player in players:
            names_of.setdefault(player, []).append(name)
    return names_of


STAGE_OF = {"checks": "grpo"}
"""Sections of a recipe that say how a stage is made, by the section of that stage."""


def _fits(recipe: Recipe, override: str) -> bool:
    """Whether an override of all recipes is one of this recipe: not if it lacks that stage."""
    field, _, _ = override.partition("=")
    section, within, _ = field.partition(".")
    return not within or getattr(recipe, STAGE_OF.get(section, section), section) is not None


def _is_fixed(player: str) -> bool:
    """Whether a player is not trained."""
    word, _, details = player.partition(":")
    return player == BASE or (word in FIXED and FIXED[word].takes(details))


def read_study(name: str, quick: bool = False) -> Study:
    """A study by the name of its bundled file, or by its path.

    Raises:
        ConfigError: there is no such study, or something in it is wrong.
    """
    return Study.parse(read_file("study", find("study", name)), quick)
