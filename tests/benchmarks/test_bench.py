"""The benchmark runs, writes what it says, and refuses rows that it does not know.

No speed is tested.
"""

import json
import math
import subprocess
import sys

import pytest

from bench import run
from parts.folders import BENCHMARKS
from vlmgym.cli import main
from vlmgym.core import ConfigError


def test_small_rows_give_finite_ratios(tmp_path):
    results = run(tmp_path, ["branch 2048", "pictures 2048 336"], repetitions=2, quick=True)
    assert [one.name for one in results] == ["pictures 2048 336", "branch 2048"]
    for one in results:
        assert one.rates["ours"]
        assert all(
            math.isfinite(rate) and rate > 0 for rates in one.rates.values() for rate in rates
        )
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert [row["name"] for row in kept["rows"]] == [one.name for one in results]
    assert kept["machine"]["cores"] >= 1
    assert "branch 2048" in (tmp_path / "bench.txt").read_text()


def test_growth_is_drawn(tmp_path):
    run(tmp_path, ["growth boards 2048"], quick=True)
    assert (tmp_path / "bench.png").stat().st_size > 5_000


def test_unknown_rows_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="chess"):
        run(tmp_path, ["chess"])


def test_the_script_prints_its_table_and_refuses_in_a_sentence(tmp_path):
    script = BENCHMARKS / "bench.py"
    call = [sys.executable, str(script), "--quick", "--out", str(tmp_path), "--only"]
    done = subprocess.run([*call, "legal Swap"], capture_output=True, text=True, check=True)
    assert done.stdout == (tmp_path / "bench.txt").read_text()
    refused = subprocess.run([*call, "chess"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("bench.py: bench row = 'chess': allowed is the beginning of")
    assert len(refused.stderr.splitlines()) == 1


def test_everything_can_be_compiled_beforehand(capsys):
    assert main(["compile"]) == 0
    assert capsys.readouterr().out.startswith("compiled in")


def test_profiles_of_a_recipe_add_up(capsys):
    small = ["--set", "grpo.batch=8", "--set", "grpo.max_new_tokens=16"]
    assert main(["profile", "tiny/g1", *small, "--steps", "1"]) == 0
    *phases, step = [line.split() for line in capsys.readouterr().out.splitlines() if " s " in line]
    numbers = [
        [float(word) for word in line if word.replace(".", "").isdigit()]
        for line in (*phases, step)
    ]
    assert sum(one[0] for one in numbers[:-1]) == pytest.approx(numbers[-1][0], abs=0.01)
    assert {"generate", "forward", "backward"} <= {line[0] for line in phases}
    assert main(["profile", "tiny/g1", "--steps", "0"]) == 2
