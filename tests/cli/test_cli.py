"""The command line ends in a status and a sentence, whatever it is given; a traceback is a
defect.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, fields, replace

import pytest

from vlmgym.cli import conclude, main
from vlmgym.cli.parser import COMMANDS, Parser, parse, setting_options, settings_from
from vlmgym.core import Settings, setting
from vlmgym.episodes.task import Task
from vlmgym.evals.evaluation import evaluate
from vlmgym.evals.settings import Evaluation
from vlmgym.players.asked import LocalSettings
from vlmgym.players.simple import Random

EVAL = [
    "eval",
    "--player",
    "random",
    "--game",
    "2048",
    "--level",
    "tiny",
    "--look",
    "tiny",
    "--episodes",
    "2",
    "--turns",
    "2",
]


def ended(words, capsys):
    """Status and last line on standard error of a command; anything else is raised."""
    try:
        status = main(words)
    except SystemExit as error:  # argparse, for words that it does not know
        status = error.code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "\x1b" not in said
    return status, (said.splitlines() or [""])[-1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--sampling", "a=["], "sampling"), (["--sampling", "a"], "--sampling = 'a'"), (["--batch", "0"], "--batch"),
        (["--player", "scripted:{folder}"], "{folder}"), (["--player", "scripted:" + "x" * 300], "xxx"),
        (["--episodes", "1000000", "--repeats", "10000"], "10000000000: allowed is at most " "1,000,000 together"),
        (["--sampling", "temperature=.nan"], "temperature"), (["--temperature", "nan"], "sampling.temperature"),
        (["--temperature", "nan", "--player", "local:tiny"], "sampling.temperature"),
        (["--sampling", "temperature=null", "--player", "local:tiny"], "sampling.temperature = " "None"),
        (["--max-new-tokens", "-3", "--player", "local:tiny"], "sampling.max_tokens = -3"), (["--threads", "-1"], "--threads"),
        (["--patience", "-1"], "patience = -1"), (["--history", "-2"], "history = -2"), (["--level", "tiny:rows=-1"], "rows"),
        (["--player", "a\x1b[31mb"], "x1b"), (["--player", "x=a\x1b[31mb"], "x1b"), (["--game", ".x:y"], "game = '.x:y'"),
        (["--walk", "5", "1", "--start", "walk"], "walk_max"), (["--sweep", "look.noise=0:9:3"], "noise"),
        (["--level", "x" * 400], "level"), (["--player", ""], "player"), (["--reply", "a"], "reply"),
    ],
)  # fmt: skip
def test_what_is_given_wrong_is_said_in_a_line_and_nothing_is_written(tmp_path, capsys, more, said):
    status, line = ended(
        [
            *EVAL,
            *(word.format(folder=tmp_path) if "{" in word else word for word in more),
            "--out",
            str(tmp_path / "o"),
        ],
        capsys,
    )
    assert status == 2
    assert said.format(folder=tmp_path) in line
    assert not (tmp_path / "o").exists()


def test_folders_that_are_none_are_named(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("x")
    for out in (file, file / "below", tmp_path / ("x" * 300)):
        status, line = ended([*EVAL, "--out", str(out)], capsys)
        assert status == 2
        assert str(out)[:60] in line
    assert file.read_text() == "x"
    for command in (
        ["report"],
        ["rescore", "--out", "o"],
        ["video", "--out", "f.gif"],
        ["export", "turns", "--out", "t.parquet"],
    ):
        for folder in (file, tmp_path / "none", tmp_path):
            assert (
                ended(
                    [*command[:2], *command[2:], str(folder)]
                    if command[0] != "export"
                    else [*command, str(folder)],
                    capsys,
                )[0]
                == 2
            )


def test_stops_full_disks_and_defects_are_told_apart(tmp_path, monkeypatch, capsys):
    for error, status, said in (
        (KeyboardInterrupt(), 130, "vlmgym games: stopped"),
        (
            OSError(28, "No space left on device", "/x/y"),
            2,
            "vlmgym games: /x/y: No space left on device",
        ),
        (PermissionError(13, "Permission denied", "/x"), 2, "vlmgym games: /x: Permission denied"),
        (MemoryError(), 2, "not enough memory"),
        (RecursionError(), 2, "nested too deep"),
    ):

        def fail(_, error=error):
            raise error

        monkeypatch.setitem(COMMANDS, "games", replace(COMMANDS["games"], run=fail))
        found = ended(["games"], capsys)
        assert found[0] == status
        assert said in found[1]

    def defect(_):
        raise AssertionError("a defect")

    monkeypatch.setitem(COMMANDS, "games", replace(COMMANDS["games"], run=defect))
    with pytest.raises(AssertionError, match="a defect"):
        main(["games"])


def test_a_stopped_evaluation_says_that_it_goes_on(tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Random, "choose", stop)
        assert ended([*EVAL, "--out", str(tmp_path)], capsys) == (
            130,
            "vlmgym eval: stopped; what was answered is kept, and the same command goes on from "
            "there",
        )
    assert main([*EVAL, "--out", str(tmp_path)]) == 0


def test_defaults_of_eval_are_those_of_its_settings():
    options = vars(parse(["eval", "--player", "random", "--game", "2048", "--out", "o"]))
    for settings, left_out in ((Evaluation, {"oracle", "first"}), (LocalSettings, set())):
        told = {field.name: field.default for field in fields(settings) if field.name in options}
        assert {name: options[name] for name in told} == told
        assert {field.name for field in fields(settings)} - set(told) == left_out
    assert tuple(options["walk"]) == (Task().walk_min, Task().walk_max)


def test_an_option_is_made_from_a_field_and_read_back_into_its_settings(capsys):
    @dataclass(frozen=True)
    class Some(Settings):
        most_rows: int = setting(7, "rows at most", 1, 9)
        share: float = setting(0.5, "share of them", 0.0, 1.0)
        kind: str = setting("near", "which", choices=("near", "far"))
        all: bool = setting(False, "all of them")
        other: int = setting(3, "not asked for", 0, 9)

    parser = Parser(prog="some")
    setting_options(parser, Some, leave_out=["other"], flags={"share": ("-s", "--part")})
    assert Some(**settings_from(Some, parser.parse_args([]))) == Some()
    options = parser.parse_args(["--most-rows", "2", "--part", "0.25", "--kind", "far", "--all"])
    assert Some(**settings_from(Some, options)) == Some(2, 0.25, "far", True)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--kind {near,far} which (default: near)" in text
    assert "--all all of them" in text


def test_help_shows_defaults_and_examples_that_are_valid(capsys):
    with pytest.raises(SystemExit):
        main(["eval", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: strict)" in text
    assert "(default: 20)" in text
    assert "look.noise=0:0.3:4" in text


WORDS = (
    "-1",
    "0",
    "nan",
    "1e999",
    "9" * 40,
    "",
    " ",
    "..",
    "/",
    "x" * 300,
    "a=b",
    "a=[",
    "a:b",
    "é\u202e",
    "\x1b[31m",
    "null",
    "--",
    "{out}",
    "{run}",
)


def test_no_command_line_ends_in_a_traceback(tmp_path, capsys, monkeypatch):
    """Words of right command lines are changed, doubled, left out and replaced."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(conclude, "write_pages", lambda *_: None)  # pages have tests of their own
    how = Evaluation(episodes=2, turns=2)
    evaluate(
        Random(),
        Task(game="2048", level="tiny", look="tiny"),
        how,
        tmp_path / "run",
        progress=False,
    )
    (tmp_path / "s.json").write_text(json.dumps(["<answer>1</answer>"]))
    commands = [
        [*EVAL, "--out", "{out}"],
        [
            *EVAL,
            "--player",
            "scripted:s.json",
            "--patience",
            "3",
            "--mode",
            "lenient",
            "--repeats",
            "2",
            "--out",
            "{out}",
        ],
        [
            *EVAL,
            "--sweep",
            "look.noise=0:0.2:2",
            "--start",
            "walk",
            "--walk",
            "0",
            "3",
            "--prompt",
            "brief",
            "--out",
            "{out}",
        ],
        ["rescore", "{run}", "--mode", "strict", "--out", "{out}"],
        ["export", "turns", "{run}", "--out", "{out}.parquet"],
        ["video", "{run}", "--episode", "0", "--out", "{out}.txt"],
    ]
    luck, statuses = random.Random(4), []
    for number in range(120):
        words = list(luck.choice(commands))
        for _ in range(luck.choice((1, 1, 2))):
            at, how_ = luck.randrange(1, len(words)), luck.randrange(4)
            if how_ == 0:
                del words[at]
            elif how_ == 1:
                words.insert(at, luck.choice((*WORDS, *words)))
            else:
                words[at] = luck.choice(WORDS)
        words = [word.replace("{out}", f"out{number}").replace("{run}", "run") for word in words]
        if "/" in words or ".." in words:  # a test writes into its own folder only
            continue
        statuses.append(ended(words, capsys)[0])
        for path in tmp_path.iterdir():
            if path.name not in ("run", "s.json"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert set(statuses) == {0, 2}


# ---- Ctrl-C
READY = """import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":  # what the command loads first, once Ctrl-C is seen to
            sys.meta_path.remove(self)
            open(os.environ["READY"], "w").close()
sys.meta_path.insert(0, Finder())
"""
INTERRUPTS = """import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
INTERRUPTS_EXEC = INTERRUPTS.replace(
    "os.kill(os.getpid(), signal.SIGINT)", 'exec("os.kill(os.getpid(), signal.SIGINT)")'
)
SCRIPT = (
    "import sys\nfrom vlmgym.cli import main\nif __name__ == '__main__':\n    sys.exit(main())\n"
)


def started(folder, way):
    """The words that start the command: as a module, or by the script that an installation
    writes.
    """
    script = folder / "vlmgym"
    script.write_text(SCRIPT)
    return [
        sys.executable,
        *({"module": ["-m", "vlmgym"], "cli": ["-m", "vlmgym.cli"], "script": [str(script)]}[way]),
    ]


@pytest.mark.parametrize("way", ["module", "cli", "script"])
@pytest.mark.parametrize(
    "module",
    [
        "gymnasium",
        "numpy",
        "numba",
        "vlmgym.core",
        "vlmgym.games",
        "vlmgym.train.plan.requirements",
    ],
)
def test_ctrl_c_while_anything_is_imported_is_one_line_and_status_130(tmp_path, way, module):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, "INTERRUPT_AT": module}
    done = subprocess.run(
        [*started(tmp_path, way), "plan", "tiny/g0"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    loaded = module == "vlmgym.train.plan.requirements"  # which the command itself imports
    assert (done.returncode, done.stderr) == (130, f"vlmgym{' plan' if loaded else ''}: stopped\n")


@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.7, 1.2, 2.0])
def test_ctrl_c_in_the_first_seconds_is_one_line_and_status_130(tmp_path, seconds):
    ready = tmp_path / "ready"
    (tmp_path / "sitecustomize.py").write_text(READY)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [
        "eval",
        "--player",
        "local:tiny",
        "--game",
        "2048",
        "--episodes",
        "20",
        "--out",
        str(tmp_path / "run"),
    ]
    env = {**os.environ, "PYTHONPATH": path, "READY": str(ready)}
    process = subprocess.Popen(
        [*started(tmp_path, "module"), *words], stderr=subprocess.PIPE, text=True, env=env
    )
    while not ready.exists():
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("vlmgym")


def test_ctrl_c_inside_the_making_of_a_dataclass_is_status_130_too(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS_EXEC)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, "INTERRUPT_AT": "vlmgym.train.plan.requirements"}
    words = [*started(tmp_path, "module"), "plan", "tiny/g0"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "vlmgym plan: stopped\n")


def test_a_program_that_uses_the_library_keeps_its_own_ctrl_c():
    code = (
        "import signal\nimport vlmgym\nassert signal.getsignal(signal.SIGINT) is "
        "signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("word", ["\ud83d", "a\udc00b", "a\0b"])
def test_arguments_of_which_no_file_can_be_called_are_refused_in_a_sentence(word, capsys):
    assert main(["export", "turns", "run", "--out", word]) == 2
    assert "argument = " in capsys.readouterr().err
