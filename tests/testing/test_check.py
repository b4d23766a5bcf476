"""The check of a game: it passes a game from outside that is installed for real, and it finds every
one of many faults.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from lights_out import LevelLightsOut, LightsOut, toggles

from parts.folders import LIGHTS_OUT, ROOT
from vlmgym import cli, games
from vlmgym.core import NO_ACTION, ConfigError, Decoded, Outcome, mix_array, seeds_for
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.games.game2048 import Game2048
from vlmgym.players.simple import RandomLegal
from vlmgym.testing import shown, sizes
from vlmgym.testing.checks import check_game


# ---- the example
@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example, installed with pip into a folder of its own: an environment in which only that
    folder has the game.
    """
    source, target = (
        tmp_path_factory.mktemp("source") / "lights_out",
        tmp_path_factory.mktemp("site"),
    )
    shutil.copytree(
        LIGHTS_OUT, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    )
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-index",
        "--no-deps",
    ]
    subprocess.run(
        [*pip, "--no-build-isolation", "--target", str(target), str(source)],
        check=True,
        timeout=300,
    )
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT / "src")])}


def command(environment, folder, *words):
    run = [sys.executable, "-m", "vlmgym.cli", *words]
    return subprocess.run(
        run, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_installed_example_passes_the_check_on_all_levels(installed, tmp_path):
    done = command(installed, tmp_path, "check", "LightsOut")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all checks passed\n")
    assert "FAIL" not in done.stdout
    for level in LightsOut.LEVELS:
        assert f"ok   LightsOut {level}: oracle beats random" in done.stdout


def test_the_installed_example_is_listed_and_can_be_evaluated(installed, tmp_path):
    done = command(installed, tmp_path, "games")
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("LightsOut"))
    assert line.split() == ["LightsOut", "4", "x", "4", "16", "easy,", "normal,", "hard"]
    done = command(
        installed,
        tmp_path,
        "eval",
        "--player",
        "oracle",
        "--game",
        "LightsOut",
        "--episodes",
        "2",
        "--out",
        "run",
    )
    assert done.returncode == 0, done.stderr
    assert "oracle on LightsOut normal, 2 episodes" in done.stdout
    assert (tmp_path / "run" / "trace.jsonl").exists()


def test_the_installed_example_is_a_gymnasium_environment(installed, tmp_path):
    code = (
        "import gymnasium, vlmgym; env = gymnasium.make('vlmgym/Game-v0', game='LightsOut', "
        "level='easy'); "
        "frame, info = env.reset(seed=1); print(frame.shape if hasattr(frame, 'shape') else "
        "sorted(frame))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_the_example_stays_short():
    assert len((LIGHTS_OUT / "lights_out.py").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (2, 3), (3, 3), (3, 4), (4, 4)])
def test_the_example_oracle_equals_a_search_over_all_boards(rows, cols):
    level, n = LevelLightsOut(rows=rows, cols=cols), rows * cols
    words = toggles(level).astype(np.int64) @ (1 << np.arange(n))
    distance, front = np.full(1 << n, -1), np.zeros(1, np.int64)
    for depth in range(n + 1):
        distance[front] = depth
        front = np.unique(front[:, None] ^ words)
        front = front[distance[front] < 0]
    boards = np.random.default_rng(0).choice(1 << n, min(1 << n, 600), replace=False)
    game = LightsOut()
    state = game.from_symbols(
        level, (boards[:, None] >> np.arange(n) & 1).reshape(-1, rows, cols).astype(np.int16)
    )
    after = distance[boards[:, None] ^ words]
    expected = np.where(after >= 0, -1.0 - after, -1000.0)
    assert (game.oracle(state) == expected).all()
    best = (distance[boards] > 0)[:, None] & (after == distance[boards][:, None] - 1)
    assert (game.success_mask(state) == best).all()


def test_the_example_oracle_is_right_for_few_presses_on_the_largest_board():
    game, level = LightsOut(), LevelLightsOut(rows=5, cols=5)
    shortest = {}
    for count in range(4):
        for cells in itertools.combinations(range(25), count):
            board = (toggles(level)[list(cells)].sum(axis=0) % 2).astype(np.int16)
            shortest.setdefault(board.tobytes(), (board, count))
    boards, counts = zip(*shortest.values(), strict=True)
    value = game.oracle(game.from_symbols(level, np.reshape(boards, (-1, 5, 5))))
    assert (value.max(axis=1)[1:] == -np.array(counts)[1:]).all()


