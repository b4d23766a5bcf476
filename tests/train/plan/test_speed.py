"""Hours of a run: the arithmetic by hand, finite for all recipes on all hardware."""

import re
from dataclasses import replace

import numpy as np
import pytest

from parts.recipes import NAMES, OURS, bundled
from vlmgym.train.plan import requirements
from vlmgym.train.plan.hardware import card_of, hardware
from vlmgym.train.plan.launch import launch_lines
from vlmgym.train.plan.memory import GIB, memory
from vlmgym.train.plan.requirements import report
from vlmgym.train.plan.speed import (
    ADAPT,
    CARDS,
    LAUNCH,
    MEAN,
    READ,
    SCHEDULE,
    SEE,
    USE,
    USE_ADAPTED,
    VLLM_SHARE,
    speed,
)
from vlmgym.train.plan.taught import longest_board

SEVEN = "Qwen/Qwen2.5-VL-7B-Instruct"


def test_hours_by_hand(sized):
    """Qwen2.5-VL-7B with adapters on an H100: 400 steps of 640 answers, 40 together, of at most
    4,096 tokens.
    """
    recipe, model = bundled("qwen2.5-vl-7b/g0-all", ["1x80gb"]), sized[SEVEN]
    _, room = hardware("1x80gb")
    one = speed(recipe, model, CARDS[80], 1, room)
    patches, asked = model.positions_of(recipe)
    weights, tower = model.parts["language model"] + 152064 * 3584, model.parts["vision tower"]
    bandwidth, rate, cached = READ * 3.35e12, USE * 989e12, 2 * 28 * 4 * 128
    adapted, seeing = USE_ADAPTED * 989e12, SEE * 989e12
    mean = MEAN * 4096
    read = 2 * 640 * (asked * weights / rate + patches * tower / seeing)
    token = max(
        28 * (LAUNCH + ADAPT), (2 * weights + 3 * 2 * cached * 40 * (asked + 2048)) / bandwidth
    )
    assert one.generation == pytest.approx(16 * 4096 * token + read)
    text, eyes = 640 * (asked + mean) * weights, 640 * patches * tower
    # adapters: forward 2, backward 2, again 2; the reference 2; the frozen tower is passed once for
    # each model
    assert one.update == pytest.approx(text * (6 / adapted + 2 / rate) + eyes * 4 / seeing)
    running = int((VLLM_SHARE * room - 2 * model.parameters) / (2 * cached) / (asked + mean))
    token = SCHEDULE + max(
        (2 * weights + 2 * cached * running * (asked + mean / 2)) / bandwidth,
        2 * weights * running / rate,
    )
    assert one.vllm_generation == pytest.approx(max(640 * mean / running, 4096) * token + read)
    update = text * (6 / adapted + 4 / rate) + eyes * 6 / seeing
    assert one.vllm_update == pytest.approx(update), (
        "and the log-probabilities that vLLM does not tell"
    )
    assert one.cold == 0
    assert one.hours == pytest.approx(400 * (one.generation + one.update) / 3600)
    assert one.vllm_hours == pytest.approx(400 * (one.vllm_generation + one.vllm_update) / 3600)
    assert one.answered / one.generation == pytest.approx(640 * mean / one.generation)
    full = speed(
        bundled("qwen2.5-vl-7b/g1-all", ["1x141gb"]), model, CARDS[141], 1, hardware("1x141gb")[1]
    )
    length = asked + MEAN * longest_board(recipe)
    row = (length * weights / rate + patches * tower / seeing) * 8
    assert full.cold == pytest.approx(4000 * row), "full training, checkpointing"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("qwen", "paper/"))])
def test_all_recipes_have_finite_hours_on_all_hardware(name, sized):
    for on in OURS:
        recipe = bundled(name, [on])
        one = speed(recipe, sized[recipe.model], card_of(on), *hardware(on))
        numbers = [one.hours, one.generation, one.update, one.answered, one.trained]
        numbers += [one.vllm_hours, one.vllm_generation, one.vllm_update] if one.mode else []
        assert all(0 < number < 1e8 for number in numbers), (on, one)
        assert np.isnan(one.vllm_hours) == (not one.mode)
        assert not one.mode or one.vllm_hours < one.hours


