"""What a recipe needs on each kind of hardware, as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from vlmgym.core import ConfigError
from vlmgym.core.config import find, overlays, read_file
from vlmgym.train.plan.architecture import Architecture, architecture, short_count
from vlmgym.train.plan.hardware import card_of, hardware, hours_text, speed_on
from vlmgym.train.plan.launch import launch_lines
from vlmgym.train.plan.memory import GIB, longest_answer, memory
from vlmgym.train.plan.speed import ADAPT, LAUNCH, MEAN, READ, USE, USE_ADAPTED, Speed
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
    recipe = Recipe.parse(read_file("recipe", path, overrides))
    # traces and ladders that it names are there
    QuestionSource(recipe.tasks, recipe.states, recipe.curriculum)
    model = architecture(recipe.model)
    columns = {"as it is": _column(recipe, model, "")}
    refused = []
    # overlays are for models of billions of weights, not for the embedded one
    for overlay in overlays("recipe") if recipe.model != "tiny" else ():
        try:
            adapted = Recipe.parse(read_file("recipe", path, overrides, [overlay]))
            columns[overlay] = _column(adapted, model, overlay)
        except ConfigError as error:
            refused.append(f"{overlay}: {error}")
    lines = [*_head(name, recipe, model), *_table(columns)]
    lines += [*refused, ""] if refused else []
    lines += _assumptions(columns)
    one_device = "1x80gb" if "1x80gb" in columns else ""
    several_devices = "8x80gb" if "8x80gb" in columns else ""
    for title, text in launch_lines(name, one_device, several_devices, model=model):
        lines += [f"# {title}", text]
    return "\n".join(lines) + "\n"


def _head(name: str, recipe: Recipe, model: Architecture) -> list[str]:
    """The sizes of the model and of the prompts."""
    sizes = ", ".join(f"{part} {short_count(count)}" for part, count in model.parts.items())
    patches, tokens = model.positions_of(recipe)
    return [
        f"{name}: {model.name}, {short_count(model.parameters)} parameters ({sizes})",
        f"prompts of about {tokens} tokens, {patches // model.merge**2} of them the picture",
        "",
    ]


Column = tuple[dict[str, str], ...]
"""The sections of a column: texts by the name of their row."""


def _table(columns: Mapping[str, Column]) -> list[str]:
    """A line for each row of each section, a blank one after each section."""
    rows_of_sections = []
    for sections in zip(*columns.values(), strict=True):
        rows_of_sections.append(list(dict.fromkeys(chain.from_iterable(sections))))
    width = max(len(row) for row in chain.from_iterable(rows_of_sections)) + 2
    lines = [" " * width + "".join(f"{title:>18}" for title in columns)]
    for number, rows in enumerate(rows_of_sections):
        for row in rows:
            texts = [column[number].get(row, "") for column in columns.values()]
            lines.append(f"{row:<{width}}" + "".join(f"{text:>18}" for text in texts))
        lines.append("")
    return lines


def _column(recipe: Recipe, model: Architecture, overlay: str) -> Column:
    """A recipe on one kind of hardware: how it is trained, GiB of each phase, the tightest by part,
    whether it fits, hours.
    """
    devices, capacity = hardware(overlay) if overlay else (1, 0.0)
    needed = memory(recipe, model, devices, devices > 1 and recipe.lora is None)
    tightest = needed.tightest
    phases = {f"GiB, {phase.stage} {phase.name}": _gib(phase.total) for phase in needed.phases}
    parts = {"tightest": f"{tightest.stage} {tightest.name}"}
    for part, size in tightest.parts.items():
        if size >= 0.05 * GIB:
            parts[f"  {part}"] = _gib(size)
    verdict: dict[str, str] = {}
    if capacity:
        fits = tightest.total <= capacity
        verdict |= {"GiB of a device": _gib(capacity), "fits": "yes" if fits else "NO"}
    if capacity and recipe.grpo is not None:
        longest = longest_answer(recipe, model, devices, capacity)
        verdict["longest answers that fit"] = str(longest)
    verdict |= {
        "GiB of the host": _gib(needed.host),
        "GiB on disk": _gib(sum(needed.disk.values())),
    }
    times = _times(speed_on(recipe, model, overlay))
    return _training(recipe, devices), phases, parts, verdict, times


def _training(recipe: Recipe, devices: int) -> dict[str, str]:
    """How a recipe is trained."""
    full = "full, shared out" if devices > 1 else "full"
    rows = {
        "training": f"LoRA {recipe.lora.rank}" if recipe.lora else full,
        "weights": recipe.compute.weights,
        "optimiser": recipe.compute.optimizer,
    }
    grpo = recipe.grpo
    if grpo is not None:
        rows["answers a step"] = f"{grpo.batch * devices} of {grpo.max_new_tokens}"
        rows["micro-batch"] = str(grpo.rows // grpo.accumulate)
        if recipe.cold_start is not None:
            rows |= cut_shares(recipe, grpo.max_new_tokens)
    return rows


def _times(estimate: Speed | None) -> dict[str, str]:
    """Hours and tokens a second, estimated."""
    if estimate is None:
        return {}
    rows = {
        "hours (estimate)": hours_text(estimate.hours),
        "  cold start": hours_text(estimate.cold / 3600) if estimate.cold else "",
    }
    if not estimate.steps:
        return rows
    hours = estimate.steps / 3600
    tokens = estimate.answered
    hours_with_vllm = "does not fit"
    generation_by_vllm = update_beside_vllm = tokens_by_vllm = ""
    if estimate.mode:
        hours_with_vllm = f"{hours_text(estimate.vllm_hours)} {estimate.mode}"
        generation_by_vllm = hours_text(hours * estimate.vllm_generation)
        update_beside_vllm = hours_text(hours * estimate.vllm_update)
        tokens_by_vllm = f"{tokens / estimate.vllm_generation:.0f}"
    return {
        **rows,
        "  generation": hours_text(hours * estimate.generation),
        "  update": hours_text(hours * estimate.update),
        "hours with vLLM (estimate)": hours_with_vllm,
        "  generation by vLLM": generation_by_vllm,
        "  update beside it": update_beside_vllm,
        "tokens/s, generation": f"{tokens / estimate.generation:.0f}",
        "tokens/s, by vLLM": tokens_by_vllm,
        "tokens/s, update": f"{estimate.trained / estimate.update:.0f}",
    }


def _assumptions(overlays: Iterable[str]) -> list[str]:
    """What the hours rest on."""
    cards = {card.name: card for overlay in overlays if (card := card_of(overlay))}
    if not cards:
        return []
    sheets = "; ".join(
        f"{card.name} {card.bandwidth / 1e12:g} TB/s, {card.operations / 1e12:g} TFLOP/s"
        for card in cards.values()
    )
    return [
        "hours: arithmetic; evaluation and padding are left out (formulas: "
        "vlmgym/train/plan/speed.py)",
        f"from data sheets: {sheets}",
        f"measured on one H100 with Qwen2.5-VL-7B: {LAUNCH * 1e3:g} ms a layer and token without "
        f"vLLM, {ADAPT * 1e3:g} more with adapters,",
        f"{USE:.0%} of the operations, {USE_ADAPTED:.0%} where adapters learn",
        f"assumed: {READ:.0%} of the bandwidth, answers of {MEAN:.0%} of their limit on",
        "average; without vLLM every batch waits for an answer that reaches the limit",
        "",
    ]


def _gib(size: float) -> str:
    return f"{size / GIB:.1f}"
