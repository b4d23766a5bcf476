"""The check of a game: everything that the rest of the library relies on, tried on random play.

``check_game(MyGame())`` raises nothing and returns a list of findings; ``vlmgym check
module:MyGame`` prints them. Each check says, where it fails, what to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vlmgym.core import Game
from vlmgym.games import get_game
from vlmgym.testing.cases import Case, CheckFailed, make_case
from vlmgym.testing.oracles import oracle_beats_random
from vlmgym.testing.puzzles import puzzle_values_count_moves
from vlmgym.testing.repeats import batch_equals_alone, forks, purity, same_seed_same_run, snapshots
from vlmgym.testing.shown import gymnasium_env, pictures
from vlmgym.testing.turns import (
    ended_rows_absorb,
    legal_is_what_step_accepts,
    levels,
    no_action,
    outcome_and_state_agree,
    restart,
    success_and_success_mask_agree,
)
from vlmgym.testing.words import answers, scene_and_text, texts


@dataclass(frozen=True)
class CheckResult:
    """What one check found."""

    check: str
    level: str
    ok: bool
    detail: str  # what is wrong, or what was measured
    look_at: str  # where to look if it is wrong


CHECKS: tuple[Callable[[Case], str], ...] = (
    levels,
    purity,
    batch_equals_alone,
    same_seed_same_run,
    snapshots,
    forks,
    legal_is_what_step_accepts,
    no_action,
    outcome_and_state_agree,
    success_and_success_mask_agree,
    ended_rows_absorb,
    answers,
    texts,
    scene_and_text,
    pictures,
    puzzle_values_count_moves,
    oracle_beats_random,
    restart,
    gymnasium_env,
)

_ANY = (Exception, SystemExit)
"""Whatever a faulty game raises is the finding; Ctrl-C is not the game's."""


def check_game(game: str | Game, levels_of: tuple[str, ...] = ()) -> list[CheckResult]:
    """Check a game on its named levels.

    Args:
        game: a game, or the name of one.
        levels_of: names of levels; all of them by default.

    Returns:
        One finding a check and level. It raises nothing for a faulty game: an exception inside of
        it is a finding.
    """
    return list(iter_checks(game, levels_of))


def check_levels(piece: tuple[str, tuple[str, ...]]) -> list[CheckResult]:
    """The findings of a game, by its name, on some levels (none = all)."""
    name, levels = piece
    return list(iter_checks(name, levels))


def iter_checks(game: str | Game, levels_of: tuple[str, ...] = ()) -> Iterator[CheckResult]:
    """:func:`check_game`, one finding at a time."""
    game = get_game(game)
    try:
        names = tuple(game.LEVELS)
    except _ANY as error:
        detail = f"LEVELS is no table of levels ({_in_one_line(error)})"
        yield CheckResult("levels", "normal", False, detail, "LEVELS")
        return
    if "normal" not in names:
        detail = "LEVELS has no level normal, the default everywhere"
        yield CheckResult("levels", "normal", False, detail, "LEVELS")
    for name in levels_of or names:
        try:
            case = make_case(game, name)
        except _ANY as error:
            look_at = "reset(), legal() and step()"
            yield CheckResult("random play", str(name), False, _in_one_line(error), look_at)
            continue
        for check in CHECKS:
            yield _result(check, case)


def _result(check: Callable[[Case], str], case: Case) -> CheckResult:
    title = check.__name__.replace("_", " ")
    look_at = (check.__doc__ or "").strip()
    try:
        return CheckResult(title, case.name, True, check(case), look_at)
    except CheckFailed as failed:
        return CheckResult(title, case.name, False, str(failed), look_at)
    except _ANY as error:
        return CheckResult(title, case.name, False, _in_one_line(error), look_at)


def _in_one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
