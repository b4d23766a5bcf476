"""The check of a game: it finds every one of many faults, and passes games that have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lights_out_2000 import LightsOut2000

from parts.faulty_games import (
    FAULTS,
    deal_without_seed,
    faulty,
    legal_forgets,
    oracle_flat,
    presses_as_rewards,
)
from vlmgym import cli, games
from vlmgym.core import ConfigError
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.games import GAMES
from vlmgym.games.game2048 import Game2048
from vlmgym.games.parts.grid import Puzzle
from vlmgym.players.simple import RandomLegal
from vlmgym.testing.cases import CheckFailed, make_case
from vlmgym.testing.checks import check_game
from vlmgym.testing.oracles import oracle_beats_random
from vlmgym.testing.puzzles import puzzle_values_count_moves


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_finds_the_fault(fault):
    base, parts, check = FAULTS[fault]
    # it must not raise, whatever the game does
    found = check_game(faulty(base, **parts), ("easy",))
    failed = {f.check: f for f in found if not f.ok}
    assert check in failed, {f.check: f.detail for f in found if not f.ok}
    assert failed[check].detail.strip()
    assert failed[check].look_at.strip()
    assert {f.level for f in found} <= {"easy", "normal"}


class WrongSign(LightsOut2000):
    """Its oracle counts presses without the minus."""

    oracle = presses_as_rewards


class Approximate(WrongSign):
    """It says that its oracle is none to be counted with."""

    def is_exact(self, level):
        return False


def values_count_moves(game, level):
    return puzzle_values_count_moves(make_case(game, level))


PUZZLE_LEVELS = [
    (game, level) for game in GAMES.values() if isinstance(game, Puzzle) for level in game.LEVELS
]


@pytest.mark.parametrize(
    ("game", "level"),
    PUZZLE_LEVELS,
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_the_values_of_bundled_puzzles_count_moves(game, level):
    found = values_count_moves(game, level)
    if getattr(game.level(level), "slip", 0):
        assert found == "it has luck"
    elif (game.name, level) == ("SlidingPuzzle", "hard"):
        assert found == "the oracle is not exact on this level"
    else:
        assert int(found.split()[0]) > 10


def test_a_puzzle_whose_oracle_has_the_other_sign_is_told_so():
    with pytest.raises(
        CheckFailed, match=r"^the oracle's sign or values are wrong: '\(\d, \d\)' in"
    ):
        values_count_moves(WrongSign(), "easy")
    assert "not exact" in values_count_moves(Approximate(), "easy")
    assert values_count_moves(Game2048(), "easy") == "no Puzzle"


@pytest.mark.parametrize(("level", "hinted"), [("easy", True), ("hard", False)])
def test_an_oracle_that_tells_no_moves_apart_may_be_that_of_a_small_level(level, hinted):
    game = faulty(LightsOut2000, oracle=oracle_flat)
    with pytest.raises(CheckFailed, match="the same value in every position") as failed:
        oracle_beats_random(make_case(game, level))
    assert ("on a board of 3 x 3 cells they may be equally good" in str(failed.value)) == hinted


@pytest.mark.parametrize("game", [LightsOut2000(), Game2048()], ids=["LightsOut2000", "2048"])
def test_the_games_that_the_faults_are_put_into_have_none(game):
    found = check_game(game, ("easy",))
    assert [f"{f.check}: {f.detail}" for f in found if not f.ok] == []
    assert len({f.check for f in found}) == len(found) >= 17
    assert all(f.look_at.strip() for f in found)


class OneOpening(Game2048):
    """2048 that always begins with the same board: seeds differ in what comes after."""

    name = "OneOpening"

    def reset(self, level, seeds):
        return replace(super().reset(level, np.zeros_like(seeds)), seed=seeds)


class LuckWithoutSeed(OneOpening):
    """Its new tiles are the same under every seed."""

    def _step(self, state, actions):
        new, outcome = super()._step(replace(state, seed=np.zeros_like(state.seed)), actions)
        return replace(new, seed=state.seed), outcome


class NoLuck(LightsOut2000):
    """One puzzle, and no luck."""

    reset = deal_without_seed


class SaysNoLuck(NoLuck):
    one_game = True


@pytest.mark.parametrize("game", [OneOpening(), SaysNoLuck()], ids=lambda game: type(game).__name__)
def test_a_game_with_one_opening_passes(game):
    assert [f"{f.check}: {f.detail}" for f in check_game(game, ("easy",)) if not f.ok] == []


@pytest.mark.parametrize(
    ("game", "said"),
    [
        (LuckWithoutSeed(), "though it has luck: the draws do not use the seed"),
        (NoLuck(), "one_game = True"),
    ],
)
def test_a_game_whose_seed_changes_nothing_fails(game, said):
    failed = {f.check: f.detail for f in check_game(game, ("easy",)) if not f.ok}
    assert said in failed["same seed same run"]


class SaysNoLuckWithLuck(LightsOut2000):
    one_game = True


class SaysPerhaps(NoLuck):
    one_game = "yes"


class AnotherSwap(LightsOut2000):
    name = "Swap"


@pytest.mark.parametrize(
    ("game", "check", "said"),
    [
        (
            SaysNoLuckWithLuck(),
            "same seed same run",
            "one_game = True, but other seeds give other games",
        ),
        (SaysPerhaps(), "same seed same run", "one_game = 'yes': allowed are True and False"),
        (AnotherSwap(), "levels", "its name is that of another game: Swap comes with vlmgym"),
    ],
)
def test_what_a_game_says_of_itself_is_checked(game, check, said):
    failed = {f.check: f.detail for f in check_game(game, ("easy",)) if not f.ok}
    assert said in failed[check]


@pytest.mark.parametrize("name", ["", " ", "a/b", "module:Class", "two\nlines", "-x", "x" * 101])
def test_a_name_that_cannot_stand_in_commands_and_folders_is_refused(name, monkeypatch):
    monkeypatch.setattr(LightsOut2000, "name", name)
    monkeypatch.setattr("vlmgym.games.registry._given", {})
    with pytest.raises(ConfigError, match=r"name = .*: allowed is 1 to 100 letters"):
        games.get_game("lights_out_2000:LightsOut2000")


def test_an_unknown_level_is_a_finding_and_the_other_levels_are_checked():
    found = check_game(LightsOut2000(), ("nosuch", "easy"))
    assert [f.level for f in found if not f.ok] == ["nosuch"]
    assert len([f for f in found if f.level == "easy"]) >= 17


def test_an_unknown_game_is_an_error_that_names_the_games():
    with pytest.raises(ConfigError, match="SlidingPuzzle"):
        check_game("NoSuchGame")


class Sticky(LightsOut2000):
    """A faulty game for the command line: one action is forgotten."""

    legal = legal_forgets


def test_the_command_takes_module_and_class(capsys):
    assert cli.main(["check", "lights_out_2000:LightsOut2000", "--level", "easy"]) == 0
    assert capsys.readouterr().out.endswith("all checks passed\n")


def test_the_command_ends_with_1_for_a_faulty_game_and_says_where_to_look(capsys):
    assert cli.main(["check", f"{__name__}:Sticky", "--level", "easy"]) == 1
    out = capsys.readouterr().out
    assert (
        "FAIL test_check:Sticky easy: legal is what step accepts: action 4 ((1, 1)) changed the "
        "board"
    ) in out
    assert "look at legal()" in out
    assert out.rstrip().endswith("1 check failed")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("LightsOff", "one of 2048"),
        ("nosuchmodule:Game", "nosuchmodule"),
        ("lights_out_2000:NoSuchGame", "NoSuchGame"),
        ("lights_out_2000:LevelLightsOut2000", "a vlmgym.core.Game"),
    ],
)
def test_the_command_ends_with_2_for_an_unknown_game(name, said, capsys):
    assert cli.main(["check", name]) == 2
    told = capsys.readouterr().err
    assert told.startswith("vlmgym check: ")
    assert said in told
    assert name in told


class OnlyOpening(SaysNoLuck):
    name = "OnlyOpening"


def test_starts_that_are_all_one_board_are_warned_of():
    how = Evaluation(episodes=3, turns=1)
    for game, warned in ((OnlyOpening(), True), ("Swap", False)):
        summary = evaluate(RandomLegal(), Task(game=game, level="easy"), how, progress=False)
        assert (
            any("all 3 starts are the one opening" in text for text in summary["warnings"])
            == warned
        )


def test_all_games_are_checked_side_by_side_and_a_failure_is_counted(monkeypatch, capsys):
    from vlmgym import games
    from vlmgym.cli import main

    monkeypatch.setattr(games, "game_names", lambda: ("TicTacToe", "FloodIt"))
    assert main(["check", "all", "--level", "tiny"]) == 0
    said = capsys.readouterr().out
    assert said.endswith("all checks passed\n")
    assert {line.split()[1] for line in said.splitlines()[:-1]} == {"TicTacToe", "FloodIt"}
    assert main(["check", "all", "--level", "no_such_level"]) == 1
    assert "look at" in capsys.readouterr().out
