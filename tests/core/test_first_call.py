"""What compiles kernels and what does not: nothing is compiled before a game is dealt, played or
drawn.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import vlmgym
from vlmgym.core import ConfigError, kernels
from vlmgym.core.settings import number_in_environment
from vlmgym.core.threads import threads
from vlmgym.games import GAMES, game2048, get_game
from vlmgym.render.frames import frame_size, render

COUNTED = """
import atexit, sys
from numba.core import event as events
class Count(events.Listener):
    names = []
    def on_start(self, event): self.names.append(event.data["dispatcher"].py_func.__qualname__)
    def on_end(self, event): pass
events.register("numba:compile", Count())
atexit.register(lambda: print("compiled", Count.names))
"""
MAKE_ALL = """
import gymnasium, vlmgym
for name in {names}:
    gymnasium.make(name).close()
    gymnasium.make_vec(name, 3).close()
"""
RUNS = {
    "import": "import vlmgym, vlmgym.envs.vector, vlmgym.evals.evaluation, vlmgym.testing.checks",
    "make": MAKE_ALL.format(names=[f"vlmgym/{name}-v0" for name in GAMES]),
    "prompt": "from vlmgym import get_game, prompt_text; print(prompt_text(get_game('Swap'), "
    "get_game('Swap').level('hard')))",
    "help": "from vlmgym.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass",
    "games": "from vlmgym.cli import main; main(['games'])",
    "dry run": "from vlmgym.cli import main; main(['train', 'tiny/g1', '--dry-run', '--out', "
    "'run'])",
    "plan": "from vlmgym.cli import main; main(['plan', 'tiny/g1'])",
}


@pytest.mark.parametrize("case", RUNS)
def test_nothing_is_compiled_before_a_game_is_dealt(case, tmp_path):
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(Path(vlmgym.__file__).parents[1]),
    }
    call = [sys.executable, "-c", COUNTED + RUNS[case]]
    done = subprocess.run(
        call, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "compiled []"
    assert "compiling" not in done.stderr


HELP = """
import sys
from vlmgym.cli import main
from vlmgym.cli.parser import COMMANDS
def ask(*words):
    try:
        main([*words, '--help'])
    except SystemExit:
        pass
ask()
print('first', sorted({'numba', 'PIL', 'yaml', 'vlmgym.core.game', 'vlmgym.evals.evaluation'} & set(sys.modules)))
for name in COMMANDS:
    ask(name)
