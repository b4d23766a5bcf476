"""What a recipe needs on each kind of hardware, as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vlmgym.core import ConfigError
from vlmgym.core.config import find, overlays, read_file
from vlmgym.train.plan.architecture import Architecture, architecture, short_count
from vlmgym.train.plan.hardware import card_of, hardware, hours_text, speed_on
from vlmgym.train.plan.launch import launch_lines
from vlmgym.train.plan.memory import GIB, longest_answer, memory
from vlmgym.train.plan.speed import LAUNCH, MEAN, READ, USE, Speed
from vlmgym.train.plan.taught import cut_shares
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import Recipe


def report(name: str, overrides: Sequence[str] = ()) -> str:
    """What a recipe needs on each kind of hardware, and how it is started, as plain text.

    Args:
        name: of the recipe, or its path.
        overrides: ``field=value``.

    Raises:
        ConfigError: as for the recipe and its sources of states, or a model of unknown size.
        TraceError, FileError: a replay's trace that cannot be read.
    """
    path = find("recipe", name)
    plain = Recipe.parse(read_file("recipe", path, overrides))
    # traces and ladders that it names are there
    QuestionSource(plain.tasks, plain.states, plain.curriculum)
    model = architecture(plain.model)
    columns = {"as it is": _column(plain, model, "")}
    refused = []
    for on in overlays("recipe"):
        try:
            columns[on] = _column(
                Recipe.parse(read_file("recipe", path, overrides, [on])), model, on
            )
        except ConfigError as error:
            refused.append(f"{on}: {error}")
    sections = zip(*columns.values(), strict=True)
    keys = [list(dict.fromkeys(key for part in section for key in part)) for section in sections]
    wide = max(len(key) for section in keys for key in section) + 2
    sizes = ", ".join(f"{part} {short_count(count)}" for part, count in model.parts.items())
    patches, asked = model.positions_of(plain)
    lines = [f"{name}: {model.name}, {short_count(model.parameters)} parameters ({sizes})"]
    lines += [
        f"prompts of about {asked} tokens, {patches // model.merge**2} of them the picture",
        "",
    ]
    lines.append(" " * wide + "".join(f"{on:>18}" for on in columns))
    for number, section in enumerate(keys):
        lines += [
            f"{key:<{wide}}"
            + "".join(f"{one[number].get(key, ''):>18}" for one in columns.values())
            for key in section
        ]
        lines.append("")
    lines += [*refused, ""] if refused else []
    whole, part = (on if on in columns else "" for on in ("1x80gb", "8x80gb"))
    lines += _about(columns)
    for title, text in launch_lines(name, whole, part, model=model):
        lines += [f"# {title}", text]
    return "\n".join(lines) + "\n"


def _column(recipe: Recipe, model: Architecture, on: str) -> tuple[dict[str, str], ...]:
    """A recipe on one kind of hardware: how it is trained, GiB of each phase, the tightest by part,
    whether it fits, hours.
    """
    devices, capacity = hardware(on) if on else (1, 0.0)
    sharded = devices > 1 and recipe.lora is None
    needed = memory(recipe, model, devices, sharded)
    tight = needed.tightest
    compute = recipe.compute
    grpo = recipe.grpo
    training = {
        "training": f"LoRA {recipe.lora.rank}"
        if recipe.lora
        else "full, shared out"
        if sharded
        else "full",
        "weights": compute.weights,
        "optimiser": compute.optimizer,
    }
    if grpo is not None:
        training["answers a step"] = f"{grpo.batch * devices} of {grpo.max_new_tokens}"
        training["micro-batch"] = str(grpo.batch // grpo.accumulate)
        if recipe.cold_start is not None:
            training |= cut_shares(recipe, grpo.max_new_tokens)
    phases = {f"GiB, {phase.stage} {phase.name}": _gib(phase.total) for phase in needed.phases}
    parts = {f"  {part}": _gib(size) for part, size in tight.parts.items() if size >= 0.05 * GIB}
    verdict = (
        {"GiB of a device": _gib(capacity), "fits": "yes" if tight.total <= capacity else "NO"}
        if capacity
        else {}
    )
    if capacity and grpo is not None:
        verdict["longest answers that fit"] = str(longest_answer(recipe, model, devices, capacity))
    verdict |= {
        "GiB of the host": _gib(needed.host),
        "GiB on disk": _gib(sum(needed.disk.values())),
    }
    return (
        training,
        phases,
        {"tightest": f"{tight.stage} {tight.name}", **parts},
        verdict,
        _times(speed_on(recipe, model, on)),
    )


def _times(estimate: Speed | None) -> dict[str, str]:
    """Hours and tokens a second, estimated."""
    if estimate is None:
        return {}
    run = {
        "hours (estimate)": hours_text(estimate.hours),
        "  cold start": hours_text(estimate.cold / 3600) if estimate.cold else "",
    }
    if not estimate.steps:
        return run
    hours = estimate.steps / 3600
    fits = bool(estimate.mode)
    return {
        **run,
        "  generation": hours_text(hours * estimate.generation),
        "  update": hours_text(hours * estimate.update),
        "hours with vLLM (estimate)": f"{hours_text(estimate.vllm_hours)} {estimate.mode}"
        if fits
        else "does not fit",
        "  generation by vLLM": hours_text(hours * estimate.vllm_generation) if fits else "",
        "  update beside it": hours_text(hours * estimate.vllm_update) if fits else "",
        "tokens/s, generation": f"{estimate.answered / estimate.generation:.0f}",
        "tokens/s, by vLLM": f"{estimate.answered / estimate.vllm_generation:.0f}" if fits else "",
        "tokens/s, update": f"{estimate.trained / estimate.update:.0f}",
    }


def _about(columns: Iterable[str]) -> list[str]:
    """What the hours rest on."""
    cards = {card.name: card for on in columns if (card := card_of(on))}
    sheets = "; ".join(
        (f"{card.name} {card.bandwidth / 1e12:g} TB/s, {card.operations / 1e12:g} TFLOP/s")
        for card in cards.values()
    )
    launch = f"{LAUNCH * 1e3:g} ms a layer and token without vLLM"
    lines = [
        "hours: arithmetic, confirmed by no GPU run; evaluation and padding are left out "
        "(formulas: vlmgym/train/plan/speed.py)",
        f"from data sheets: {sheets}",
        f"assumed: {launch}, {READ:.0%} of the bandwidth, {USE:.0%} of the operations, answers of "
        f"{MEAN:.0%} of their limit on",
        "average; without vLLM every batch waits for an answer that reaches the limit",
        "",
    ]
    return lines if cards else []


def _gib(size: float) -> str:
    return f"{size / GIB:.1f}"
