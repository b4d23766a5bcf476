"""Ten minutes of damaged input for every reader (``make test-fuzz``); each subject's own test does
the same with few inputs.

A reader fails if it ends in anything but a result or an error of ours of one line. What was tried
is printed as a table, which docs/reliability.md holds. VLMGYM_FUZZ_SECONDS sets another length,
VLMGYM_FUZZ_SEED other inputs.
"""

import contextlib
import io
import json
import os
import random
import shutil
import sys
import time

import numpy as np
import pytest
from PIL import Image

from parts.api_players import fuzz_bodies
from parts.hostile_replies import fuzz_replies
from parts.mutate import TEXTS, json_mutations, mutations
from parts.settings_files import fuzz_settings
from parts.trace_readers import HOW, TASK, readers
from vlmgym.cli import main
from vlmgym.core import VlmGymError, seeds_for
from vlmgym.evals.evaluation import evaluate
from vlmgym.games import GAMES, load_state
from vlmgym.players.simple import Scripted
from vlmgym.render import photos

SEED = int(os.environ.get("VLMGYM_FUZZ_SEED", "1000"))


class Count(dict):
    """Inputs tried and failures by reader."""

    def add(self, reader, tried, failures):
        before = self.get(reader, (0, 0))
        self[reader] = before[0] + tried, before[1] + failures

    def run(self, reader, call):
        """One input: whatever comes of it is counted, and a failure is shown."""
        fault = ""
        try:
            call()
        except VlmGymError as error:
            fault = "" if "\n" not in str(error) else repr(error)
        except Exception as error:  # noqa: BLE001 - that is what is counted
            fault = repr(error)
        self.add(reader, 1, bool(fault))
        if fault:
            sys.stdout.write(f"{reader}: {fault[:500]}\n")


def replies(found, seed, folder):
    one = fuzz_replies(400, seed)
    found.add("replies and described boards", one.pop("replies", None) or sum(one.values()), 0)


def states(found, seed, folder):
    """States of all games; what is read is stepped, judged legal and drawn as text."""
    for number, game in enumerate(GAMES.values()):
        data = game.reset(game.level("easy"), seeds_for("free", game.name, "easy", 2)).to_bytes(
            game
        )

        def use(bad):
            read, state = load_state(bad)
            read.legal(state)
            read.step(state, np.zeros(len(state), np.int64))
            read.scene(state).texts()

        for bad in mutations(data, 40, seed * 8 + number):
            found.run("states", lambda bad=bad: use(bad))


def traces(found, seed, folder):
    """Traces and summaries, through everything that reads an evaluation."""
    sound, broken, out = folder / "sound", folder / "broken", folder / "out"
    if not sound.exists():
        evaluate(Scripted("nothing"), TASK, HOW, sound, progress=False)
    for file in ("trace.jsonl", "summary.json"):
        data = (sound / file).read_bytes()
        lines = (
            [json.loads(line) for line in data.splitlines()]
            if file == "trace.jsonl"
            else [json.loads(data)]
        )
        values = (
            "".join(json.dumps(x) + "\n" for x in bad).encode()
            for bad in json_mutations(lines, 8, seed)
            if isinstance(bad, list)
        )
        for bad in (*mutations(data, 8, seed), *values):
            for number in range(7):
                shutil.copytree(sound, broken, dirs_exist_ok=True)
                (broken / file).write_bytes(bad)
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir()
                found.run(
                    "traces and summaries, seven readers each",
                    list(readers(broken, out))[number],
                )


def settings(found, seed, folder):
    for reader, (tried, failures) in fuzz_settings(60, seed, folder).items():
        found.add(f"settings: {reader}", tried, failures)


def pictures(found, seed, folder):
    luck = np.random.default_rng(seed)
    for suffix in ("png", "jpg", "webp", "bmp"):
        path = folder / f"a.{suffix}"
        Image.fromarray(luck.integers(0, 256, (24, 20, 3), np.uint8)).save(path)
        for data in mutations(path.read_bytes(), 50, seed):
            path.write_bytes(data)
            found.run("photographs", lambda path=path: photos._read_picture(path))


def endpoints(found, seed, folder):
    one = fuzz_bodies(400, seed)
    found.add("answers of endpoints", one["tried"], one["failures"])


LINES = (
    "eval --player random --game Swap --level easy --look tiny --episodes 2 --turns 1 --out out",
    "eval --player scripted:replies.json --protocol quick --set evaluation.episodes=1 --out out",
    "eval --player random --game 2048 --sweep look.noise=0:0.3:2 --episodes 1 --turns 1 --sampling "
    "temperature=0 --out out",
    "report run --out page.html",
    "rescore run --mode lenient --out again",
    "export turns run --out turns.parquet",
    "export sft run --only all --out sft",
    "video run --episode 0 --out film.gif",
    "plan tiny/g0 --set grpo.steps=5",
    "train tiny/g0 --set grpo.steps=5 --dry-run --out train",
    "reproduce --list --out study",
    "check LightsOut2000 --level easy",
)
WORDS = (
    *(
        "",
        "-1",
        "0",
        "1e999",
        "nan",
        "a=[",
        "x" * 300,
        "nowhere",
        "run",
        "run/trace.jsonl",
        ".",
        "..x",
        "2048",
        "os:abort",
        ".x:y",
    ),
    *(
        "look.noise=0:1:5",
        "level.rows=a",
        "--set",
        "--out",
        "evaluation.episodes=true",
        "hard:",
        "tiny:rotation=",
        "{}",
        "[]",
    ),
)


ONLY_SAID = {"reproduce": ["--list"], "train": ["--dry-run"]}
"""What keeps a command from hours of work, whatever became of its line."""


def commands(found, seed, folder):
    """Command lines with one to three words changed, left out or put in; in a folder of their
    own.
    """
    luck = random.Random(seed)
    os.chdir(folder)
    if not (folder / "run").exists():
        evaluate(Scripted("nothing"), TASK, HOW, folder / "run", progress=False)
        (folder / "replies.json").write_text('["<answer>0</answer>"]')
    for _ in range(20):
        words = luck.choice(LINES).split()
        for _ in range(luck.randint(1, 3)):
            at = luck.randrange(1, len(words) + 1)
            words[at : at + luck.choice((0, 1, 1, 1))] = luck.choice(
                ((), (luck.choice(WORDS),), (luck.choice(TEXTS),))
            )
        words += [flag for flag in ONLY_SAID.get(words[0], ()) if flag not in words]

        def run(words=words):
            told = io.StringIO()
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(told):
                    status = main(words)
            except SystemExit as end:
                status = end.code
            assert status in (0, 1, 2), (words, status)
            assert "Traceback" not in told.getvalue(), words

        found.run("command lines", run)
        for name in ("out", "again", "sft", "study", "train"):
            shutil.rmtree(folder / name, ignore_errors=True)


@pytest.mark.parametrize(
    "subject", [replies, states, traces, settings, pictures, endpoints, commands]
)
def test_nothing_that_is_read_ends_in_anything_but_a_result_or_one_sentence(
    subject, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    found, seed = Count(), SEED
    end = time.monotonic() + float(os.environ.get("VLMGYM_FUZZ_SECONDS", "600")) / 7
    while time.monotonic() < end:
        subject(found, seed, tmp_path)
        seed += 1
    sys.stdout.write(
        "\n"
        + "".join(
            f"| {reader} | {tried:,} | {failures} |\n"
            for reader, (tried, failures) in found.items()
        )
    )
    assert found
    assert not any(failures for _, failures in found.values())
