"""Generation with vLLM, through TRL, on a stand-in for its backend: what is handed to it, and what
becomes of its answers.
"""

from typing import ClassVar

import pytest
from trl.trainer import grpo_trainer

from parts.scripted import tokens
from parts.tasks import CPU, WIDE_2048
from vlmgym.core import MissingExtra
from vlmgym.episodes.task import Task
from vlmgym.models.loading import banned_tokens, load
from vlmgym.train import grpo
from vlmgym.train.grpo import run_grpo
from vlmgym.train.recipe import Recipe
from vlmgym.train.settings import GrpoSettings
from vlmgym.train.trl_grpo import collapse


class Backend:
    """TRL's VLLMGeneration, so far as the trainer sees it."""

    made: ClassVar[list] = []

    def __init__(
        self,
        *,
        model,
        mode,
        generation_kwargs,
        processing_class,
        temperature,
        max_completion_length,
        **options,
    ):
        self.mode, self.kwargs, self.tokenizer = mode, generation_kwargs, processing_class.tokenizer
        self.temperature, self.limit = temperature, max_completion_length
        self.calls, self.synced = [], 0
        self.vllm_client = self
        Backend.made.append(self)

    def get_server_info(self):
        return {"model_config": {"logprobs_mode": "processed_logprobs"}}

    def sync_weights(self):
        self.synced += 1

    def generate(self, prompts, images, num_generations, profiler):
        self.calls.append((prompts, images, num_generations))
        texts = [
            f"<perception>x</perception><think>t</think><answer>{k % 4}</answer>"
            for k in range(len(prompts))
        ]
        ids = tokens(self.tokenizer, texts)
        return prompts, ids, [[[-1.0]] * len(one) for one in ids], None


@pytest.fixture
def backend(monkeypatch):
    Backend.made = []
    monkeypatch.setattr(grpo_trainer, "VLLMGeneration", Backend)
    monkeypatch.setattr(grpo, "need", lambda extra, *packages: None)
    return lambda: Backend.made[0]


@pytest.mark.parametrize("mode", ["colocate", "server"])
def test_pictures_reach_vllm_once_and_its_answers_are_judged(mode, qwen, tmp_path, backend):
    settings = GrpoSettings(
        steps=2,
        batch=8,
        group=4,
        max_new_tokens=60,
        beta=0.0,
        lr=1e-3,
        use_vllm=True,
        vllm_mode=mode,
        vllm_url="http://gpu:8000",
    )
    model, processor = load(str(qwen))
    trainer = run_grpo(
        Recipe(
            "tiny",
            (Task.parse(WIDE_2048),),
            grpo=settings,
            compute=CPU,
        ),
        model,
        processor,
        tmp_path,
    )
    image = processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
    tokens = (112 // 28) ** 2
    assert backend().mode == mode
    for prompts, images, group in backend().calls:
        assert group == 4
        for ids, shown in zip(prompts, images, strict=True):
            assert [picture.size for picture in shown] == [(112, 112)]
            assert ids.count(image) == (1 if mode == "colocate" else tokens), (
                "vLLM expands it itself; a server gets features"
            )
    assert backend().kwargs == {
        "logit_bias": dict.fromkeys(banned_tokens(model, processor), -100.0)
    }
    assert backend().synced == 2, "once a step, however many rounds it takes"
    log = trainer.state.log_history[0]
    assert log["rewards/format/mean"] == 1
    assert log["sampling/sampling_logp_difference/mean"] > 0, (
        "vLLM's own log-probabilities are compared"
    )
    assert trainer.args.vllm_importance_sampling_mode == "token_truncate"


@pytest.mark.parametrize("path", ["open", "closed"])
def test_blocks_are_cut_from_what_vllm_gives_and_go_on_from_there(path, qwen, tmp_path, backend):
    settings = GrpoSettings(
        steps=1,
        batch=8,
        group=4,
        branches={"descriptions": 2, "continuations": 2},
        path=path,
        max_new_tokens=90,
        refill=0,
        use_vllm=True,
        vllm_mode="colocate",
    )
    model, processor = load(str(qwen))
    recipe = Recipe("tiny", (Task.parse(WIDE_2048),), grpo=settings, compute=CPU)
    trainer = run_grpo(recipe, model, processor, tmp_path)
    first, second = backend().calls
    assert (len(first[0]), len(second[0])) == (4, 8)
    description = processor.tokenizer.encode("<perception>x</perception>", add_special_tokens=False)
    for ids, (picture,), of_group in zip(*second[:2], [second[2]] * 8, strict=True):
        said = processor.tokenizer.decode(ids[-len(description) - 1 :])
        assert "<perception>x</perception>" in said
        assert (len(set(picture.get_flattened_data())) == 1) == (path == "closed")
        assert of_group == 1
    log = trainer.state.log_history[0]
    assert log["descriptions/never_ended"] == 0
    assert log["sampling/sampling_logp_difference/mean"] > 0


def test_runs_of_a_token_become_one():
    assert collapse([1, 9, 9, 9, 2, 9, 9, 3], 9) == [1, 9, 2, 9, 3]
    assert collapse([1, 9, 2], 9) == [1, 9, 2]
    assert collapse([4, 4], 9) == [4, 4]


def test_without_vllm_the_install_line_is_named(qwen, tmp_path):
    settings = GrpoSettings(batch=10, use_vllm=True)
    with pytest.raises(MissingExtra, match=r"vllm not installed.*\[vllm\]"):
        run_grpo(
            Recipe(
                "tiny",
                (Task.parse(WIDE_2048),),
                grpo=settings,
                compute=CPU,
            ),
            *load(str(qwen)),
            tmp_path,
        )
