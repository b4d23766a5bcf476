"""The script that plays forked turns, and the command that reads what it wrote."""

import subprocess
import sys

from parts.folders import TESTS
from vlmgym.cli import main


def test_forked_turns_of_the_embedded_model_are_played_and_compared(tmp_path, capsys):
    out = tmp_path / "turns.jsonl"
    sizes = {"states": 2, "answers": 2, "continuations": 4, "turns": 1, "max-tokens": 4}
    words = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    script = TESTS.parent / "benchmarks" / "turn_credit.py"
    done = subprocess.run(
        [sys.executable, str(script), str(out), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("2 states in ")
    assert main(["credit", str(out), "--draws", "3", "--continuations", "4"]) == 0
    assert "| branches 2 |" in capsys.readouterr().out
