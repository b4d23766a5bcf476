"""How long a run takes, by arithmetic: an estimate from data sheets, measurements on one GPU, and
assumptions.

A step of GRPO is generation and update, one after the other. With ``limit`` =
``grpo.max_new_tokens``, answers of ``mean`` = :data:`MEAN` x ``limit`` tokens, prompts of ``asked``
tokens, ``weights`` = parameters of the language model and its head, all for one device::

    generation             = batch / generate_batch x limit x token            every batch waits for
    its longest answer
      token                = max((LAUNCH + ADAPT) x layers, (bytes of weights + cache) / (READ x
      bandwidth), bytes gathered / link)                                       ADAPT with LoRA only
    generation with vLLM   = max(batch x mean / running, limit) x token        an answer that is
    done makes room for the next
      token                = SCHEDULE + max((bytes of weights + cache) / (READ x bandwidth), 2 x
      weights x running / rate)
    update                 = batch x (asked + mean) x weights x passes / rate  the same for the
    vision tower and its patches, at SEE x operations
      rate                 = USE x operations; of the passes that learn USE_ADAPTED x operations
      with LoRA

and reading the prompts, 2 operations a weight and token, on top of both generations. ``passes`` are
operations a weight and
token: 2 forward, 4 backward (2 where the weights do not learn), 2 again with gradient
checkpointing, 2 for a reference, 2 for the log-probabilities of the policy that answered (Kaplan et
al. 2020, section 2.1; attention itself is left out). Left out as
well: evaluation, padding, drawing and judging, the optimiser's step, sending weights to vLLM, what
comes back by ``refill``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from vlmgym.train.plan.architecture import Architecture
from vlmgym.train.plan.memory import memory, sizes_of
from vlmgym.train.plan.taught import longest_board
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings

# ---- measured on one H100 SXM with Qwen2.5-VL-7B's architecture, bfloat16, attention `sdpa`,
# Transformers 5.23 (docs/performance.md, "A step on a GPU")
LAUNCH = 1e-3
"""Seconds that eager PyTorch needs to start a layer's kernels for one token, at least (27.8 ms for
28 layers).
"""
ADAPT = 0.7e-3
"""Seconds more with adapters of LoRA that are not merged (19.5 ms for 28 layers)."""
USE = 0.38
"""Share of the matrix units' operations that a forward pass of the language model reaches."""
USE_ADAPTED = 0.145
"""The same of a forward and backward pass through adapters in float32, layers computed again."""
SEE = 0.047
"""The same of a vision tower whose attention is in windows, one after the other."""
# ---- assumptions
SCHEDULE = 2e-3
"""Seconds of a token that vLLM spends between passes, with CUDA graphs (assumed)."""
READ = 0.6
"""Share of the memory's bandwidth that generation reaches (assumed)."""
MEAN = 0.3
"""Mean length of an answer over the limit: that of the teacher's 1,000 answers on Swap, 981 over
the longest of 3,244 tokens (measured, with Qwen's vocabulary). How long a policy's answers become
is not known before a run.
"""
VLLM_SHARE = 0.3
"""Share of a device's memory that vLLM takes beside the training (TRL's default)."""
VLLM_SERVER = 0.9
"""Share of a device's memory that vLLM takes alone (vLLM's own default)."""
VLLM_RUNNING = 256
"""Answers that vLLM has under way at once, at most (its ``max_num_seqs``)."""


@dataclass(frozen=True)
class Card:
    """What a device can do, as its maker says."""

    name: str
    bandwidth: float  # bytes a second from its memory
    operations: float  # bfloat16 operations a second, dense, summed up in float32
    link: float  # bytes a second to other devices, one way
    source: str


CARDS: Mapping[int, Card] = MappingProxyType(
    {
        24: Card(
            "RTX 4090", 1.008e12, 165e12, 32e9, "NVIDIA Ada architecture whitepaper; PCIe 4.0 x16"
        ),
        80: Card(
            "H100 SXM", 3.35e12, 989e12, 450e9, "NVIDIA H100 data sheet, without sparsity; NVLink 4"
        ),
        141: Card(
            "H200 SXM", 4.8e12, 989e12, 450e9, "NVIDIA H200 data sheet, without sparsity; NVLink 4"
        ),
    }
)
"""The card that a number of GB in an overlay's name stands for."""


