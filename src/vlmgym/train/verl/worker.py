"""What verl loads: a data set of questions, and an agent loop that plays them.

See :mod:`vlmgym.train.verl.config`.

Rows carry states, never pictures; a worker draws what its model is to see. Replies are read, played
and judged by the same code as everywhere else, so a reward here is a reward there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import AutoProcessor
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput

from vlmgym.core import ConfigError
from vlmgym.core.files import read_json
from vlmgym.dialogue import prompt
from vlmgym.dialogue.reply import Blocks
from vlmgym.episodes.batch import EpisodeBatch, ObservationSettings
from vlmgym.episodes.task import Task
from vlmgym.games import read_state_text, state_text
from vlmgym.players.base import Answer
from vlmgym.render.frames import pictures
from vlmgym.render.looks import get_look
from vlmgym.train.multi_turn import PATIENCE, episode_terms
from vlmgym.train.questions import QuestionSource
from vlmgym.train.recipe import Recipe
from vlmgym.train.rewards import batch_metrics
from vlmgym.train.verl.config import grpo_of, mode_of, questions
from vlmgym.train.verl.sections import LOOP

KNOWN = (
    "Qwen2VLProcessor",
    "Qwen2_5_VLProcessor",
    "Qwen3VLProcessor",
    "Glm4vProcessor",
    "Glm46VProcessor",
    "MllamaProcessor",
    "Gemma4Processor",
)
"""The processors of verl 0.9. Any other is no processor to it, and pictures are lost."""
_ONLY = np.array([0])


@lru_cache(maxsize=8)
def read(path: str) -> tuple[str, Recipe]:
    """Split and recipe of a file that :func:`vlmgym.train.verl.config.prepare` wrote; verl makes a
    loop for every episode.
    """
    values = read_json(Path(path))
    return values["split"], Recipe.parse(values["recipe"])


class GameDataset(Dataset):  # type: ignore[type-arg]
    """verl's ``data.custom_cls``: the questions of a run, or the held-out states of its checks.

    Args:
        data_files: the file of a split.
        tokenizer: not needed.
        config: verl's data settings; not needed.
        processor: not needed.
        max_samples: at most so many rows; -1 = all.

    Raises:
        ConfigError: see :func:`vlmgym.train.verl.config.grpo_of`.
    """

    def __init__(
        self,
        data_files: Any,
        tokenizer: Any = None,
        config: Any = None,
        processor: Any = None,
        max_samples: int = -1,
    ) -> None:
        split, recipe = read(data_files if isinstance(data_files, str) else data_files[0])
        grpo = grpo_of(recipe)
        self._rows: list[tuple[Task, str]] = []  # as far as they are drawn: task, and state as text
        self._source: QuestionSource | None = None
        if split == "train":
            self._source = QuestionSource(recipe.tasks, recipe.states, recipe.curriculum, grpo.seed)
            self._count = questions(grpo)
        else:
            self._rows = _rows_of_checks(recipe)
            self._count = len(self._rows)
        if max_samples > 0:
            self._count = min(self._count, max_samples)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not 0 <= number < self._count:
            raise IndexError(f"row {number} of {self._count}")
        self._draw_up_to(number)
        task, state = self._rows[number]
        text = prompt.prompt_text(task.game, task.level, task.prompt, blocks=task.blocks)
        return {
            "raw_prompt": [{"role": "user", "content": text}],
            "dummy_tensor": torch.zeros(1, dtype=torch.uint8),  # verl wants one tensor a row
            "index": number,
            "data_source": task.names.game,
            "agent_name": LOOP,
            "reward_model": {"ground_truth": ""},
            "extra_info": {"index": number},
            "state": state,
            "level": task.names.level,
            "look": task.names.look,
            "reply": task.reply,
        }

    def _draw_up_to(self, number: int) -> None:
        """Draw the questions up to a row: in their order, whichever row is asked for first."""
        missing = number + 1 - len(self._rows)
        if self._source is not None and missing > 0:
            drawn = self._source.draw(missing)
            self._rows += [(question.task, question.text) for question in drawn]

    @classmethod
    async def process_multi_modal_info(
        cls, messages: Any, image_patch_size: Any, config: Any
    ) -> Any:
        """The pictures of messages as they are: verl's own way resizes them."""
        images = []
        for message in messages:
            if isinstance(message["content"], list):
                images += [
                    block["image"] for block in message["content"] if block["type"] == "image"
                ]
        return images or None, None, None


