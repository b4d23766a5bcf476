"""Tokens of images and padding are never sampled."""

import numpy as np
import torch

from parts.tasks import CPU
from parts.training import TASKS
from vlmgym.episodes.task import Task
from vlmgym.models.loading import banned_tokens, load
from vlmgym.players.local import LocalPlayer
from vlmgym.train import grpo
from vlmgym.train.recipe import Recipe


def test_image_and_padding_tokens_are_never_sampled(small):
    model, processor = load(str(small))
    ids = banned_tokens(model, processor)
    tokenizer = processor.tokenizer
    assert set(ids) == {tokenizer.convert_tokens_to_ids("<|image_pad|>"), tokenizer.pad_token_id}
    original = model.lm_head.forward
    # they would always win
    model.lm_head.forward = lambda x: original(x) + 1e4 * torch.eye(len(tokenizer))[ids].sum(0)
    task = Task.parse(TASKS[0])
    game = task.game
    for temperature in (0.0, 1.0):
        options = {
            "name": "x",
            "look": "tiny",
            "style": "brief",
            "max_new_tokens": 6,
            "temperature": temperature,
        }
        state = task.states("test", 3)
        kept = []
        generate = model.generate
        model.generate = lambda *a, generate=generate, kept=kept, **k: (
            kept.append(generate(*a, **k)) or kept[-1]
        )
        LocalPlayer(model, processor, banned=ids, **options).reply(game, state)
        LocalPlayer(model, processor, **options).reply(game, state)
        model.generate = generate
        prompt = kept[0].shape[1] - 6
        assert not np.isin(kept[0][:, prompt:].numpy(), ids).any()
        assert np.isin(kept[1][:, prompt:].numpy(), ids).any(), (
            "without the ban they are: the test can fail"
        )


def test_all_picture_tokens_of_qwen_are_banned(qwen):
    model, processor = load(str(qwen))
    names = [
        "<|endoftext|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    ]
    assert banned_tokens(model, processor) == sorted(
        processor.tokenizer.convert_tokens_to_ids(names)
    )


def test_grpo_suppresses_the_same_tokens(small, tmp_path):
    model, processor = load(str(small))
    ids = banned_tokens(model, processor)
    original, generate, kept = model.lm_head.forward, model.generate, []
    # as above
    model.lm_head.forward = lambda x: (
        original(x) + 1e4 * torch.eye(len(processor.tokenizer))[ids].sum(0)
    )
    model.generate = lambda *a, **k: kept.append(generate(*a, **k)) or kept[-1]
    settings = grpo.GrpoSettings(steps=1, batch=4, group=2, beta=0.0, lr=0.0, max_new_tokens=6)
    compute = CPU
    grpo.run_grpo(
        Recipe("tiny", (Task.parse(TASKS[0]),), grpo=settings, compute=compute),
        model,
        processor,
        tmp_path,
    )
    assert len(kept) == 2, "once more, since all answers were worth the same"
    assert not np.isin(kept[0][:, -6:].numpy(), ids).any()
    plain = grpo.GrpoSettings(batch=10)
    assert grpo._never_sampled(plain, [3, 5]) == {"suppress_tokens": [3, 5]}
    assert grpo._never_sampled(plain.override(use_vllm=True), [3]) == {"logit_bias": {3: -100.0}}