def test_longer_answers_and_more_steps_take_longer(sized):
    def hours(*overrides):
        return speed(
            bundled("qwen2.5-vl-7b/g1-all", ["1x80gb"], overrides),
            sized[SEVEN],
            CARDS[80],
            1,
            hardware("1x80gb")[1],
        )

    usual = hours()
    assert hours("grpo.max_new_tokens=1024").hours < usual.hours
    assert hours("grpo.steps=800").generation == usual.generation
    assert hours("grpo.generate_batch=20").generation > usual.generation
    assert hours("grpo.beta=0").update < usual.update < hours("grpo.epochs_per_batch=2").update
    only = hours("grpo=null")
    assert (only.steps, only.generation, only.hours) == (0, 0, usual.cold / 3600)
    assert not only.wants_vllm


def test_vllm_is_the_first_line_where_generating_without_takes_most_of_the_time(sized):
    model = sized[SEVEN]
    first, second, *rest = launch_lines("qwen2.5-vl-7b/g1-all", "1x80gb", "8x80gb", model=model)
    assert first[1].endswith("--on 1x80gb --set grpo.use_vllm=true --set grpo.vllm_mode=colocate")
    assert re.search(
        r"vLLM generates \(without it \d\d% of the time, \d+ hours instead of \d+; " r"estimated\)",
        first[0],
    )
    assert "vllm" not in second[1]
    programs = [text for _, text in rest]
    served = next(n for n, text in enumerate(programs) if "vllm serve" in text)
    alone = next(n for n, text in enumerate(programs) if "num_processes 8" in text)
    assert served < alone
    for on, known in (
        ("1x24gb", model),
        ("1x141gb", model),
        ("8x80gb", model),
        ("1x80gb", None),
        ("", model),
    ):
        assert "use_vllm" not in launch_lines("qwen2.5-vl-7b/g1-all", on, model=known)[0][1], on


def test_a_plan_prints_hours_and_what_they_rest_on(sized, monkeypatch):
    monkeypatch.setattr(requirements, "architecture", sized.get)
    lines = report("qwen2.5-vl-7b/g1-swap").splitlines()
    for row in (
        "hours (estimate)  ",
        "  generation   ",
        "  update   ",
        "tokens/s, generation  ",
        "tokens/s, update  ",
    ):
        (line,) = (line for line in lines if line.startswith(row))
        numbers = [float(word) for word in line[len(row) :].split()]
        assert len(numbers) == len(OURS)
        assert min(numbers) > 0
    (cut,) = (line for line in lines if line.startswith("taught answers cut, Swap"))
    assert cut.split()[4:] == ["none", "<=", "3.7%", "<=", "35.2%", "none", "none"], (
        "as it is, 141, 24, 80, 8 x 80 GB"
    )
    text = "\n".join(lines)
    for part in (
        "measured on one H100",
        "from data sheets: H200 SXM 4.8 TB/s",
        "1 ms a layer and token without vLLM, 0.7 more with adapters",
        "does not fit",
    ):
        assert part in text


def test_a_plan_of_the_embedded_model_tells_no_hours_of_cards():
    text = report("tiny/g1")
    assert "hours" not in text
    assert "nan" not in text
    assert "vllm" not in text


def test_the_measured_step_is_near_the_plan_of_it(sized):
    """One H100, 80 answers of 300 tokens to prompts of 989, LoRA in bfloat16 (docs/performance.md):
    generation 300 x 0.0521 + 6.4 seconds, update 8 x (3.74 + 0.72); 41.2 and 26.6 GiB.
    """
    changes = (
        "compute.weights=bfloat16",
        "grpo.batch=80",
        "grpo.group=5",
        "grpo.accumulate=8",
        "grpo.generate_batch=80",
        "grpo.max_new_tokens=300",
    )
    recipe = bundled("qwen2.5-vl-7b/g0-swap", ["1x80gb"], changes)
    model = replace(sized[SEVEN])
    object.__setattr__(model, "positions_of", lambda _: (1024, 989))
    planned = speed(recipe, model, CARDS[80], 1, hardware("1x80gb")[1], mean=1.0)
    assert planned.generation == pytest.approx(300 * 0.0521 + 6.4, rel=0.15)
    assert planned.update == pytest.approx(8 * (3.74 + 0.72), rel=0.15)
    allocated = {}
    for phase in memory(recipe, model).phases:
        parts = dict(phase.parts)
        allocated[phase.name] = phase.total - parts["fragments"] - parts["CUDA"]
    states = 8.0 * recipe.lora.rank * model.adapted  # not there when generation was measured
    assert (allocated["generation"] - states) / GIB == pytest.approx(41.2, rel=0.03)
    assert allocated["update"] / GIB == pytest.approx(26.6, rel=0.03)
