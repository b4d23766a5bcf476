"""The fast ways give what the plain ways give: kept frames, threads, drawn actions, branches."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.registry import CPUDispatcher as Dispatcher

from vlmgym.core import NO_ACTION, ActionError, ConfigError, seeds_for
from vlmgym.core.kernels import kernel
from vlmgym.core.threads import set_threads, spread, threads
from vlmgym.envs.vector import GameVectorEnv
from vlmgym.games import GAMES, get_game
from vlmgym.render.frames import Frames, render

LOOKS = (
    "clean",
    "clean:width=180,height=200",
    "paper",
    "tiny",
    "clean:noise=0.1",
    "clean:score=true,noise=0.05",
    "hard",
)


@pytest.fixture(autouse=True)
def _usual_threads():
    yield
    set_threads(0)


@pytest.fixture
def two_threads():
    set_threads(2)


def start(name, count=6):
    game = get_game(name)
    level = game.level("tiny", max_steps=0, restart=True)
    return game, level, game.reset(level, seeds_for("train", name, "tiny", count))


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", GAMES)
def test_kept_frames_have_the_bytes_of_a_full_redraw(name, look):
    game, level, state = start(name)
    frames = Frames(game, level, look, len(state))
    for turn in range(6):
        seen = frames.draw(state)
        assert (seen == render(game, state, look)).all()
        assert not seen.flags.writeable
        if turn == 3:
            frames.clear()
            frames.buffer[:] = 7
        state, _ = game.step(state, game.draw_legal(state))
    with pytest.raises(ConfigError, match="state"):
        frames.draw(state[:2])


def test_threads_draw_the_same(two_threads):
    assert threads() == 2
    game, level, state = start("Swap", 64)
    looks = ("clean:width=448,height=448", "clean:width=448,height=448,noise=0.1")
    two = [render(game, state, look) for look in looks]
    kept = Frames(game, level, looks[0], 64)
    after = game.step(state, game.draw_legal(state))[0]
    kept.draw(state)
    two.append(kept.draw(after).copy())
    set_threads(1)
    assert all(
        (a == render(game, s, look)).all()
        for a, s, look in zip(two, (state, state, after), (*looks, looks[0]), strict=True)
    )


def test_errors_of_other_threads_arrive(two_threads):
    def work(part):
        if part.start:
            raise ValueError("from a thread")

    with pytest.raises(ValueError, match="from a thread"):
        spread(work, 8, 1 << 30)


@pytest.mark.parametrize("name", GAMES)
def test_drawn_actions_are_legal_and_repeat(name):
    game, _, state = start(name, 40)
    for _ in range(8):
        actions, legal = game.draw_legal(state), game.legal(state)
        assert legal[np.arange(40), actions].all()
        assert (actions == game.draw_legal(state)).all()
        assert (game.draw_legal(state[7]) == actions[7]).all()
        state, _ = game.step(state, actions)


@pytest.mark.parametrize("name", GAMES)
def test_drawn_actions_are_uniform(name):
    game, _, state = start(name, 1)
    legal = np.flatnonzero(game.legal(state)[0])
    many = state.repeat(4000)
    many = many.reseed(np.arange(4000))
    counts = np.bincount(game.draw_legal(many), minlength=game.n_actions(state.level))[legal]
    assert counts.sum() == 4000
    expected = 4000 / len(legal)
    # chi square
    assert ((counts - expected) ** 2 / expected).sum() < len(legal) - 1 + 5 * np.sqrt(
        2 * len(legal)
    ) + 5


def test_games_without_a_legal_action_draw_none():
    game = get_game("2048")
    stuck = game.from_symbols(
        game.level("tiny", rows=2, cols=2), np.array([[[1, 2], [2, 1]]], np.int16)
    )
    assert game.draw_legal(stuck).tolist() == [NO_ACTION]
    pairs = get_game("ShisenSho")
    empty = pairs.from_symbols(pairs.level("tiny"), np.zeros((1, 4, 4), np.int16))
    assert pairs.draw_legal(empty).tolist() == [NO_ACTION]


@pytest.mark.parametrize("name", GAMES)
def test_branches_have_the_rewards_of_played_forks(name):
    game, level, state = start(name, 10)
    rng = np.random.default_rng(0)
    actions = rng.integers(-1, game.n_actions(level), (10, 12))
    actions[:, :4] = np.stack([game.draw_legal(state, 5 + k) for k in range(4)], axis=1)
    forks, flat = state.repeat(12), actions.ravel()
    good = game.success(forks, flat, game.step(forks, flat)[1]).reshape(10, 12)
    before = state[:]
    assert (game.branch(state, actions) == np.where(good, 1.0, -1.0)).all()
    assert state == before
    with pytest.raises(ActionError):
        game.branch(state, actions[:3])
    with pytest.raises(ActionError):
        game.branch(state, actions + game.n_actions(level))


def test_vector_environments_can_keep_their_buffer():
    fresh, kept = (GameVectorEnv("Swap", 5, "tiny", "tiny", copy=copy) for copy in (True, False))
    a, b = fresh.reset(seed=3)[0], kept.reset(seed=3)[0]
    assert (a == b).all()
    assert a.flags.writeable
    assert not b.flags.writeable
    for _ in range(20):
        actions = fresh.table.game.draw_legal(fresh.state)
        a, b = fresh.step(actions)[0], kept.step(actions)[0]
        assert (a == b).all()
    assert (kept.fork(2).step(np.repeat(actions, 2))[0][::2] == kept.step(actions)[0]).all()


READ_ONLY = """
import pathlib, numba, numpy as np
from numba.core import caching
def fail(*arguments, **named): raise OSError("read-only")
caching.InTreeCacheLocator.ensure_cache_path = caching.UserWideCacheLocator.ensure_cache_path = fail
if {nowhere}: pathlib.Path.mkdir = fail
from vlmgym.core import draw_rows
assert draw_rows(np.zeros(1, np.uint64), 0, 0, np.ones(1, np.int64)).tolist() == [0]
place = numba.config.CACHE_DIR
print(place, len(list(pathlib.Path(place).rglob("*.nbi"))) if place else 0)
"""


@pytest.mark.parametrize("case", ["kept", "open to others", "a link", "a file", "nowhere"])
def test_a_cache_that_cannot_be_written_is_replaced(tmp_path, case):
    usual = tmp_path / f"vlmgym-kernels-{os.getuid()}"
    if case == "open to others":
        usual.mkdir()
        usual.chmod(0o777)
    elif case == "a link":
        (tmp_path / "of another").mkdir(mode=0o700)
        usual.symlink_to(tmp_path / "of another")
    elif case == "a file":
        usual.write_text("of another")
    code = READ_ONLY.format(nowhere=case == "nowhere")
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {
        "TMPDIR": str(tmp_path)
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    *place, kept = done.stdout.split()
    if case in ("a file", "nowhere"):
        assert not place
        assert kept == "0"
        assert case == "nowhere" or usual.read_text() == "of another"
    else:
        assert Path(place[0]).parent == tmp_path
        assert (Path(place[0]) == usual) == (case == "kept")
        assert case != "a link" or not any((tmp_path / "of another").iterdir())
        assert int(kept) > 0


def test_every_kernel_has_its_own_name():
    found = {}
    for name in [name for name in sys.modules if name.startswith("vlmgym.")]:
        for one in vars(sys.modules[name]).values():
            if isinstance(one, Dispatcher):
                found.setdefault((one.py_func.__module__, one.py_func.__qualname__), set()).add(one)
    assert len(found) > 50
    assert [name for name, kernels in found.items() if len(kernels) > 1] == []

    def inside():
        return 0

    with pytest.raises(ValueError, match="allowed is a __qualname__ that no other kernel has"):
        kernel(inside)


def test_a_half_kept_cache_gives_the_same_rules(tmp_path):
    """One of two kernels of one definition comes from disk, the other gets the number that the
    first one had.
    """
    ask = (
        "import numpy as np; from vlmgym.games import get_game; game = get_game('Swap'); level = "
        "game.level('tiny'); "
    )
    ask += (
        "legal = game.legal(game.reset(level, np.arange(50, dtype=np.uint64))); "
        "print(legal.sum(0)); "
    )
    tell = (
        "from vlmgym.games.parts import lines; "
        "print(next(iter(lines._find_across.overloads.values())).fndesc.uid)"
    )
    burn = "import sys, itertools; from numba.core.bytecode import FunctionIdentity; "
    burn += "FunctionIdentity._unique_ids = itertools.count(int(sys.argv[1])); "

    def run(code, *arguments):
        call = [sys.executable, "-c", code, *map(str, arguments)]
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
        return subprocess.run(
            call, env=environment, capture_output=True, text=True, check=True, timeout=300
        ).stdout.split()

    *rules, number = run(ask + tell)
    lost = (
        "lines._find_along-*.nbc",
        "lines._find_*.2.nbc",
        "lines.find_swaps-*",
        "lines.list_swaps-*",
    )
    for pattern in lost:  # the second: were both of one name
        for path in tmp_path.rglob(pattern):
            path.unlink()
    assert run(burn + ask, int(number) - 2) == rules  # two kernels are compiled before


DEAL = """
import numpy as np
from vlmgym.games import get_game
game = get_game('Minesweeper')
level = game.level('tiny')
print(game.reset(level, np.arange(9, dtype=np.uint64)).board.tolist())
"""
JUDGE = "print(game.oracle(game.reset(level, np.arange(3, dtype=np.uint64))).tolist())"


def run_with_kernels_in(folder, code):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout


@pytest.fixture(scope="module")
def dealt(tmp_path_factory):
    """A folder with the kernels that deal, and what was dealt."""
    folder = tmp_path_factory.mktemp("kernels")
    return folder, run_with_kernels_in(folder, DEAL)


@pytest.mark.parametrize(
    "lost", ["mines._chances*", "mines.needs*.nbc", "minefields.deal*", "nothing"]
)
def test_callers_from_disk_find_what_they_call_where_files_are_lost(tmp_path, dealt, lost):
    """A caller's machine code holds only the name of a kernel that is compiled apart."""
    kept = shutil.copytree(dealt[0], tmp_path / "kernels")

    def lose_some_and_run():
        for path in kept.rglob(lost):
            path.unlink()
        return run_with_kernels_in(kept, DEAL + JUDGE)

    judged = lose_some_and_run()  # around what comes from disk a further caller is compiled
    assert judged.startswith(dealt[1])
    assert lose_some_and_run() == judged
    assert run_with_kernels_in(kept, DEAL + JUDGE) == judged


