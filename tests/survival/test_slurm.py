"""The SLURM example with stand-ins for srun and scontrol: two tasks, a time limit, a place back in
the queue, an end.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from parts.folders import CLUSTER
from parts.tasks import ON_CPU, TINY_SWAP
from vlmgym.train.callbacks import read_metrics

SCRIPT = CLUSTER / "train.sbatch"
SRUN = """#!/bin/bash
# two tasks, as srun starts them; a signal goes to both
shift
for rank in 0 1; do
  SLURM_PROCID=$rank SLURM_LOCALID=$rank SLURM_NTASKS=2 "$@" & pids="$pids $!"
done
trap 'kill -TERM $pids' TERM
status=0
for pid in $pids; do
  while kill -0 $pid 2>/dev/null; do wait $pid && one=0 || one=$?; done
  [ "$one" = 0 ] || status=$one
done
exit $status
"""
SCONTROL = """#!/bin/bash
if [ "$1" = requeue ]; then echo "$2" >> "$QUEUE"; else echo localhost; fi
"""


def test_the_job_puts_itself_back_until_it_is_finished(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (
        ("srun", SRUN),
        ("scontrol", SCONTROL),
        ("python", f'#!/bin/bash\nexec {sys.executable} "$@"\n'),
    ):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    recipe, out = tmp_path / "r.yaml", tmp_path / "run"
    grpo = {
        "steps": 12,
        "batch": 8,
        "group": 4,
        "lr": 5e-5,
        "max_new_tokens": 64,
        "save_every": 100,
    }
    recipe.write_text(
        yaml.safe_dump(
            {
                "model": "tiny",
                "tasks": [TINY_SWAP],
                "grpo": grpo,
                "checks": {"every": 0},
                "compute": ON_CPU,
            }
        )
    )
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "QUEUE": str(tmp_path / "queue"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_CPUS_PER_TASK": "1",
    }

    def start():
        return subprocess.Popen(
            ["bash", SCRIPT, recipe, out], env=environment, stdout=subprocess.PIPE, text=True
        )

    def lines():
        return [line["step"] for line in read_metrics(out / "metrics.jsonl") if "reward" in line]

    job = start()
    while len(lines()) < 3:
        assert job.poll() is None
        time.sleep(0.05)
    children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    # as --signal does: to the job's steps, not to its script
    os.kill(int(children[0]), signal.SIGTERM)
    assert job.wait(timeout=120) == 0
    assert (tmp_path / "queue").read_text() == "7\n", "back in the queue"
    assert not (out / "final").exists()
    job = start()
    printed, _ = job.communicate(timeout=300)
    assert job.returncode == 0
    assert f"finished: {out}/final" in printed
    assert (tmp_path / "queue").read_text() == "7\n", "and not again"
    assert lines() == list(range(1, 13))
