"""Short GRPO and SFT runs on scripted answers, as one process or several (torchrun): what they write
must not depend on that.

usage: [torchrun --nproc_per_node N] scripted_run.py STAGE,STAGE... MODEL OUT
"""

import json
import os
import sys
from collections import Counter
from pathlib import Path
from zlib import crc32

os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from parts.scripted import good, reply, tokens
from parts.tasks import CPU, SWAP, T2048
from vlmgym.episodes.curriculum import Curriculum
from vlmgym.models.loading import end_processes, load
from vlmgym.train import grpo_trainer as trainers
from vlmgym.train.cold_start import cold_start_rows
from vlmgym.train.grpo import run_grpo
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import ColdStart, Recipe
from vlmgym.train.settings import GrpoSettings, SftSettings
from vlmgym.train.sft import run_sft
from vlmgym.train.sources import Source

torch.set_num_threads(1)
STAGES, MODEL, OUT = sys.argv[1].split(","), sys.argv[2], Path(sys.argv[3])
RANK, WORLD = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
END = "</perception>"
asked = []


def scripted(self, prompt_ids, images, *rest, **options):
    """Answers that follow from the question alone: for every third one they are all the same."""
    size = len(prompt_ids) // len(asked[-1])
    texts = []
    for row, question in enumerate(question for question in asked[-1] for _ in range(size)):
        k = row % size
        right = question.serial % 3 != 0 and k == question.serial % size
        text = reply(question, good(question) if right else None, "t" * (k + 1))
        is_second = self._tokenizer.decode(prompt_ids[row][-1:]) == END
        texts.append(text.partition(END)[2] if is_second else text)
    return tokens(self._tokenizer, texts), None


def by_prompt(self, prompt_ids, images, *rest, **options):
    """Answers that follow from what is asked, and how often it is asked in one call."""
    count = Counter()
    texts = []
    for ids, shown in zip(prompt_ids, images, strict=True):
        question = crc32(b"".join([repr(list(ids)).encode(), *(one.tobytes() for one in shown)]))
        action = (question + 3 * count[question]) % 4
        count[question] += 1
        answer = ("0", "1", "2", "3")[action]
        texts.append(f"<perception>x</perception><think>t</think><answer>{answer}</answer>")
    return tokens(self._tokenizer, texts), None


def drawn(self, count):
    share = real_draw(self, count)
    asked.append(share.mine)
    return share


def trained(stage, out):
    """The trainer of a stage, after training."""
    asked.clear()
    trainers.Grpo._generate_single_turn = by_prompt if stage == "episodes" else scripted
    if stage == "sft":
        rows = cold_start_rows([SWAP, T2048], ColdStart(states=12))
        settings = SftSettings(steps=3, batch=8 // WORLD, lr=1e-3, save_every=2)
        return run_sft(*load(MODEL), rows, out, settings, CPU)
    settings = GrpoSettings(
        steps=3,
        batch=24 // WORLD,
        group=3,
        lr=1e-3,
        beta=0.04,
        max_new_tokens=60,
        refill=2,
        save_every=2,
    )
    if stage == "blocks":
        branches = {"descriptions": 2, "continuations": 2}
        settings = settings.override(
            batch=32 // WORLD, group=4, branches=branches, path="closed", credit="nested"
        )
    sources = [Source(), Source("policy_pool", games=6)]
    if stage == "episodes":
        sources = [Source()]
        returns = {"continuations": 2, "fork_tokens": 1200}
        settings = settings.override(
            batch=12 // WORLD, turns=3, credit="fork", returns=returns, max_new_tokens=1500
        )
    states = QuestionSource(
        (SWAP, T2048),
        sources,
        {"Swap": Curriculum(rungs=("tiny", "tiny:noise=0.1"), step=0.3, target=0.1)},
    )
    recipe = Recipe("tiny", (SWAP, T2048), grpo=settings, compute=CPU)
    return run_grpo(recipe, *load(MODEL), out, states=states)


def write(stage, trainer, out):
    """What a run must not depend on the number of processes in."""
    if stage != "sft":
        serials = [[question.serial for question in batch] for batch in asked]
        (out / f"asked-{RANK}.json").write_text(json.dumps(serials))
    if RANK:
        return
    model = trainer.accelerator.unwrap_model(trainer.model)
    weights = {name: p.detach() for name, p in model.named_parameters()}
    torch.save(weights, out / "weights.pt")
    (out / "log.json").write_text(json.dumps(trainer.state.log_history))
    if stage != "sft":
        (out / "end.json").write_text(json.dumps(trainer.states.state_dict()))


real_draw = trainers.Grpo._draw
trainers.Grpo._draw = drawn
for stage in STAGES:
    write(stage, trained(stage, OUT / stage), OUT / stage)
end_processes()
