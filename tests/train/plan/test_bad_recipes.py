"""Bad recipes are told in one sentence."""

import os

import pytest
import yaml

from parts.tasks import ON_CPU, TINY_2048
from vlmgym.cli import main

BAD = [
    ("grpo.batch=3", "GrpoSettings.batch = 3"),
    ("grpo.batch=many", "of type int"),
    ("grpo.group=1", "2 to 1024"),
    ("grpo.group=3", "a multiple of group * accumulate = 3"),
    ("grpo.accumulate=3", "a multiple of group * accumulate = 6"),
    ("grpo.generate_batch=3", "a multiple of group = 2, or 0"),
    ("grpo.steps=-1", "GrpoSettings.steps = -1"),
    ("grpo.lr=-0.1", "GrpoSettings.lr = -0.1"),
    ("grpo.beta=.inf", "no number that can be computed with"),
    ("grpo.max_new_tokens=0", "GrpoSettings.max_new_tokens = 0"),
    ("grpo.loss=best", "one of grpo"),
    ("grpo.vllm_mode=cloud", "server, colocate"),
    ("grpo.seed=-1", "GrpoSettings.seed = -1"),
    ("grpo=[]", "recipe.grpo = []"),
    ("grpo=false", "recipe.grpo = False"),
    ("grpo=null", "pretrain, cold_start, grpo, or the last two"),
    ("cold_start=false", "recipe.cold_start = False"),
    ("cold_start={states: 0}", "ColdStart.states = 0"),
    ("cold_start={teacher_error: 2}", "ColdStart.teacher_error = 2.0"),
    ("sft=0", "recipe.sft = 0"),
    ("tasks=[]", "at least one task"),
    ("tasks=null", "at least one task"),
    ("tasks=[1]", "recipe.tasks.0 = 1: allowed is a mapping"),
    ("tasks.0.game=Chess", "game = 'Chess'"),
    ("tasks.0.weight=-1", "Task.weight = -1.0"),
    ("tasks.0.weight=0", "a weight above 0 for at least one task"),
    ("tasks.0.walk_max=1", "at least walk_min = 4"),
    ("states=[]", "recipe.states = []"),
    ("states=false", "recipe.states = False"),
    ("states=[{kind: dream}]", "random_walk, policy_pool, replay"),
    ("states=[{weight: -1}]", "Source.weight = -1.0"),
    ("states=[{weight: 0}]", "a weight above 0 for at least one source"),
    ("states=[{kind: replay}]", "Source.trace = ''"),
    ("states=[{kind: replay, trace: nowhere.jsonl}]", "nowhere.jsonl: there is no such file"),
    ("states=[{kind: policy_pool, hopeless: true}]", "Source.hopeless"),
    ("curriculum=0", "recipe.curriculum = 0"),
    ("curriculum={Swap: {dial: level}}", "a game of the run"),
    ("reward={game: 0, format: 0}", "a weight other than 0"),
    ("reward.game=1000", "Weights.game = 1000"),
    ("lora={rank: 0}", "Lora.rank = 0"),
    ("checks.every=-1", "Checks.every = -1"),
    ("colour=1", "recipe.colour = 1"),
]


@pytest.mark.parametrize(("override", "part"), BAD, ids=[override for override, _ in BAD])
def test_bad_recipes_are_told_in_one_sentence(override, part, tmp_path, capsys):
    values = {
        "model": "tiny",
        "tasks": [TINY_2048],
        "grpo": {"batch": 4, "group": 2, "max_new_tokens": 600},
        "checks": {"every": 0},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**values, "compute": ON_CPU}))
    for command in (["plan"], ["train", "--dry-run", "--out", str(tmp_path / "run")]):
        status = main([command[0], str(tmp_path / "recipe.yaml"), *command[1:], "--set", override])
        told = capsys.readouterr()
        assert status == 2
        assert "Traceback" not in told.out + told.err
        (line,) = [one for one in (told.out + told.err).splitlines() if part in one]
        assert line.startswith((f"vlmgym {command[0]}: ", "error "))
    assert not (tmp_path / "run").exists()


def test_python_m_vlmgym_is_the_command_line():
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "vlmgym", "games"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
        timeout=60,
    )
    assert "ShisenSho" in done.stdout