def test_a_kernel_is_compiled_anew_when_a_file_it_takes_kernels_from_has_changed(tmp_path):
    """The caller's own file stays as it is, as after an update that changed another one."""
    called = tmp_path / "called.py"
    caller = tmp_path / "caller.py"
    through = tmp_path / "through.py"
    called.write_text(
        "from vlmgym.core.kernels import inner\n\n\n@inner\ndef value():\n    return 1\n"
    )
    through.write_text(
        "from called import value\nfrom vlmgym.core.kernels import inner\n\n\n"
        "@inner\ndef twice():\n    return 2 * value()\n"
    )
    caller.write_text(
        "from through import twice\nfrom vlmgym.core.kernels import kernel\n\n\n"
        "@kernel\ndef ask():\n    return twice()\n"
    )
    run = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import caller; print(caller.ask())"
    kept = tmp_path / "kernels"
    assert run_with_kernels_in(kept, run) == "2\n"
    files = {path: path.stat().st_mtime_ns for path in kept.rglob("caller.ask-*.nbi")}
    assert run_with_kernels_in(kept, run) == "2\n"
    assert {path: path.stat().st_mtime_ns for path in files} == files, "taken from disk"
    called.write_text(called.read_text().replace("return 1", "return 11"))
    assert run_with_kernels_in(kept, run) == "22\n"
