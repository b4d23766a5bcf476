"""What the parts of a GRPO step with LoRA cost on a GPU: a token of generation and a micro-batch of
the update, with the adapters as TRL leaves them and in other ways.

Random weights, as in step.py. Adapters are float32 on weights in bfloat16 (PEFT's default);
``no casting`` leaves the conversion of an adapter's input to autocast, ``merged`` adds the adapters
to the weights while answers are generated.

usage: step_parts.py [--model qwen2.5-vl-7b] [--answers 80] [--micro 10] [--tokens 300]
                     [--repeats 2] [--out result.json]

``--model miniature`` is the same on a CPU, to try the script.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import step
import torch
from peft import get_peft_model
from peft.helpers import disable_input_dtype_casting
from PIL import Image

from vlmgym.dialogue import prompt
from vlmgym.render import render
from vlmgym.train.compute import Lora
from vlmgym.train.plan.memory import GIB


def synchronise() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(call: Callable[[], Any], repeats: int) -> float:
    """The fastest of some calls, in seconds."""
    seconds = []
    for _ in range(repeats):
        synchronise()
        begin = time.perf_counter()
        call()
        synchronise()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def peak(call: Callable[[], Any]) -> float:
    """GiB allocated during a call, at most; 0 without a GPU."""
    if not torch.cuda.is_available():
        return 0.0
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated() / GIB


def questions(processor: Any, answers: int, device: Any) -> dict[str, Any]:
    """So many prompts with their pictures, half of each game, padded on the left."""
    texts = []
    images = []
    for index in range(answers):
        task = step.TASKS[index % len(step.TASKS)]
        state = task.game.reset(task.level, [index])
        text = prompt.prompt_text(task.game, task.level, task.prompt, blocks=task.blocks)
        content = [{"type": "image"}, {"type": "text", "text": text}]
        message = [{"role": "user", "content": content}]
        texts.append(processor.apply_chat_template(message, add_generation_prompt=True))
        images.append([Image.fromarray(render(task.game, state, task.look)[0])])
    rows = processor(text=texts, images=images, padding=True, return_tensors="pt")
    return {name: value.to(device) for name, value in rows.items()}


def generate(model: Any, rows: dict[str, Any], tokens: int) -> None:
    """Answers of exactly so many tokens."""
    with torch.no_grad():
        model.generate(
            **rows, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=True, use_cache=True
        )


def decoding(model: Any, rows: dict[str, Any], tokens: int, repeats: int) -> dict[str, float]:
    """Seconds of a token and of reading the prompts, and GiB while answers are generated."""
    few = max(tokens // 8, 2)
    short = seconds_of(lambda: generate(model, rows, few), repeats)
    long = seconds_of(lambda: generate(model, rows, tokens), repeats)
    token = (long - short) / (tokens - few)
    return {
        "seconds of a token": token,
        "seconds of reading": short - few * token,
        "GiB": peak(lambda: generate(model, rows, few)),
    }


def trained_rows(rows: dict[str, Any], micro: int, tokens: int) -> dict[str, Any]:
    """Prompts with answers of so many tokens: a micro-batch."""
    patches = rows["pixel_values"].shape[0] // rows["input_ids"].shape[0]
    short = {name: value[:micro] for name, value in rows.items() if name != "pixel_values"}
    answer = torch.full((micro, tokens), 65, device=rows["input_ids"].device)
    short["pixel_values"] = rows["pixel_values"][: micro * patches]
    short["input_ids"] = torch.cat([short["input_ids"], answer], 1)
    short["attention_mask"] = torch.cat([short["attention_mask"], torch.ones_like(answer)], 1)
    if "mm_token_type_ids" in short:
        text = torch.zeros_like(answer)
        short["mm_token_type_ids"] = torch.cat([short["mm_token_type_ids"], text], 1)
    return short


def update(model: Any, rows: dict[str, Any], tokens: int) -> None:
    """Forward and backward of a micro-batch, logits of the answers alone."""
    with torch.autocast(rows["input_ids"].device.type, torch.bfloat16):
        logits = model(**rows, logits_to_keep=tokens).logits
        loss = logits.float().logsumexp(-1).mean()
    loss.backward()
    model.zero_grad()


def without_gradient(model: Any, rows: dict[str, Any], tokens: int) -> None:
    """Forward of a micro-batch, as for a reference."""
    device = rows["input_ids"].device.type
    with torch.no_grad(), torch.autocast(device, torch.bfloat16), model.disable_adapter():
        model(**rows, logits_to_keep=tokens)


@contextmanager
def merged(model: Any) -> Iterator[None]:
    """The adapters are added to the weights."""
    model.merge_adapter()
    try:
        yield
    finally:
        model.unmerge_adapter()


def table(call: Callable[[], Any], rows: int = 14) -> str:
    """Where a call's time goes, by operation."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU]
    order = "self_cpu_time_total"
    if torch.cuda.is_available():
        kinds.append(ProfilerActivity.CUDA)
        order = "self_cuda_time_total"
    with profile(activities=kinds) as record:
        call()
        synchronise()
    lines = []
    events = sorted(record.key_averages(), key=lambda event: -_device_time(event, order))
    for event in events[:rows]:
        lines.append(
            f"{event.key[:70]:70} {event.count:7} {_device_time(event, order) / 1e3:9.1f} ms "
            f"{event.self_cpu_time_total / 1e3:9.1f} ms CPU"
        )
    busy = sum(_device_time(event, order) for event in events) / 1e3
    return "\n".join([f"device {busy:.1f} ms", *lines])