print('all', sorted({'torch', 'transformers', 'trl', 'datasets', 'matplotlib', 'httpx2'} & set(sys.modules)))
"""


def test_the_help_of_every_command_loads_and_compiles_nothing_heavy(tmp_path):
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(Path(vlmgym.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-c", HELP],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert "first []" in lines
    assert lines[-1] == "all []"
    assert list((tmp_path / "cache").rglob("*.nb*")) == []


def test_the_list_of_games_starts_no_emulator_and_loads_nothing_that_draws_or_asks(tmp_path):
    code = "import sys; from vlmgym.cli import main; main(['games']); "
    code += (
        "print(sorted({'ale_py', 'PIL', 'ssl', 'asyncio', 'matplotlib', 'torch'} & "
        "set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(vlmgym.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_first_compiling_says_so_in_one_plain_line_where_there_is_no_terminal(tmp_path):
    code = "import numpy as np; from vlmgym.core import draw_rows; a = np.zeros(1, np.uint64); "
    code += "draw_rows(a, 0, 0, np.ones(1, np.int64)); draw_rows(a, 0, 0, np.ones(1, np.int32))"
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(Path(vlmgym.__file__).parents[1]),
    }
    first, second = (
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in "12"
    )
    assert [line.split(" (")[0] for line in first.stderr.splitlines()] == ["compiling vlmgym"]
    assert "\r" not in first.stderr
    assert second.stderr == ""


@pytest.mark.parametrize("name", GAMES)
def test_a_blank_board_looks_like_a_dealt_one(name):
    game = get_game(name)
    for level in map(game.level, game.LEVELS):
        dealt, blank = game.scene(game.reset(level, np.zeros(1, np.uint64))), game.sample(level)
        assert (blank.symbols.shape, blank.names, blank.kind) == (
            dealt.symbols.shape,
            dealt.names,
            dealt.kind,
        )
        assert (blank.variants is None) == (dealt.variants is None)
    state = game.reset(game.level("tiny"), np.zeros(2, np.uint64))
    assert render(game, state).shape[1:3] == frame_size(game, "tiny")


def test_games_of_others_need_no_blank_board():
    class Plain(type(get_game("2048"))):
        def blank(self, level):
            return None

    game = Plain()
    assert game.sample(game.level("hard")).symbols.shape == (1, 5, 5)
    assert game.sample(game.level("hard")).symbols.any()
    assert gymnasium.make("vlmgym/Game-v0", game=game).observation_space.shape[2] == 3


@pytest.mark.parametrize("text", ["", " ", "0", "3", "007"])
def test_threads_can_be_asked_for(text, monkeypatch):
    monkeypatch.setattr("vlmgym.core.threads._threads", 0)  # another test may have chosen a number
    monkeypatch.delenv("VLMGYM_THREADS", raising=False)
    usual = threads()
    monkeypatch.setenv("VLMGYM_THREADS", text)
    assert threads() == (int(text) if text.strip("0 ") else usual)


@pytest.mark.parametrize("text", ["abc", "-1", "1.5", "99999", "1e3", "²", "4 threads"])
def test_nonsense_threads_are_refused_in_a_sentence(text, monkeypatch):
    monkeypatch.setattr("vlmgym.core.threads._threads", 0)
    monkeypatch.setenv("VLMGYM_THREADS", text)
    with pytest.raises(
        ConfigError, match=r"VLMGYM_THREADS = .*: allowed is a whole number from 0 " r"to 1024"
    ):
        threads()


HOMELESS = """
import os
os.path.expanduser = lambda path: path
access = os.access
os.access = lambda path, mode: False if "vlmgym" in str(path) and mode == os.W_OK else access(path, mode)
from numba import config
import vlmgym.core.kernels
print(config.CACHE_DIR)
"""


@pytest.mark.parametrize("name", ["WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"])
def test_numbers_of_the_environment_are_read_or_named(name, monkeypatch):
    for text in ("eight", "-1", "1.5", "9" * 30, "\x1b[31m"):
        monkeypatch.setenv(name, text)
        with pytest.raises(
            ConfigError,
            match=rf"{name} = .*: allowed is a whole number from 0 to " r"4096, or nothing for 1",
        ):
            number_in_environment(name, 1, 4096)
    for text in ("", " "):
        monkeypatch.setenv(name, text)
        assert number_in_environment(name, 1, 4096) == 1


def test_without_a_home_kernels_go_into_no_folder_named_tilde(tmp_path):
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "HOME")
    }
    environment |= {"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(vlmgym.__file__).parents[1])}
    call = [sys.executable, "-c", HOMELESS]
    done = subprocess.run(
        call, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).parent == tmp_path
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("prepared", ["open to others", "a link", "a file"])
def test_a_cache_that_another_user_may_have_prepared_is_not_used(prepared, tmp_path, monkeypatch):
    usual, elsewhere = tmp_path / f"vlmgym-kernels-{os.getuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if prepared == "a file":
        usual.write_text("code")
    elif prepared == "a link":
        usual.symlink_to(elsewhere)
    else:
        usual.mkdir()
        usual.chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(kernels.config, "CACHE_DIR", "")
    monkeypatch.setattr(kernels, "_has_usual_place", lambda: False)
    kept = kernels._can_keep_code()
    assert kept == (prepared != "a file")
    assert not kept or Path(kernels.config.CACHE_DIR) not in (usual, elsewhere)
    assert list(elsewhere.iterdir()) == []


def test_an_inner_kernel_refuses_to_be_called_from_python():
    assert (
        get_game("2048").reset(get_game("2048").level("tiny"), np.zeros(1, np.uint64)).board.any()
    )
    for _ in range(2):
        with pytest.raises(
            TypeError, match="_can_move is an inner kernel, which only kernels can call"
        ):
            game2048._can_move(np.zeros(16, np.uint8), 4)