@dataclass(frozen=True)
class Speed:
    """Seconds of one step and of the cold start, and tokens a second, of all devices together."""

    steps: int  # of GRPO
    cold: float  # seconds of the cold start
    generation: float  # seconds of a step
    update: float  # seconds of a step
    answered: float  # tokens of the answers of a step
    trained: float  # tokens of prompts and answers of a step
    # TRL's vllm_mode where vLLM fits: "colocate" (beside the training), "server" (half of the
    # devices)
    mode: str = ""
    vllm_generation: float = math.nan
    vllm_update: float = math.nan

    @property
    def hours(self) -> float:
        """Of the whole run without vLLM."""
        return (self.cold + self.steps * (self.generation + self.update)) / 3600

    @property
    def vllm_hours(self) -> float:
        """Of the whole run with vLLM; NaN where it does not fit."""
        return (self.cold + self.steps * (self.vllm_generation + self.vllm_update)) / 3600

    @property
    def generating(self) -> float:
        """Share of the whole run without vLLM that generates."""
        return self.steps * self.generation / 3600 / self.hours

    @property
    def wants_vllm(self) -> bool:
        """Whether vLLM fits, is faster, and generating without it would take most of the time."""
        return bool(self.mode) and self.generating > 0.5 and self.vllm_hours < self.hours


def speed(
    recipe: Recipe,
    model: Architecture,
    card: Card,
    devices: int,
    capacity: float,
    mean: float = MEAN,
) -> Speed:
    """The arithmetic of a recipe on a kind of hardware.

    Args:
        recipe: what is run.
        model: its sizes.
        card: what each device can do.
        devices: processes of the run, one a device; without LoRA the model is shared out over
            several.
        capacity: bytes of a device.
        mean: mean length of an answer over the limit.
    """
    arithmetic = _Arithmetic(recipe, model, card, devices, mean)
    grpo = recipe.grpo
    cold_start = arithmetic.cold_start() if recipe.cold_start is not None else 0.0
    if grpo is None:
        return Speed(0, cold_start, 0.0, 0.0, 0.0, 0.0)
    answers = grpo.batch * devices
    estimate = Speed(
        grpo.steps,
        cold_start,
        arithmetic.generation(),
        arithmetic.update(),
        answers * arithmetic.mean,
        answers * grpo.epochs_per_batch * arithmetic.length,
    )
    if arithmetic.sharded:
        return _with_server(estimate, arithmetic, grpo, capacity)
    return _with_colocated(estimate, arithmetic, grpo, capacity)


def _with_server(
    estimate: Speed, arithmetic: _Arithmetic, grpo: GrpoSettings, capacity: float
) -> Speed:
    """An estimate with vLLM on half of the devices, where that fits.

    The other half trains, on twice as many answers each.
    """
    half = arithmetic.devices // 2
    if not half:
        return estimate
    answers = grpo.batch * arithmetic.devices
    running = arithmetic.running(half * VLLM_SERVER * capacity, answers)
    training = replace(
        arithmetic.recipe,
        grpo=replace(grpo, batch=2 * grpo.batch, accumulate=2 * grpo.accumulate, use_vllm=True),
    )
    needed = memory(training, arithmetic.model, half, half > 1).tightest.total
    if not running or needed > capacity:
        return estimate
    half_trains = arithmetic.of(training, half)
    return replace(
        estimate,
        mode="server",
        vllm_generation=arithmetic.served(answers, running, half),
        vllm_update=half_trains.update(),
    )


def _with_colocated(
    estimate: Speed, arithmetic: _Arithmetic, grpo: GrpoSettings, capacity: float
) -> Speed:
    """An estimate with vLLM beside the training on every device, where that fits."""
    devices = arithmetic.devices
    running = arithmetic.running(VLLM_SHARE * capacity, grpo.batch)
    training = replace(arithmetic.recipe, grpo=replace(grpo, use_vllm=True, vllm_mode="colocate"))
    needed = memory(training, arithmetic.model, devices).tightest.total + VLLM_SHARE * capacity
    if not running or needed > capacity:
        return estimate
    beside = arithmetic.of(training, devices)
    return replace(
        estimate,
        mode="colocate",
        vllm_generation=arithmetic.served(grpo.batch, running, 1),
        vllm_update=beside.update(),
    )


