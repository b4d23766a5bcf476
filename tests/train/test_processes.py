"""Several processes train as one does: the same questions, groups, pools, ladders and weights."""

import json
import os
import subprocess
import sys

import pytest
import torch

from parts.folders import TESTS

SCRIPTED_RUN = TESTS / "parts" / "scripted_run.py"


STAGES = ("sft", "grpo", "blocks", "episodes")


def run(model, out, processes):
    """All stages in so many processes, a folder each under ``out``."""
    for stage in STAGES:
        (out / stage).mkdir(parents=True)
    launch = (
        ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
        if processes > 1
        else []
    )
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *launch, str(SCRIPTED_RUN), ",".join(STAGES), str(model), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def runs(small, tmp_path_factory):
    """A folder with the runs of one process and of two."""
    root = tmp_path_factory.mktemp("processes")
    run(small, root / "one", 1)
    run(small, root / "two", 2)
    return root


def ended(folder):
    return torch.load(folder / "weights.pt"), json.loads((folder / "log.json").read_text())


@pytest.mark.parametrize("stage", STAGES)
def test_two_processes_train_as_one_with_the_same_effective_batch(stage, small, runs):
    """Weights agree to 1e-4 (float32 sums in another order, through Adam); moves are 1e-3 and more
    a step.
    """
    alone, log = ended(runs / "one" / stage)
    both, log_of_two = ended(runs / "two" / stage)
    start = dict(tiny_weights(small))
    moved = max(float((alone[name] - start[name].detach()).abs().max()) for name in alone)
    assert moved > 1e-3
    assert max(float((alone[name] - both[name]).abs().max()) for name in alone) < 1e-4
    for ours, theirs in zip(log[:3], log_of_two[:3], strict=True):
        for key in {
            "loss",
            "grad_norm",
            "reward",
            "kl",
            "success",
            "p_acc",
            "groups/equal",
            "groups/generated",
            "Swap/place",
            "credit/forked",
            "credit/met_by_one",
        } & set(ours):
            assert ours[key] == pytest.approx(theirs[key], abs=2e-5), key
    if stage == "sft":
        return
    ends = [json.loads((runs / name / stage / "end.json").read_text()) for name in ("one", "two")]
    assert ends[0] == ends[1], "pools, ladders and the number of the next question"
    if stage == "episodes":
        assert all(0 < one["credit/forked"] < 1 for one in log[:3])
        return
    asked = json.loads((runs / "one" / stage / "asked-0.json").read_text())
    shares = [
        json.loads((runs / "two" / stage / f"asked-{rank}.json").read_text()) for rank in (0, 1)
    ]
    for whole, first, second in zip(asked, *shares, strict=True):
        assert len(first) == len(second), "generation over processes wants equal shares"
        assert list(dict.fromkeys(first + second)) == whole, "different questions, all of them"
        assert (first + second)[: len(whole)] == whole, "what is repeated comes last"
    assert any(len(whole) % 2 for whole in asked), "one was repeated, so that the test can fail"
    assert log[0]["groups/generated"] > 8, "some groups were replaced"
    assert ends[0]["curricula"]["Swap"]["place"] > 0


def tiny_weights(folder):
    from vlmgym.models.loading import load

    return load(str(folder))[0].named_parameters()
