"""How a run is started: lines that their programs take, and the report over all hardware."""

import shlex
from pathlib import Path

import pytest

from parts.folders import CLUSTER
from parts.recipes import OURS, bundled
from vlmgym.train.plan import requirements
from vlmgym.train.plan.launch import launch_lines
from vlmgym.train.plan.requirements import report


def split(text):
    """Environment, program and arguments of a line."""
    words = shlex.split(text)
    first = next(i for i, word in enumerate(words) if "=" not in word)
    return dict(word.split("=", 1) for word in words[:first]), words[first:]


@pytest.mark.parametrize("name", ["tiny/g1", "qwen2.5-vl-7b/g1-all"])
def test_launch_lines_are_what_their_programs_take(name):
    from accelerate.commands.launch import launch_command_parser
    from torch.distributed.run import get_args_parser

    seen = set()
    total = bundled(name).grpo.batch
    for title, text in launch_lines(
        name, *(("1x80gb", "8x80gb") if name.startswith("qwen") else ()), gpus=8, nodes=2
    ):
        _, words = split(text)
        if words[0] == "srun":
            words = words[words.index("torchrun") :]
        program, devices = words[0], 1
        if program == "torchrun":
            given = get_args_parser().parse_args(words[1:])
            devices = int(given.nproc_per_node) * int(given.nnodes.split(":")[0])
            assert (given.training_script, given.module) == ("vlmgym", True)
            rest = given.training_script_args
        elif program == "accelerate":
            given = launch_command_parser().parse_args(words[2:])
            devices = given.num_processes
            assert (given.training_script, given.module) == ("vlmgym", True)
            assert Path(given.config_file).suffix == ".yaml"
            rest = given.training_script_args
        elif program == "vllm":
            continue
        else:
            assert program == "vlmgym"
            rest = words[1:]
        seen.add(program)
        assert rest[:2] == ["train", name], title
        options = rest[2::2]
        assert set(options) <= {"--out", "--on", "--set", "--engine", "--nodes", "--gpus"}, title
        overrides = [
            value for option, value in zip(options, rest[3::2], strict=True) if option == "--set"
        ]
        recipe = bundled(
            name,
            [value for option, value in zip(options, rest[3::2], strict=True) if option == "--on"],
            overrides,
        )
        if recipe.grpo is None:
            assert (overrides, recipe.cold_start is not None) == (["grpo=null"], True), title
        elif "--set" in options:
            assert recipe.grpo.batch * devices in (total, total * devices), title
            if name.startswith("qwen"):
                assert recipe.grpo.batch * devices == total, title
                assert recipe.grpo.batch // recipe.grpo.accumulate <= 10, title
    assert seen == {"vlmgym", "torchrun", "accelerate"}


@pytest.mark.parametrize("name", ["fsdp2", "zero3"])
def test_cluster_files_are_accelerates(name):
    """Every key is one that Accelerate knows: an option of its launcher, or a field of its
    configuration.
    """
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    path = CLUSTER / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert isinstance(config, ClusterConfig)
    assert config.mixed_precision == "bf16"
    known = {action.dest for action in launch_command_parser()._actions}
    section = config.fsdp_config or config.deepspeed_config
    assert section
    assert set(section) <= known, set(section) - known


def test_the_report_shows_all_hardware_and_what_does_not_fit(sized, monkeypatch):
    monkeypatch.setattr(requirements, "architecture", sized.get)
    text = report("qwen2.5-vl-7b/g1-all")
    lines = text.splitlines()
    assert "8.29 B parameters" in lines[0]
    assert all(on in text for on in OURS)
    assert [line.split()[1:] for line in lines if line.startswith("fits")] == [["yes"] * 4]
    lines = launch_lines(
        "qwen2.5-vl-7b/g1-all", "1x80gb", "8x80gb", model=sized["Qwen/Qwen2.5-VL-7B-Instruct"]
    )
    for title, line in lines:
        assert f"# {title}\n{line}\n" in text
    eights = report("qwen2.5-vl-7b/g1-all", ["grpo.group=8", "grpo.accumulate=4"])
    assert (
        "1x24gb: GrpoSettings.generate_batch = 20: allowed is a multiple of group = 8, or 0"
        in eights
    )
    longer = report("qwen2.5-vl-7b/g1-all", ["grpo.batch=640", "grpo.generate_batch=0"])
    assert [line.split()[1:] for line in longer.splitlines() if line.startswith("fits")] == [
        ["NO", "NO", "NO", "NO"]
    ]