def _device_time(event: Any, order: str) -> float:
    if order == "self_cuda_time_total":
        return float(event.self_device_time_total)
    return float(event.self_cpu_time_total)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All measurements."""
    gpu = torch.cuda.is_available()
    if options.model == "miniature":
        model, processor = step.load(str(step.save("qwen2_5_vl", folder / "model")))
    else:
        model, processor = step.random_model(options.model, "bfloat16", folder, keep=False)
    device = next(model.parameters()).device
    kind = device.type
    repeats = options.repeats
    rows = questions(processor, options.answers, device)
    one = questions(processor, 1, device)
    results: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "torch": torch.__version__,
        "transformers": step.hf.__version__,
        "prompt tokens": rows["input_ids"].shape[1],
        "answers": options.answers,
    }
    model.eval()
    tokens = options.decode
    with torch.no_grad():
        results["vision tower, seconds"] = seconds_of(
            lambda: model.model.get_image_features(rows["pixel_values"], rows["image_grid_thw"]),
            repeats,
        )
    results["decode, base, 1"] = decoding(model, one, tokens, repeats)
    results["decode, base"] = decoding(model, rows, tokens, repeats)
    show(results)
    adapted = get_peft_model(model, Lora().config(model))
    adapted.eval()
    results["decode, LoRA"] = decoding(adapted, rows, tokens, repeats)
    with torch.autocast(kind, torch.bfloat16), disable_input_dtype_casting(adapted):
        results["decode, LoRA, autocast, no casting"] = decoding(adapted, rows, tokens, repeats)
    with merged(adapted):
        results["decode, LoRA merged"] = decoding(adapted, rows, tokens, repeats)
    show(results)
    adapted.train()
    adapted.gradient_checkpointing_enable()
    adapted.enable_input_require_grads()
    micro = trained_rows(rows, options.micro, options.tokens)
    for name, context in (
        ("LoRA", nullcontext()),
        ("LoRA, no casting", disable_input_dtype_casting(adapted)),
    ):
        with context:
            call = lambda: update(adapted, micro, options.tokens)  # noqa: E731
            call()
            results[f"update, {name}"] = {
                "seconds": seconds_of(call, repeats),
                "GiB": peak(call),
            }
    results["update, tokens"] = int(micro["attention_mask"].sum())
    results["reference, seconds"] = seconds_of(
        lambda: without_gradient(adapted, micro, options.tokens), repeats
    )
    show(results)
    sys.stdout.write("update\n" + table(lambda: update(adapted, micro, options.tokens)) + "\n")
    adapted.eval()
    adapted.gradient_checkpointing_disable()
    few = min(tokens, 8)
    sys.stdout.write(f"{few} tokens\n" + table(lambda: generate(adapted, rows, few)) + "\n")
    return results


def show(results: dict[str, Any]) -> None:
    """Print what is there so far."""
    sys.stdout.write(json.dumps(results, indent=1) + "\n")
    sys.stdout.flush()


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="qwen2.5-vl-7b")
    parser.add_argument("--out", type=Path)
    for name, value in (
        ("answers", 80),
        ("micro", 10),
        ("tokens", 300),
        ("decode", 64),
        ("repeats", 2),
    ):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(options, Path(folder))
    if options.out:
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