def _rows_of_checks(recipe: Recipe) -> list[tuple[Task, str]]:
    """The held-out states of a recipe's checks, as text, each with its task."""
    rows = []
    for task in recipe.tasks:
        states = task.states("test", recipe.checks.states, recipe.checks.first)
        rows += [(task, state_text(task.game, states[row])) for row in range(len(states))]
    return rows


def _show(episode: EpisodeBatch, text: str) -> tuple[Any, dict[str, Any]]:
    """The picture of a board, and the user's turn that shows it."""
    picture = pictures(episode.game, episode.state, episode.look)[0]
    content = [{"type": "image", "image": picture}, {"type": "text", "text": text}]
    return picture, {"role": "user", "content": content}


class GameAgentLoop(AgentLoopBase):  # type: ignore[misc]
    """verl's agent loop: asks about a state, plays the reply, goes on for the turns of the recipe.

    Args:
        arguments: what verl gives every loop.
        recipe: the file of a split.
        mode: see :data:`vlmgym.train.verl.config.MODES`.
        options: what verl gives every loop by name.

    Raises:
        ConfigError: a processor that verl does not know, or another mode.
    """

    def __init__(
        self, *arguments: Any, recipe: str, mode: str = "conversation", **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self.weights = read(recipe)[1].reward
        self.grpo = grpo_of(read(recipe)[1])
        self.mode = mode_of(self.grpo, mode)
        self.budget = int(self.rollout_config.response_length)
        try:
            self._assert_mm_supported(True)
        except ValueError as error:
            processor = self.processor or AutoProcessor.from_pretrained(
                self.tokenizer.name_or_path, trust_remote_code=False
            )
            allowed = "for verl, one of " + ", ".join(KNOWN)
            raise ConfigError("processor", type(processor).__name__, allowed) from error

    async def run(
        self, sampling_params: dict[str, Any], *, state: str, look: str, raw_prompt: Any, **row: Any
    ) -> Any:
        """Play one episode (of one turn, as in the paper, or of several).

        Returns:
            An output; with ``per_turn`` a list of them, one a turn, the reward with the last.
        """
        game, start = read_state_text(state)
        episode = EpisodeBatch(
            game,
            start,
            ObservationSettings(get_look(look), blocks=Blocks.of(row.get("reply") or "")),
            self.grpo.turns,
            patience=PATIENCE,
            oracle=self.weights.regret != 0,
            simulator=self.weights.simulates,
        )
        play = self._conversation if self.mode == "conversation" else self._turn_by_turn
        outputs = await play(episode, raw_prompt[0]["content"], sampling_params)
        terms = episode_terms(episode, self.grpo.episode, self.weights)
        if self.mode == "single":
            terms = self.weights.rewarded(episode.turns[0].terms)
        outputs[-1].reward_score = self.weights.total(terms)
        outputs[-1].extra_fields["reward_extra_info"] = {**terms, **_metrics_of(episode)}
        return outputs if self.mode == "per_turn" else outputs[0]

    async def _turn_by_turn(
        self, episode: EpisodeBatch, text: str, sampling_params: dict[str, Any]
    ) -> list[Any]:
        """An output for each turn, which sees the present board alone."""
        outputs = list[Any]()
        while len(episode.live()):
            picture, message = await asyncio.to_thread(_show, episode, text)
            prompt_ids = await self.ct_build_initial_tokens([message], images=[picture])
            generated = await self._generate(
                uuid4().hex, prompt_ids, [picture], sampling_params, self.budget
            )
            answer_ids = generated.token_ids
            await self._play(episode, answer_ids)
            sample = _Sample(
                prompt_ids, answer_ids, [1] * len(answer_ids), generated.log_probs, [picture]
            )
            outputs.append(_output(sample, [generated]))
        return outputs

    async def _conversation(
        self, episode: EpisodeBatch, text: str, sampling_params: dict[str, Any]
    ) -> list[Any]:
        """One output, of all turns after each other."""
        picture, message = await asyncio.to_thread(_show, episode, text)
        pictures_shown = [picture]
        messages = [message]
        replies: list[Any] = []
        request = uuid4().hex  # one for all turns: the server keeps what it has read
        ids = await self.ct_build_initial_tokens(messages, images=list(pictures_shown))
        prompted = len(ids)
        mask = list[int]()
        log_probs = list[float]()
        while True:
            left = self.budget - (len(ids) - prompted)
            reply = await self._generate(request, ids, pictures_shown, sampling_params, left)
            replies.append(reply)
            merged, mask, log_probs = await self.ct_merge_assistant_token(
                ids, reply.token_ids, mask, log_probs, assistant_logprobs=reply.log_probs
            )
            ids = merged.token_ids
            reply_text = await self._play(episode, reply.token_ids)
            if not len(episode.live()):
                break
            picture, message = await asyncio.to_thread(_show, episode, prompt.next_text())
            before = [*messages, {"role": "assistant", "content": reply_text}]
            merged, mask_after, log_probs_after = await self.ct_merge_context_msg(
                before, [*before, message], ids, mask, log_probs
            )
            if len(merged.token_ids) - prompted >= self.budget:
                break  # before the picture is there: half of one is an error
            ids = merged.token_ids
            mask = mask_after
            log_probs = log_probs_after
            messages = [*before, message]
            pictures_shown.append(picture)
        sample = _Sample(ids[:prompted], ids[prompted:], mask, log_probs, pictures_shown)
        return [_output(sample, replies)]

    async def _generate(
        self,
        request: str,
        prompt_ids: list[int],
        images: list[Any],
        sampling_params: dict[str, Any],
        limit: int,
    ) -> Any:
        """A reply of at most ``limit`` tokens: verl's own limit lets a short prompt have a longer
        reply.
        """
        generated = await self.server_manager.generate(
            request_id=request,
            prompt_ids=prompt_ids,
            image_data=list(images),
            sampling_params={**sampling_params, "max_tokens": limit},
        )
        token_ids = list(generated.token_ids)[:limit]
        log_probs = list(generated.log_probs)[:limit] if generated.log_probs else None
        return generated.model_copy(update={"token_ids": token_ids, "log_probs": log_probs})

    async def _play(self, episode: EpisodeBatch, token_ids: list[int]) -> str:
        """Play a reply; returns its text."""
        text = self.tokenizer.decode(token_ids, skip_special_tokens=True)
        await asyncio.to_thread(episode.take, _ONLY, [Answer(text)])  # an oracle may think for long
        return text


class _Sample(NamedTuple):
    """What verl trains on as one: a prompt and what follows it."""

    prompt_ids: Any
    answer_ids: list[int]
    mask: list[int]  # 1 for the tokens of the answer that the model has written
    log_probs: Any  # of the answer's tokens
    images: list[Any]


def _output(sample: _Sample, replies: Sequence[Any]) -> Any:
    """The form that verl wants of a sample whose replies the server gave."""
    fields: dict[str, Any] = {"turn_scores": [], "tool_rewards": []}
    # Of which steps the weights were that answered: without it, verl's metrics of the step fail.
    for key, reply in (("min_global_steps", replies[0]), ("max_global_steps", replies[-1])):
        fields[key] = reply.extra_fields.get(key)
    return AgentLoopOutput(
        prompt_ids=list(sample.prompt_ids),
        response_ids=list(sample.answer_ids),
        response_mask=list(sample.mask),
        response_logprobs=sample.log_probs,
        multi_modal_data={"images": sample.images},
        num_turns=2 * len(replies),
        metrics=AgentLoopMetrics(),
        extra_fields=fields,
    )


def _metrics_of(episode: EpisodeBatch) -> dict[str, float]:
    """What verl logs of an episode beside the reward terms: shares of its turns, all numbers."""
    turns = episode.turns
    metrics = batch_metrics(turns, [episode.game.name] * len(turns))
    metrics["gain"] = float(sum(turn.gain for turn in turns))
    metrics["turns"] = float(len(turns))
    metrics["score"] = float(episode.state.score[0])
    return metrics