def test_the_example_deals_lit_boards_that_can_be_solved():
    game, seeds = LightsOut(), seeds_for("free", "LightsOut", "any", 2000)
    for presses in (1, 4, 16, 25):
        state = game.reset(LevelLightsOut(presses=presses), seeds)
        assert state.board.any(axis=(1, 2)).all()
        assert (game.oracle(state) > -1000).all()
    assert len(np.unique(game.reset(game.level("hard"), seeds).board, axis=0)) > 1900
    assert len(game.reset(game.level("hard"), seeds[:0])) == 0


# ---- faulty games
# Each fault is a correct game with one method broken, and the check that must find it.
def faulty(base, **parts):
    return type("Faulty", (base,), parts)()


def step_in_place(self, state, actions):
    new, outcome = LightsOut._step(self, state, actions)
    state.board[:] = new.board
    return new, outcome


def legal_in_place(self, state):
    state.score[:] = 0
    return LightsOut.legal(self, state)


def oracle_in_place(self, state):
    state.board ^= 1
    return LightsOut.oracle(self, state)


def scene_in_place(self, state):
    state.board %= 2
    return LightsOut.scene(self, state)


def explain_in_place(self, state, row, action):
    state.steps[row] += 1
    return LightsOut.explain(self, state, row, action)


def deal_by_place(self, level, seeds):
    state = LightsOut.reset(self, level, mix_array(seeds ^ np.arange(len(seeds), dtype=np.uint64)))
    return replace(state, seed=seeds)


def step_by_place(self, state, actions):
    lucky = replace(state, seed=state.seed + np.arange(len(state), dtype=np.uint64))
    new, outcome = Game2048._step(self, lucky, actions)
    return replace(new, seed=state.seed), outcome


def oracle_by_place(self, state):
    return LightsOut.oracle(self, state) - np.arange(len(state))[:, None]


def deal_by_global_luck(self, level, seeds):
    other = np.random.randint(0, 1 << 62, len(seeds)).astype(np.uint64)
    return replace(LightsOut.reset(self, level, other), seed=seeds)


def step_by_global_luck(self, state, actions):
    other = np.random.randint(0, 1 << 62, len(state)).astype(np.uint64)
    new, outcome = Game2048._step(self, replace(state, seed=other), actions)
    return replace(new, seed=state.seed), outcome


def deal_without_seed(self, level, seeds):
    return replace(LightsOut.reset(self, level, np.zeros_like(seeds)), seed=seeds)


def deal_losing_seed(self, level, seeds):
    return replace(LightsOut.reset(self, level, seeds), seed=np.zeros_like(seeds))


def step_with_counter(self, state, actions):
    self.calls = getattr(self, "calls", 0) + 1
    new, outcome = Game2048._step(
        self, replace(state, seed=state.seed ^ np.uint64(self.calls)), actions
    )
    return replace(new, seed=state.seed), outcome


class OneBuffer(LightsOut):
    """Writes every board into one array, which all states share."""

    def _step(self, state, actions):
        new, outcome = super()._step(state, actions)
        if getattr(self, "buffer", np.empty(0)).shape != new.board.shape:
            self.buffer = new.board.copy()
        self.buffer[:] = new.board
        return replace(new, board=self.buffer), outcome


class Remembers(LightsOut):
    """Keeps the board of its last turn beside the State, and goes on from there."""

    def _step(self, state, actions):
        last = getattr(self, "last", None)
        if last is not None and last.shape == state.board.shape and (state.steps > 0).all():
            state = replace(state, board=last)
        new, outcome = super()._step(state, actions)
        self.last = new.board
        return new, outcome


def legal_always(self, state):
    return np.ones((len(state), 4), bool)


def legal_while_playing(self, state):
    return np.repeat(~state.ended[:, None], 4, axis=1)


