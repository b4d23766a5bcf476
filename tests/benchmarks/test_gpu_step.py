"""The benchmark for a GPU, tried on a CPU: the same script, with a small architecture in place of a
known one.
"""

import importlib.util
import json
import subprocess
import sys

import pytest

from parts.folders import BENCHMARKS
from parts.miniature import save

SCRIPT = BENCHMARKS / "gpu" / "step.py"


@pytest.mark.parametrize("train", ["full", "lora"])
def test_a_step_of_a_known_architecture_with_random_weights_is_measured(
    train, tmp_path, monkeypatch, capsys
):
    """More entries in the vocabulary than the stand-in for the tokenizer has, as with the real
    sizes.
    """
    spec = importlib.util.spec_from_file_location("gpu_step", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    folder = save("qwen2_5_vl", tmp_path / "small-vl")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["vocab_size"] = 3000
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(script, "known_models", lambda: {str(folder): {"config": config}})
    monkeypatch.setattr(
        script,
        "TASKS",
        tuple(task.override(look="tiny:width=112,height=112") for task in script.TASKS),
    )
    size = [
        "--states",
        "2",
        "--answers",
        "2",
        "--tokens",
        "5",
        "--micro",
        "2",
        "--together",
        "2",
        "--steps",
        "1",
    ]
    monkeypatch.setattr(
        sys,
        "argv",
        [
            "step.py",
            "--model",
            "small-vl",
            "--train",
            train,
            *size,
            "--out",
            str(tmp_path / "r.json"),
        ],
    )
    script.main()
    found = json.loads((tmp_path / "r.json").read_text())
    assert found == json.loads(capsys.readouterr().out)
    assert {"generate", "forward", "backward", "optimiser", "step", "in model"} <= set(
        found["seconds"]
    )
    assert found["tokens a second, generation"] == pytest.approx(
        2 * 2 * 5 / found["seconds"]["generate"]
    )
    assert found["plan"]["seconds"]["generation"] > 0
    assert found["plan"]["GiB"]["update"] > 0
    assert found["parameters"] > 3000 * 48 * 2, "the whole vocabulary"


@pytest.mark.parametrize("script", ["step.py", "step_parts.py"])
def test_the_scripts_for_a_gpu_start_as_commands(script):
    """By themselves, with nothing on the path but what they put there."""
    path = BENCHMARKS / "gpu" / script
    done = subprocess.run(
        [sys.executable, path, "--help"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {script}")
