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
from typing import Any
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
from vlmgym.train.verl.config import LOOP, grpo_of, mode_of, questions

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
        self._known: list[tuple[Task, str]] = []
        self._states: QuestionSource | None = None
        if split == "train":
            self._states = QuestionSource(recipe.tasks, recipe.states, seed=grpo.seed)
            self._count = questions(grpo)
        else:
            for task in recipe.tasks:
                state = task.states("test", recipe.checks.states, recipe.checks.first)
                game = task.game
                self._known += [(task, state_text(game, state[i])) for i in range(len(state))]
            self._count = len(self._known)
        if max_samples > 0:
            self._count = min(self._count, max_samples)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not 0 <= number < self._count:
            raise IndexError(f"row {number} of {self._count}")
        # drawn in order, whoever asks first
        if self._states is not None and number >= len(self._known):
            self._known += [
                (one.task, one.text) for one in self._states.draw(number + 1 - len(self._known))
            ]
        task, state = self._known[number]
        game = task.game
        level = task.level
        return {
            "raw_prompt": [
                {
                    "role": "user",
                    "content": prompt.prompt_text(game, level, task.prompt, blocks=task.blocks),
                }
            ],
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

    @classmethod
    async def process_multi_modal_info(
        cls, messages: Any, image_patch_size: Any, config: Any
    ) -> Any:
        """The pictures of messages as they are: verl's own way resizes them."""
        blocks = [
            block
            for message in messages
            if isinstance(message["content"], list)
            for block in message["content"]
        ]
        return [block["image"] for block in blocks if block["type"] == "image"] or None, None, None


def _ask(lane: EpisodeBatch, text: str) -> tuple[Any, dict[str, Any]]:
    """The picture of a board, and the user's turn that shows it."""
    frame = pictures(lane.game, lane.state, lane.look)[0]
    return frame, {
        "role": "user",
        "content": [{"type": "image", "image": frame}, {"type": "text", "text": text}],
    }


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
            found = self.processor or AutoProcessor.from_pretrained(
                self.tokenizer.name_or_path, trust_remote_code=False
            )
            raise ConfigError(
                "processor", type(found).__name__, "for verl, one of " + ", ".join(KNOWN)
            ) from error

    async def run(
        self, sampling_params: dict[str, Any], *, state: str, look: str, raw_prompt: Any, **row: Any
    ) -> Any:
        """Play one episode (of one turn, as in the paper, or of several).

        Returns:
            An output; with ``per_turn`` a list of them, one a turn, the reward with the last.
        """
        game, start = read_state_text(state)
        oracle = self.weights.regret != 0
        lane = EpisodeBatch(
            game,
            start,
            ObservationSettings(get_look(look), blocks=Blocks.of(row.get("reply") or "")),
            self.grpo.turns,
            patience=PATIENCE,
            oracle=oracle,
        )
        play = self._conversation if self.mode == "conversation" else self._turn_by_turn
        outputs = await play(lane, raw_prompt[0]["content"], sampling_params)
        terms = episode_terms(lane, self.grpo.episode, self.weights)
        if self.mode == "single":
            terms = self.weights.rewarded(lane.turns[0].terms)
        outputs[-1].reward_score = self.weights.total(terms)
        outputs[-1].extra_fields["reward_extra_info"] = {**terms, **_facts(lane)}
        return outputs if self.mode == "per_turn" else outputs[0]

    async def _turn_by_turn(
        self, lane: EpisodeBatch, text: str, sampling_params: dict[str, Any]
    ) -> list[Any]:
        outputs = list[Any]()
        while len(lane.live()):
            frame, ask = await asyncio.to_thread(_ask, lane, text)
            ids = await self.ct_build_initial_tokens([ask], images=[frame])
            found = await self._generate(uuid4().hex, ids, [frame], sampling_params, self.budget)
            await self._take(lane, found.token_ids)
            outputs.append(
                _output(
                    ids,
                    found.token_ids,
                    [1] * len(found.token_ids),
                    found.log_probs,
                    [frame],
                    [found],
                )
            )
        return outputs

    async def _conversation(
        self, lane: EpisodeBatch, text: str, sampling_params: dict[str, Any]
    ) -> list[Any]:
        frame, ask = await asyncio.to_thread(_ask, lane, text)
        # one name: the server keeps what it has read
        images = [frame]
        messages = [ask]
        found: list[Any] = []
        name = uuid4().hex
        ids = await self.ct_build_initial_tokens(messages, images=list(images))
        prompted = len(ids)
        mask = list[int]()
        logps = list[float]()
        while True:
            found.append(
                await self._generate(
                    name, ids, images, sampling_params, self.budget - (len(ids) - prompted)
                )
            )
            merged, mask, logps = await self.ct_merge_assistant_token(
                ids, found[-1].token_ids, mask, logps, assistant_logprobs=found[-1].log_probs
            )
            ids = merged.token_ids
            said = await self._take(lane, found[-1].token_ids)
            if not len(lane.live()):
                break
            frame, ask = await asyncio.to_thread(_ask, lane, prompt.next_text())
            before = [*messages, {"role": "assistant", "content": said}]
            merged, mask_after, logps_after = await self.ct_merge_context_msg(
                before, [*before, ask], ids, mask, logps
            )
            if len(merged.token_ids) - prompted >= self.budget:
                break  # before the picture is there: half of one is an error
            ids = merged.token_ids
            mask = mask_after
            logps = logps_after
            messages = [*before, ask]
            images.append(frame)
        return [_output(ids[:prompted], ids[prompted:], mask, logps, images, found)]

    async def _generate(
        self,
        name: str,
        ids: list[int],
        images: list[Any],
        sampling_params: dict[str, Any],
        most: int,
    ) -> Any:
        """A reply of at most so many tokens: verl's own limit lets a short prompt have a longer
        reply.
        """
        found = await self.server_manager.generate(
            request_id=name,
            prompt_ids=ids,
            image_data=list(images),
            sampling_params={**sampling_params, "max_tokens": most},
        )
        logps = list(found.log_probs)[:most] if found.log_probs else None
        return found.model_copy(
            update={"token_ids": list(found.token_ids)[:most], "log_probs": logps}
        )

    async def _take(self, lane: EpisodeBatch, tokens: list[int]) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        await asyncio.to_thread(lane.take, _ONLY, [Answer(text)])  # an oracle may think for long
        return text


def _output(
    prompt_ids: Any,
    answer: list[int],
    mask: list[int],
    logps: Any,
    images: list[Any],
    found: Sequence[Any],
) -> Any:
    fields: dict[str, Any] = {"turn_scores": [], "tool_rewards": []}
    # Of which steps the weights were that answered: without it, verl's metrics of the step fail.
    fields |= {
        key: found[at].extra_fields.get(key)
        for key, at in (("min_global_steps", 0), ("max_global_steps", -1))
    }
    return AgentLoopOutput(
        prompt_ids=list(prompt_ids),
        response_ids=list(answer),
        response_mask=list(mask),
        response_logprobs=logps,
        multi_modal_data={"images": images},
        num_turns=2 * len(found),
        metrics=AgentLoopMetrics(),
        extra_fields=fields,
    )


def _facts(lane: EpisodeBatch) -> dict[str, float]:
    """What verl logs of an episode beside the reward terms: shares of its turns, all numbers."""
    turns = lane.turns
    facts = batch_metrics(turns, [lane.game.name] * len(turns))
    facts["gain"] = float(sum(turn.gain for turn in turns))
    facts["turns"] = float(len(turns))
    facts["score"] = float(lane.state.score[0])
    return facts
