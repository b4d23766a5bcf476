"""One GRPO step of a model's exact architecture with random weights: seconds by part, tokens a
second, memory, utilisation.

Nothing is downloaded: the architecture is one that the package knows, the tokenizer a stand-in. The
default is the paper's batch, 128 states with 5 answers each, of 300 tokens.

usage: gpu_step.py [--model qwen2.5-vl-7b] [--train lora|full] [--states 128] [--answers 5]
                   [--tokens 300] [--micro 10] [--together 80] [--steps 2] [--peak 989] [--out
                   result.json]

``--model miniature`` is the same on a CPU, to try the script. ``--peak`` is what the device can do
in bfloat16, in 1e12 operations a second (H100 and H200: 989, A100: 312), for the utilisation.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / "tests"), str(Path(sys.prefix) / "torchvision")]

from parts.miniature import FAMILIES, allow_torchvision_beside_cpu_torch, save

allow_torchvision_beside_cpu_torch()

import torch
import transformers as hf

from vlmgym.episodes.task import Task
from vlmgym.models.loading import load
from vlmgym.train.compute import Compute, Lora
from vlmgym.train.plan.architecture import known_models
from vlmgym.train.plan.profile import profile_grpo
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings

TASKS = (
    Task(game="2048", level="paper", look="clean:width=448,height=448"),
    Task(game="Swap", level="paper", look="clean:width=448,height=448"),
)


def random_model(name: str, dtype: str, folder: Path, keep: bool):
    """A model of a known architecture with random weights on the device, and a processor with a
    stand-in for its tokenizer.
    """
    (config,) = (
        one["config"] for key, one in known_models().items() if name.lower() in key.lower()
    )
    family = config["model_type"]
    _, processor = FAMILIES[family](hf, 48)
    ids = processor.tokenizer.convert_tokens_to_ids
    config = hf.AutoConfig.for_model(**config)
    for key, token in (("image", "<|image_pad|>"), ("video", "<|video_pad|>")):
        setattr(config, f"{key}_token_id", ids(token))
    config.vision_start_token_id, config.vision_end_token_id = (
        ids("<|vision_start|>"),
        ids("<|vision_end|>"),
    )
    size = {"shortest_edge": 56 * 56, "longest_edge": 1024 * 1024}
    processor.image_processor.size = size
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = hf.AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, dtype))
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = (
        ids("<|im_end|>"),
        ids("<|endoftext|>"),
    )
    if keep:  # TRL loads the reference of the KL loss from where the model came from
        model.save_pretrained(folder)
        model.config._name_or_path = model.name_or_path = str(folder)
    return model, processor


def operations(
    model, tokens: int, prompt: int, answers: int, updates: int, reference: bool
) -> float:
    """Operations of a step: 2 a weight and token forward, 4 backward (Kaplan et al. 2020, section
    2.1), attention left out.
    """
    vision = sum(
        p.numel() for name, p in model.named_parameters() if "visual" in name or "vision" in name
    )
    text = (
        sum(p.numel() for p in model.parameters())
        - vision
        - model.get_input_embeddings().weight.numel()
    )
    whole = answers * (prompt + tokens)
    return 2.0 * text * whole * (1 + 3 * updates + reference)


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
    parser.add_argument("--peak", type=float, default=989.0)
    options = parser.parse_args()
    lora = Lora() if options.train == "lora" else None
    dtype = "bfloat16" if lora else "float32"
    with tempfile.TemporaryDirectory() as folder:
        if options.model == "miniature":
            dtype, (model, processor) = (
                "float32",
                load(str(save("qwen2_5_vl", Path(folder) / "model"))),
            )
        else:
            model, processor = random_model(
                options.model, dtype, Path(folder) / "model", keep=lora is None
            )
        gpu = next(model.parameters()).is_cuda
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
        on_gpu = (
            {
                "gradient_checkpointing": True,
                "bf16": True,
                "optimizer": "adamw" if lora else "adamw_8bit",
            }
            if gpu
            else {}
        )
        compute = Compute(device="auto" if gpu else "cpu", weights=dtype, **on_gpu)
        recipe = Recipe(options.model, TASKS, grpo=settings, compute=compute, lora=lora)
        seconds = profile_grpo(recipe, model, processor, Path(folder) / "run")
    prompt = 586  # see `vlmgym plan`
    made = batch * options.tokens
    work = operations(model, options.tokens, prompt, batch, 1, True)
    result = {
        "model": options.model,
        "training": options.train,
        "parameters": sum(p.numel() for p in model.parameters()),
        "states": options.states,
        "answers": options.answers,
        "tokens": options.tokens,
        "seconds": seconds,
        "tokens a second, generation": made / seconds["generate"],
        "tokens a second, step": made / seconds["step"],
        "operations a second, step": work / seconds["step"],
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "torch": torch.__version__,
    }
    if gpu:
        result["peak GiB"] = torch.cuda.max_memory_allocated() / 2**30
        result["utilisation"] = work / seconds["step"] / (options.peak * 1e12)
    text = json.dumps(result, indent=1)
    sys.stdout.write(text + "\n")
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