def legal_forgets(self, state):
    legal = LightsOut.legal(self, state)
    legal[:, 4] = False
    return legal


def legal_of_wrong_shape(self, state):
    return LightsOut.legal(self, state)[:, :-1]


def legal_by_luck(self, state):
    legal = LightsOut.legal(self, state)
    legal[:, 0] &= state.seed % np.uint64(2) == 0
    return legal


def no_action_presses(self, state, actions):
    new, outcome = LightsOut._step(self, state, np.maximum(actions, 0))
    return new, outcome


def no_action_costs_no_turn(self, state, actions):
    new, outcome = LightsOut._step(self, state, actions)
    return replace(new, steps=np.where(actions == NO_ACTION, state.steps, new.steps)), outcome


def truncated_goes_on(self, state, actions):
    new, outcome = LightsOut._step(
        self, replace(state, level=replace(state.level, max_steps=0)), actions
    )
    return replace(new, level=state.level), outcome


def terminated_goes_on(self, state, actions):
    new, outcome = LightsOut._step(
        self, replace(state, terminated=np.zeros(len(state), bool)), actions
    )
    over = new.terminated | state.terminated
    return replace(new, terminated=over), replace(outcome, terminated=over)


def legal_at_the_end(self, state):
    return np.repeat(~state.truncated[:, None], self.n_actions(state.level), axis=1)