class _Arithmetic:
    """A recipe on a kind of hardware: the formulas at the top of this file."""

    def __init__(
        self, recipe: Recipe, model: Architecture, card: Card, devices: int, mean: float
    ) -> None:
        self.recipe = recipe
        self.model = model
        self.card = card
        self.devices = devices
        self.sharded = devices > 1 and recipe.lora is None
        # bytes of a weight as it is stored, in matrix products, and between layers
        self.stored, self.compute, self.stream = sizes_of(recipe, devices if self.sharded else 1)
        self.bandwidth = READ * card.bandwidth
        operations = card.operations * 2 / self.compute  # half as many in float32
        self.rate = USE * operations
        self.learning_rate = (USE_ADAPTED if recipe.lora else USE) * operations
        self.seeing_rate = SEE * operations
        self.weights = model.parts["language model"] + model.vocabulary * model.text.hidden
        self.patches, self.asked = model.positions_of(recipe)
        self.limit = recipe.grpo.max_new_tokens if recipe.grpo else 0
        self.share = mean
        self.mean = mean * self.limit
        self.length = self.asked + self.mean
        text = model.text
        # in the cache, for one token
        self.numbers = 2 * text.layers * text.kv_heads * text.head_dim

    def of(self, recipe: Recipe, devices: int) -> _Arithmetic:
        """The same of another recipe, or on other devices of the kind."""
        return _Arithmetic(recipe, self.model, self.card, devices, self.share)

    def reading(self, answers: float) -> float:
        """Seconds in which prompts are read, pictures included."""
        text = self.asked * self.weights / self.rate
        tower = self.patches * self.model.parts["vision tower"] / self.seeing_rate
        return 2.0 * answers * (text + tower)

    def generation(self) -> float:
        """Seconds of a step's answers by Transformers."""
        grpo = self.recipe.grpo
        assert grpo is not None
        together = min(grpo.generate_batch or grpo.batch, grpo.batch)
        batches = math.ceil(grpo.batch / together)
        return batches * self.limit * self._token(together) + self.reading(grpo.rows)

    def _token(self, together: int) -> float:
        """Seconds in which Transformers writes a token of so many answers together."""
        # read, cast, and read again
        bytes_of_weight = self.stored + (2 * self.compute if self.compute < self.stored else 0)
        # read, and copied as it grows
        cache = 3 * self.stream * self.numbers * together * (self.asked + self.limit / 2)
        of_layer = LAUNCH + (ADAPT if self.recipe.lora else 0.0)
        launching = of_layer * self.model.text.layers
        moving = (bytes_of_weight * self.weights + cache) / self.bandwidth
        if not self.sharded:
            return max(launching, moving)
        from_others = 1 - 1 / self.devices
        gathering = self.compute * self.weights * from_others / self.card.link
        return max(launching, moving, gathering)

    def running(self, capacity: float, answers: int) -> int:
        """Answers that vLLM has under way with so many bytes for weights (bfloat16) and cache; 0
        where not one fits.
        """
        tokens = (capacity - 2.0 * self.model.parameters) / (2.0 * self.numbers)
        if tokens < self.asked + self.limit:
            return 0
        return min(answers, VLLM_RUNNING, int(tokens / self.length))

    def served(self, answers: int, running: int, devices: int) -> float:
        """Seconds of so many answers by vLLM on so many devices together."""
        cache = 2.0 * self.numbers * running * (self.asked + self.mean / 2)
        moving = (2.0 * self.weights + cache) / (self.bandwidth * devices)
        computing = 2.0 * self.weights * running / (self.rate * devices)
        token = SCHEDULE + max(moving, computing)
        tokens = max(answers * self.mean / running, self.limit)
        return tokens * token + self.reading(answers) / devices

    def training(self, tokens: float, patches: float, other_passes: int) -> float:
        """Seconds of training on so many tokens and patches, on one device.

        Args:
            tokens: of prompts and answers.
            patches: of pictures.
            other_passes: operations a weight of the passes that do not learn.
        """
        recomputing = 2 if self.recipe.compute.gradient_checkpointing else 0
        full = self.recipe.lora is None
        learning = ((6 if full else 4) + recomputing) / self.learning_rate
        text = tokens * self.weights * (learning + other_passes / self.rate)
        tower_learns = full and self.recipe.compute.train_vision
        of_tower = (6 + recomputing if tower_learns else 2) + other_passes
        tower = patches * self.model.parts["vision tower"] * of_tower
        return text + tower / self.seeing_rate

    def update(self) -> float:
        """Seconds in which a step trains."""
        grpo = self.recipe.grpo
        assert grpo is not None
        reference = 2 if grpo.beta else 0
        old_policy = 2 if grpo.use_vllm or grpo.epochs_per_batch > 1 else 0
        # of answers in blocks, each block is a row; that of a description is shorter
        rows = grpo.rows * grpo.epochs_per_batch
        tokens = rows * self.length
        patches = rows * self.patches * grpo.turns
        return self.training(tokens, patches, reference + old_policy)

    def cold_start(self) -> float:
        """Seconds of the supervised rows."""
        cold = self.recipe.cold_start
        sft = self.recipe.sft
        assert cold is not None
        rows = cold.states * len(self.recipe.tasks) * sft.epochs
        if sft.steps:
            rows = sft.steps * sft.batch * sft.accumulate * self.devices
        length = self.asked + self.share * longest_board(self.recipe)
        return self.training(rows * length, rows * self.patches, 0) / self.devices
