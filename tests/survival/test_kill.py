"""Runs that are killed at random moments, again and again (some minutes; run by ``make
test-survival``).
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from parts.tasks import ON_CPU, TINY_2048, TINY_SWAP
from vlmgym.models.loading import load
from vlmgym.train.callbacks import read_metrics

KILLS = 10
RECIPE = {
    "model": "tiny",
    "tasks": [TINY_SWAP, TINY_2048],
    "cold_start": {"states": 120},
    "sft": {"batch": 12, "lr": 1e-4, "save_every": 2},
    "grpo": {
        "steps": 20,
        "batch": 24,
        "group": 4,
        "lr": 5e-5,
        "beta": 0.04,
        "max_new_tokens": 96,
        "save_every": 2,
        "epochs_per_batch": 2,
    },
    "states": [{"kind": "random_walk"}, {"kind": "policy_pool", "games": 8, "weight": 2}],
    "curriculum": {"Swap": {"rungs": ["tiny", "tiny:noise=0.1"], "step": 0.1}},
    "reward": {"game": 1, "format": 0.5, "perception": 0.5},
    "checks": {"every": 4, "states": 4},
    "compute": ON_CPU,
}


def start(recipe, out, processes):
    launch = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        if processes > 1
        else []
    )
    with (out.parent / f"{out.name}.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, *launch, "-m", "vlmgym", "train", str(recipe), "--out", str(out)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def kill(process):
    """SIGKILL to a process and all below it at once; torchrun's workers are in sessions of their
    own.
    """
    tree, parents = [process.pid], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # gone
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    for pid in tree:
        tree += parents.get(pid, [])
    for pid in tree:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    while any(
        Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()
        for pid in tree[1:]
    ):
        time.sleep(0.02)  # until the last has let go of its files


def finished(process, out):
    assert process.wait() == 0, (out.parent / f"{out.name}.log").read_text()[-3000:]
    return load(str(out / "final"))[0], read_metrics(out / "metrics.jsonl")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_never_was(processes, tmp_path):
    """After ten kills the weights are those of the unbroken run to the bit, and every step is there
    once, with its numbers.
    """
    values = {
        **RECIPE,
        "sft": {**RECIPE["sft"], "batch": 12 // processes},
        "grpo": {**RECIPE["grpo"], "batch": 24 // processes},
    }
    recipe = tmp_path / "r.yaml"
    recipe.write_text(yaml.safe_dump(values))
    begin = time.time()
    whole, expected = finished(start(recipe, tmp_path / "whole", processes), tmp_path / "whole")
    length = time.time() - begin
    out, moments = tmp_path / "killed", []
    clock = random.Random(processes)
    while len(moments) < KILLS:
        before = len(read_metrics(out / "metrics.jsonl"))
        process = start(recipe, out, processes)
        while len(read_metrics(out / "metrics.jsonl")) in (0, before) and process.poll() is None:
            time.sleep(0.02)  # until it has gone on from its checkpoint
        time.sleep(clock.uniform(0, length / 12))
        assert process.poll() is None, "it ended before the tenth kill: give it more steps"
        kill(process)
        line = read_metrics(out / "metrics.jsonl")[-1]
        moments.append((line["stage"], line["step"]))
    weights, found = finished(start(recipe, out, processes), out)
    sys.stderr.write(
        f"{processes} process(es), {length:.0f} s unbroken, killed at {json.dumps(moments)}\n"
    )
    assert {stage for stage, _ in moments} >= {"sft", "grpo"}, "in every stage"
    assert [strip(line) for line in found] == [strip(line) for line in expected]
    for (name, a), b in zip(weights.named_parameters(), whole.parameters(), strict=True):
        assert torch.equal(a, b), name


def strip(line):
    """A line of the metrics without what depends on the clock."""
    clocked = ("time", "runtime", "per_second", "num_tokens", "flos", "step_time")
    return {key: value for key, value in line.items() if not any(word in key for word in clocked)}
