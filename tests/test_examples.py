"""The cluster examples, as far as a machine without a cluster can tell: shellcheck, Kubernetes' schema, our own options."""

import shlex
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from vlmgym.cli import _parser
from vlmgym.train.recipe import read_recipe, recipe_path

EXAMPLES = Path(__file__).parents[1] / "examples" / "cluster"


def test_the_slurm_script_passes_shellcheck():
    checker = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run([checker, "--severity", "style", EXAMPLES / "train.sbatch"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


def test_the_job_is_one_by_kubernetes_schema():
    job = yaml.safe_load((EXAMPLES / "job.yaml").read_text())
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(job, version, strict=True)
    job["spec"]["template"]["spec"]["restartPolicies"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, version, strict=True)


def test_the_lines_in_the_examples_are_lines_of_ours():
    container = yaml.safe_load((EXAMPLES / "job.yaml").read_text())["spec"]["template"]["spec"]["containers"][0]
    words = [*container["command"], *container["args"]]
    sbatch = (EXAMPLES / "train.sbatch").read_text()
    (line,) = [line for line in sbatch.splitlines() if line.startswith("#   sbatch")]
    recipe, out, *rest = shlex.split(line)[shlex.split(line).index("examples/cluster/train.sbatch") + 1 :]
    for arguments in (words[words.index("vlmgym") + 1 :], ["train", recipe, "--out", out, *rest]):
        options = _parser().parse_args(arguments)
        grpo = read_recipe(recipe_path(options.recipe), options.set, options.on).grpo
        assert grpo is not None
        if options.set:
            assert grpo.batch * 8 == 640, "the paper's answers a step, on eight GPUs"
