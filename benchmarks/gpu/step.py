"""One GRPO step of a model's exact architecture with random weights: seconds by part, tokens a
second, memory, utilisation, and beside them what ``vlmgym plan`` says of the same recipe.

Nothing is downloaded: the architecture is one that the package knows, the tokenizer a stand-in. The
default is the paper's batch, 128 states with 5 answers each, of 300 tokens.

usage: step.py [--model qwen2.5-vl-7b] [--train lora|full] [--states 128] [--answers 5]
               [--tokens 300] [--micro 10] [--together 80] [--steps 2] [--card 80]
               [--out result.json]

``--model miniature`` is the same on a CPU, to try the script. ``--card`` is the device by its
gigabytes (24, 80, 141: see vlmgym/train/plan/speed.py), for the plan and the utilisation.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path += [str(Path(__file__).parents[2] / "tests"), str(Path(sys.prefix) / "torchvision")]

from parts.miniature import FAMILIES, allow_torchvision_beside_cpu_torch, save

allow_torchvision_beside_cpu_torch()

import torch
import transformers as hf

from vlmgym.episodes.task import Task
from vlmgym.models.loading import load
from vlmgym.train.compute import Compute, Lora
from vlmgym.train.plan import speed as plan_speed
from vlmgym.train.plan.architecture import architecture, known_models
from vlmgym.train.plan.memory import GIB, memory
from vlmgym.train.plan.profile import profile_grpo
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings

TASKS = (
    Task(game="2048", level="paper", look="clean:width=448,height=448"),
    Task(game="Swap", level="paper", look="clean:width=448,height=448"),
)


def known_name(name: str) -> str:
    """The one known model whose name holds ``name``."""
    (full_name,) = (key for key in known_models() if name.lower() in key.lower())
    return full_name


def random_model(name: str, dtype: str, folder: Path, keep: bool) -> tuple[Any, Any]:
    """A model of a known architecture with random weights on the device, and a processor with a
    stand-in for its tokenizer.
    """
    settings = known_models()[known_name(name)]["config"]
    _, processor = FAMILIES[settings["model_type"]](hf, 48)
    identifiers = processor.tokenizer.convert_tokens_to_ids
    config = hf.AutoConfig.for_model(**settings)
    config.image_token_id = identifiers("<|image_pad|>")
    config.video_token_id = identifiers("<|video_pad|>")
    config.vision_start_token_id = identifiers("<|vision_start|>")
    config.vision_end_token_id = identifiers("<|vision_end|>")
    processor.image_processor.size = {
        "shortest_edge": 56 * 56,
        "longest_edge": 1024 * 1024,
    }
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = hf.AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, dtype))
    model.generation_config.eos_token_id = identifiers("<|im_end|>")
    model.generation_config.pad_token_id = identifiers("<|endoftext|>")
    if keep:  # TRL loads the reference of the KL loss from where the model came from
        model.save_pretrained(folder)
        model.config._name_or_path = model.name_or_path = str(folder)
    return model, processor


class GenerationPeak:
    """Bytes that were allocated while answers were generated, at most."""

    def __init__(self, model: Any) -> None:
        self.generating = 0
        self.training = 0
        plain = type(model).generate

        def watched(*arguments: Any, **options: Any) -> Any:
            self.training = max(self.training, torch.cuda.max_memory_allocated())
            torch.cuda.reset_peak_memory_stats()
            try:
                return plain(*arguments, **options)
            finally:
                self.generating = max(self.generating, torch.cuda.max_memory_allocated())
                torch.cuda.reset_peak_memory_stats()

        type(model).generate = watched

    def read(self) -> dict[str, float]:
        """GiB by phase, and what the allocator had reserved."""
        self.training = max(self.training, torch.cuda.max_memory_allocated())
        return {
            "generation": self.generating / GIB,
            "update": self.training / GIB,
            "reserved": torch.cuda.max_memory_reserved() / GIB,
        }


def planned(recipe: Recipe, name: str, gigabytes: int) -> dict[str, Any]:
    """What ``vlmgym plan`` says of the recipe on one device, if no answer ends before its limit
    (weights are random: nothing ends by itself).
    """
    model = architecture(known_name(name))
    card = plan_speed.CARDS[gigabytes]
    seconds = plan_speed.speed(recipe, model, card, 1, gigabytes * GIB, mean=1.0)
    phases = memory(recipe, model).phases
    return {
        "card": card.name,
        "seconds": {"generation": seconds.generation, "update": seconds.update},
        "GiB": {
            phase.name: (phase.total - phase.parts["CUDA"] - phase.parts["fragments"]) / GIB
            for phase in phases
        },
        "prompt tokens": model.positions_of(recipe)[1],
    }


def operations(model: Any, tokens: int, recipe: Recipe) -> float:
    """Operations that a step needs on so many tokens: 2 a weight and token forward, 4 backward (2
    where the weights stay), 2 for the reference (Kaplan et al. 2020, section 2.1); attention, the
    vision tower and what checkpointing computes again are left out.
    """
    weights = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if "visual" not in name and "vision" not in name
    )
    passes = 2 + (2 if recipe.lora else 4) + 2
    embedding = model.get_input_embeddings().weight.numel()
    return float(passes) * (weights - embedding) * tokens


def recipe_of(options: argparse.Namespace, dtype: str, gpu: bool) -> Recipe:
    """The recipe of the measurement."""
    lora = Lora() if options.train == "lora" else None
    batch = options.states * options.answers
    settings = GrpoSettings(
        steps=options.steps + 1,
        batch=batch,
        group=options.answers,
        accumulate=batch // options.micro,
        generate_batch=options.together,
        max_new_tokens=options.tokens,
        save_every=1000,
        drop_equal=False,  # random weights make no answer that is worth anything
    )
    compute = Compute(device="auto" if gpu else "cpu", weights=dtype)
    if gpu:
        compute = Compute(
            device="auto",
            weights=dtype,
            gradient_checkpointing=True,
            bf16=True,
            optimizer="adamw" if lora else "adamw_8bit",
        )
    return Recipe(options.model, TASKS, grpo=settings, compute=compute, lora=lora)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds, tokens a second and memory of the steps, beside the plan."""
    dtype = "bfloat16" if options.train == "lora" else "float32"
    if options.model == "miniature":
        dtype = "float32"
        model, processor = load(str(save("qwen2_5_vl", folder / "model")))
    else:
        keep = options.train == "full"
        model, processor = random_model(options.model, dtype, folder / "model", keep)
    gpu = next(model.parameters()).is_cuda
    recipe = recipe_of(options, dtype, gpu)
    peak = GenerationPeak(model) if gpu else None
    seconds = profile_grpo(recipe, model, processor, folder / "run")
    answers = options.states * options.answers
    result = {
        "model": options.model,
        "training": options.train,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "states": options.states,
        "answers": options.answers,
        "tokens": options.tokens,
        "together": options.together,
        "micro": options.micro,
        "steps": options.steps,
        "seconds": seconds,
        "tokens a second, generation": answers * options.tokens / seconds["generate"],
        "tokens a second, step": answers * options.tokens / seconds["step"],
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "torch": torch.__version__,
        "transformers": hf.__version__,
    }
    if options.model == "miniature":
        return result
    plan = planned(recipe, options.model, options.card)
    tokens = answers * (plan["prompt tokens"] + options.tokens)
    update = seconds["forward"] + seconds["backward"]
    result["plan"] = plan
    result["operations a second, update"] = operations(model, tokens, recipe) / update
    if peak:
        result["GiB"] = peak.read()
        full_rate = plan_speed.CARDS[options.card].operations
        result["utilisation, update"] = result["operations a second, update"] / full_rate
    return result


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-vl-7b")
    parser.add_argument("--train", choices=("lora", "full"), default="lora")
    parser.add_argument("--out", type=Path)
    for name, value in (
        ("states", 128),
        ("answers", 5),
        ("tokens", 300),
        ("micro", 10),
        ("together", 80),
        ("steps", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--card", type=int, choices=sorted(plan_speed.CARDS), default=80)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    text = json.dumps(result, indent=1)
    sys.stdout.write(text + "\n")
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