def encode_transposed(self, level, action):
    return LightsOut.encode(self, level, (action % level.cols) * level.cols + action // level.cols)


def encode_from_one(self, level, action):
    row, col = divmod(action, level.cols)
    return f"({row + 1}, {col + 1})"


def decode_guesses(self, level, text):
    found = LightsOut.decode(self, level, text)
    return found if found.action >= 0 else Decoded(0)


def decode_takes_the_first(self, level, text):
    return LightsOut.decode(self, level, text.strip()[:6])


def decode_without_reason(self, level, text):
    return replace(LightsOut.decode(self, level, text), problem="")


def decode_raises(self, level, text):
    return Decoded(int(text))


def scene_with_names(*names, kind="shape"):
    return lambda self, state: self.view(state, state.board, names, kind)


def scene_of_twins(self, state):
    # 17 colours, and words that the font lacks
    lit = np.where(state.steps % 2, 18, 1)[:, None, None]
    return self.view(state, state.board * lit, ("off", "灯", *map(str, range(16)), "火"), "text")


def scene_hides_one_symbol(self, state):
    return self.view(state, np.minimum(state.board, 1), ("0", "2"), "number")


def scene_shrinks(self, state):
    return self.view(
        state, state.board[:, : 3 - int(state.steps.max() > 0)], ("off", "yellow circle"), "shape"
    )


def from_symbols_loses(self, level, symbols):
    state = LightsOut.from_symbols(self, level, symbols)
    state.board[:, 0, 0] = 0
    return state


def from_symbols_ends(self, level, symbols):
    return replace(
        LightsOut.from_symbols(self, level, symbols), terminated=np.ones(len(symbols), bool)
    )


def from_symbols_refuses(self, level, symbols):
    if symbols.any(axis=(1, 2)).all() and len(symbols) != 64:
        return LightsOut.from_symbols(self, level, symbols)
    raise ValueError("dark boards cannot be")


def oracle_negated(self, state):
    return -Game2048.oracle(self, state)


def oracle_everywhere(self, state):
    return np.nan_to_num(Game2048.oracle(self, state))


def oracle_flat(self, state):
    return np.where(self.legal(state), 0.0, np.nan)


def oracle_sees_luck(self, state):
    return LightsOut.oracle(self, state) - 1e-3 * (state.seed % np.uint64(97))[:, None]


def oracle_raises(self, state):
    raise RuntimeError("no solution found")


def successes_all(self, state):
    return self.legal(state)


def good_by_gain(self, state, actions, outcome):
    return outcome.gain > 0


def explain_on_two_lines(self, state, row, action):
    return f"{action}\nis a move"


def explain_nothing(self, state, row, action):
    return ""


def restart_keeps_the_end(self, state, actions):
    return self._step(state, np.asarray(actions))


def reset_raises(self, level, seeds):
    raise KeyError("board")


def step_raises(self, state, actions):
    raise IndexError("index 9 is out of bounds")


def scene_raises(self, state):
    raise ZeroDivisionError


def step_scores_twice(self, state, actions):
    new, outcome = Game2048._step(self, state, actions)
    return replace(new, score=new.score + outcome.gain), outcome


def outcome_says_nothing_of_ends(self, state, actions):
    new, outcome = LightsOut._step(self, state, actions)
    return new, Outcome(outcome.gain, outcome.changed, np.zeros(len(state), bool))


def step_changes_seed(self, state, actions):
    new, outcome = LightsOut._step(self, state, actions)
    return replace(new, seed=mix_array(state.seed)), outcome


EASY = LightsOut.LEVELS["easy"]
LEVELS = {
    name: {"easy": level, "normal": level}
    for name, level in {"endless": replace(EASY, max_steps=0), "easy": EASY}.items()
}
FAULTS = {
    "step writes into its input": (LightsOut, {"_step": step_in_place}, "purity"),
    "legal writes into its input": (LightsOut, {"legal": legal_in_place}, "purity"),
    "oracle writes into its input": (LightsOut, {"oracle": oracle_in_place}, "purity"),
    "scene writes into its input": (LightsOut, {"scene": scene_in_place}, "purity"),
    "explain writes into its input": (LightsOut, {"explain": explain_in_place}, "purity"),
    "deals depend on the place in the batch": (
        LightsOut,
        {"reset": deal_by_place},
        "batch equals alone",
    ),
    "draws depend on the place in the batch": (
        Game2048,
        {"_step": step_by_place},
        "batch equals alone",
    ),
    "oracle depends on the place in the batch": (
        LightsOut,
        {"oracle": oracle_by_place},
        "batch equals alone",
    ),
    "deals by global luck": (LightsOut, {"reset": deal_by_global_luck}, "same seed same run"),
    "draws by global luck": (Game2048, {"_step": step_by_global_luck}, "same seed same run"),
    "the seed is not used": (LightsOut, {"reset": deal_without_seed}, "same seed same run"),
    "the seed is lost": (LightsOut, {"reset": deal_losing_seed}, "levels"),
    "a turn changes the seed": (LightsOut, {"_step": step_changes_seed}, "outcome and state agree"),
    "luck by a counter on the game": (Game2048, {"_step": step_with_counter}, "forks"),
    "restored games differ by a counter on the game": (
        Game2048,
        {"_step": step_with_counter},
        "snapshots",
    ),
    "states share an array": (OneBuffer, {}, "snapshots"),
    "the board is kept on the game": (Remembers, {}, "batch equals alone"),
    "everything is legal": (Game2048, {"legal": legal_always}, "ended rows absorb"),
    "everything is legal before the end": (
        Game2048,
        {"legal": legal_while_playing},
        "legal is what step accepts",
    ),
    "legal forgets an action": (LightsOut, {"legal": legal_forgets}, "legal is what step accepts"),
    "legal has a wrong shape": (
        LightsOut,
        {"legal": legal_of_wrong_shape},
        "legal is what step accepts",
    ),
    "legal depends on luck to come": (LightsOut, {"legal": legal_by_luck}, "forks"),
    "no action moves the board": (LightsOut, {"_step": no_action_presses}, "no action"),
    "no action costs no turn": (LightsOut, {"_step": no_action_costs_no_turn}, "no action"),
    "games go on after the turn limit": (
        LightsOut,
        {"_step": truncated_goes_on},
        "ended rows absorb",
    ),
    "games go on after their end": (LightsOut, {"_step": terminated_goes_on}, "ended rows absorb"),
    "actions are legal after the end": (
        LightsOut,
        {"legal": legal_at_the_end},
        "ended rows absorb",
    ),
    "score and gain differ": (Game2048, {"_step": step_scores_twice}, "outcome and state agree"),
    "the outcome is silent about ends": (
        LightsOut,
        {"_step": outcome_says_nothing_of_ends},
        "outcome and state agree",
    ),
    "encode mixes rows and columns": (LightsOut, {"encode": encode_transposed}, "answers"),
    "encode counts from one": (LightsOut, {"encode": encode_from_one}, "answers"),
    "decode guesses": (LightsOut, {"decode": decode_guesses}, "answers"),
    "decode takes the first of two answers": (
        LightsOut,
        {"decode": decode_takes_the_first},
        "answers",
    ),
    "decode gives no reason": (LightsOut, {"decode": decode_without_reason}, "answers"),
    "decode raises": (LightsOut, {"decode": decode_raises}, "answers"),
    "two symbols have one name": (
        LightsOut,
        {"scene": scene_with_names("off", "red star", "Red star")},
        "scene and text",
    ),
    "a name holds the separator": (
        LightsOut,
        {"scene": scene_with_names("off", "o|n", kind="text")},
        "scene and text",
    ),
    "a symbol has no name": (LightsOut, {"scene": scene_with_names("off")}, "scene and text"),
    "no drawing exists for a name": (
        LightsOut,
        {"scene": scene_with_names("off", "on")},
        "pictures",
    ),
    "no drawing exists for a kind": (
        LightsOut,
        {"scene": scene_with_names("off", "on", kind="lamp")},
        "pictures",
    ),
    "a name is empty": (
        LightsOut,
        {"scene": scene_with_names("off", "", kind="text")},
        "scene and text",
    ),
    "different symbols are drawn alike": (LightsOut, {"scene": scene_of_twins}, "pictures"),
    "the scene hides what is on the board": (
        Game2048,
        {"scene": scene_hides_one_symbol},
        "scene and text",
    ),
    "the grid changes its size": (LightsOut, {"scene": scene_shrinks}, "scene and text"),
    "from_symbols loses a cell": (
        LightsOut,
        {"from_symbols": from_symbols_loses},
        "scene and text",
    ),
    "from_symbols gives ended games": (
        LightsOut,
        {"from_symbols": from_symbols_ends},
        "scene and text",
    ),
    "from_symbols refuses odd boards": (
        LightsOut,
        {"from_symbols": from_symbols_refuses},
        "scene and text",
    ),
    "the oracle has the wrong sign": (Game2048, {"oracle": oracle_negated}, "oracle beats random"),
    "the oracle values illegal actions": (
        Game2048,
        {"oracle": oracle_everywhere},
        "oracle beats random",
    ),
    "the oracle knows nothing": (Game2048, {"oracle": oracle_flat}, "oracle beats random"),
    "the oracle sees the luck to come": (LightsOut, {"oracle": oracle_sees_luck}, "forks"),
    "the oracle raises": (LightsOut, {"oracle": oracle_raises}, "oracle beats random"),
    "successes holds more than good": (
        Game2048,
        {"success_mask": successes_all},
        "success and success mask agree",
    ),
    "good holds less than successes": (
        LightsOut,
        {"success": good_by_gain},
        "success and success mask agree",
    ),
    "a level has no turn limit": (LightsOut, {"LEVELS": LEVELS["endless"]}, "levels"),
    "explain has a line break": (LightsOut, {"explain": explain_on_two_lines}, "texts"),
    "explain says nothing": (LightsOut, {"explain": explain_nothing}, "texts"),
    "candidates are no actions": (LightsOut, {"candidates": lambda self, state, row: [9]}, "texts"),
    "the rules are empty": (LightsOut, {"rules": lambda self, level: ""}, "texts"),
    "a restart keeps the ended game": (LightsOut, {"step": restart_keeps_the_end}, "restart"),
    "reset raises": (LightsOut, {"reset": reset_raises}, "random play"),
    "step raises": (LightsOut, {"_step": step_raises}, "random play"),
    "scene raises": (LightsOut, {"scene": scene_raises}, "pictures"),
    "there is no level normal": (LightsOut, {"LEVELS": {"easy": EASY}}, "levels"),
}


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


@pytest.mark.parametrize("game", [LightsOut(), Game2048()], ids=["LightsOut", "2048"])
def test_the_games_that_the_faults_are_put_into_have_none(game):
    found = check_game(game, ("easy",))
    assert [f"{f.check}: {f.detail}" for f in found if not f.ok] == []
    assert len({f.check for f in found}) == len(found) >= 17
    assert all(f.look_at.strip() for f in found)


# ---- one opening
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


class NoLuck(LightsOut):
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


class SaysNoLuckWithLuck(LightsOut):
    one_game = True


class SaysPerhaps(NoLuck):
    one_game = "yes"


class AnotherSwap(LightsOut):
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
    monkeypatch.setattr(LightsOut, "name", name)
    monkeypatch.setattr("vlmgym.games.registry._given", {})
    with pytest.raises(ConfigError, match=r"name = .*: allowed is 1 to 100 letters"):
        games.get_game("lights_out:LightsOut")


# ---- broken anyhow
METHODS = (
    *(
        "reset",
        "_step",
        "legal",
        "scene",
        "oracle",
        "encode",
        "decode",
        "rules",
        "answer_format",
        "explain",
        "candidates",
    ),
    *("from_symbols", "success_mask", "success", "n_actions", "would_succeed", "level"),
)
GIVEN = (
    None,
    "words",
    -1,
    1.5,
    (),
    np.zeros(3),
    np.zeros((2, 2), np.float32),
    object(),
    np.array(["a"]),
    {"a": 1},
)
ATTRIBUTES = {
    "LEVELS": (None, 3, {}, {"normal": None}, {"normal": "easy"}, {3: EASY}, ["normal"]),
    "state_type": (None, int, LevelLightsOut),
    "level_type": (int, LevelLightsOut),
    "unnamed": (None, "x", 99),
}


def raising(error):
    def method(self, *given, **named):
        raise error

    return method


def giving(value):
    return lambda self, *given, **named: value


ERRORS = (ValueError("two\nlines"), SystemExit(3), MemoryError(), RecursionError(), StopIteration())
BROKEN = {  # each method with one of the errors and one of the values, in turns
    **{
        f"{name} raises": {name: raising(ERRORS[k % len(ERRORS)])} for k, name in enumerate(METHODS)
    },
    **{
        f"{name} gives {GIVEN[k % len(GIVEN)]!r}": {name: giving(GIVEN[k % len(GIVEN)])}
        for k, name in enumerate(METHODS)
    },
    **{
        f"{name} is {value!r}": {name: value}
        for name, values in ATTRIBUTES.items()
        for value in values
    },
}


def test_the_check_survives_whatever_a_game_does(monkeypatch):
    """Every method raises or returns a wrong thing: findings, one line each, no traceback."""
    for name, few in {
        "EPISODES": 3,
        "ACTIONS_TRIED": 4,
        "LUCKS_TRIED": 2,
        "LONGEST": 8,
        "GAMES_A_CHECK": 4,
        "TURNS": 4,
    }.items():
        monkeypatch.setattr(sizes, name, few)
    monkeypatch.setattr(shown, "LOOKS", {"clean": shown.LOOKS["clean"]})
    passed = []
    for how, parts in BROKEN.items():
        found = check_game(faulty(LightsOut, **parts), ("easy",) if "LEVELS" not in parts else ())
        failed = [f for f in found if not f.ok]
        assert all(f.detail.strip() and "\n" not in f.detail for f in failed), how
        if not failed:
            passed.append(how)
    assert passed == SAME_THING, "these changes are none"


SAME_THING = ["level_type is <class 'lights_out.LevelLightsOut'>"]


def test_an_unknown_level_is_a_finding_and_the_other_levels_are_checked():
    found = check_game(LightsOut(), ("nosuch", "easy"))
    assert [f.level for f in found if not f.ok] == ["nosuch"]
    assert len([f for f in found if f.level == "easy"]) >= 17


def test_an_unknown_game_is_an_error_that_names_the_games():
    with pytest.raises(ConfigError, match="SlidingPuzzle"):
        check_game("NoSuchGame")


# ---- the command line
class Sticky(LightsOut):
    """A faulty game for the command line: one action is forgotten."""

    legal = legal_forgets


def test_the_command_takes_module_and_class(capsys):
    assert cli.main(["check", "lights_out:LightsOut", "--level", "easy"]) == 0
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
        ("lights_out:NoSuchGame", "NoSuchGame"),
        ("lights_out:LevelLightsOut", "a vlmgym.core.Game"),
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
