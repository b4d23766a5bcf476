"""What readers copy: the lines of the documents; the cluster examples (shellcheck, Kubernetes'
schema, our own options).
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from parts.folders import CLUSTER, ROOT
from vlmgym.cli.parser import parse
from vlmgym.train.recipe import read_recipe, recipe_path


def blocks(document, language):
    """What stands in the fences of a language in a document."""
    return re.findall(
        rf"```{language}\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL
    )


def test_the_first_lines_of_the_readme_print_what_stands_below_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(blocks("README.md", "python")[0], "README.md", "exec"), {})
    shown = re.search(
        r"```\n```\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert shown
    assert capsys.readouterr().out == shown[1]
    assert (tmp_path / "board.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "document",
    ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))],
)
def test_the_command_lines_of_the_documents_are_lines_of_ours(document):
    for line in "".join(blocks(document, "sh")).splitlines():
        words = shlex.split(line.replace("...", "x"), comments=True)
        if words and (words[0] == "vlmgym" or "vlmgym.cli" in words):
            at = words.index("vlmgym") if words[0] == "vlmgym" else words.index("vlmgym.cli")
            assert parse(words[at + 1 :]).command == words[at + 1]


def test_the_slurm_script_passes_shellcheck():
    checker = Path(sys.executable).with_name("shellcheck")
    found = subprocess.run(
        [checker, "--severity", "style", CLUSTER / "train.sbatch"], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout


def test_the_job_is_one_by_kubernetes_schema():
    job = yaml.safe_load((CLUSTER / "job.yaml").read_text())
    version = kubernetes_validate.latest_version()
    kubernetes_validate.validate(job, version, strict=True)
    job["spec"]["template"]["spec"]["restartPolicies"] = "Never"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, version, strict=True)


def test_the_lines_in_the_examples_are_lines_of_ours():
    container = yaml.safe_load((CLUSTER / "job.yaml").read_text())["spec"]["template"]["spec"][
        "containers"
    ][0]
    words = [*container["command"], *container["args"]]
    sbatch = (CLUSTER / "train.sbatch").read_text()
    (line,) = [line for line in sbatch.splitlines() if line.startswith("#   sbatch")]
    recipe, out, *rest = shlex.split(line)[
        shlex.split(line).index("examples/cluster/train.sbatch") + 1 :
    ]
    for arguments in (words[words.index("vlmgym") + 1 :], ["train", recipe, "--out", out, *rest]):
        options = parse(arguments)
        grpo = read_recipe(recipe_path(options.recipe), options.set, options.on).grpo
        assert grpo is not None
        if options.set:
            assert grpo.batch * 8 == 640, "the paper's answers a step, on eight GPUs"
