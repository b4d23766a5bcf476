"""What verl loads: a data set of questions, and an agent loop that plays them. See :mod:`vlmgym.train.cluster`.

Rows carry states, never pictures; a worker draws what its model is to see. Replies are read, played and judged by the same code
as everywhere else, so a reward here is a reward there.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput

from vlmgym import prompt
from vlmgym.core import ConfigError, State
from vlmgym.games import read_state_text, state_text
from vlmgym.looks import get_look
from vlmgym.render import pictures
from vlmgym.reward import Fault
from vlmgym.rollout import Lane, Telling
from vlmgym.tasks import Task
from vlmgym.trace import Answer
from vlmgym.train.cluster import LOOP, MODES
from vlmgym.train.episodes import PATIENCE, episode_terms
from vlmgym.train.recipe import Recipe
from vlmgym.train.states import States

_ONLY = np.array([0])


def read(path: str) -> tuple[str, Recipe]:
    """Split and recipe of a file that :func:`vlmgym.train.cluster.prepare` wrote."""
    values = json.loads(Path(path).read_text(encoding="utf-8"))
    return values["split"], Recipe.parse(values["recipe"])


class GameDataset(Dataset):  # type: ignore[type-arg]
    """verl's ``data.custom_cls``: the questions of a run, or the held-out states of its checks.

    Args:
        data_files: the file of a split.
        tokenizer: not needed.
        config: verl's data settings; not needed.
        processor: not needed.
        max_samples: at most so many rows; -1 = all.
    """

    def __init__(
        self, data_files: Any, tokenizer: Any = None, config: Any = None, processor: Any = None, max_samples: int = -1
    ) -> None:
        split, self.recipe = read(data_files if isinstance(data_files, str) else data_files[0])
        recipe, grpo = self.recipe, self.recipe.grpo
        if grpo is None:
            raise ConfigError("recipe.grpo", None, "settings")
        self._known: list[tuple[Task, State]] = []
        if split == "train":
            self._states: States | None = States(recipe.tasks, recipe.states, seed=grpo.seed)
            self._count = grpo.steps * (grpo.batch // grpo.group)
        else:
            self._states = None
            for task in recipe.tasks:
                state = task.states("test", recipe.checks.states, recipe.checks.first)
                self._known += [(task, state[i]) for i in range(len(state))]
            self._count = len(self._known)
        if max_samples > 0:
            self._count = min(self._count, max_samples)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> dict[str, Any]:
        if not 0 <= number < self._count:
            raise IndexError(f"row {number} of {self._count}")
        if self._states is not None and number >= len(self._known):  # in order, as they are drawn
            asked = self._states.draw(number + 1 - len(self._known))
            self._known += [(question.task, question.state) for question in asked]
        task, state = self._known[number]
        game, level, _ = task.rules()
        return {
            "raw_prompt": [{"role": "user", "content": prompt.prompt_text(game, level, task.prompt)}],
            "dummy_tensor": torch.zeros(1, dtype=torch.uint8),  # verl wants one tensor a row
            "index": number,
            "data_source": task.game,
            "agent_name": LOOP,
            "reward_model": {"ground_truth": ""},
            "extra_info": {"index": number},
            "state": state_text(game, state),
            "look": task.look,
        }

    @classmethod
    async def process_multi_modal_info(cls, messages: Any, image_patch_size: Any, config: Any) -> Any:
        """The pictures of messages as they are: verl's own way resizes them."""
        blocks = [block for message in messages if isinstance(message["content"], list) for block in message["content"]]
        return [block["image"] for block in blocks if block["type"] == "image"] or None, None, None


def _ask(lane: Lane, text: str) -> tuple[Any, dict[str, Any]]:
    """The picture of a board, and the user's turn that shows it."""
    frame = pictures(lane.game, lane.state, lane.look)[0]
    return frame, {"role": "user", "content": [{"type": "image", "image": frame}, {"type": "text", "text": text}]}


class GameAgentLoop(AgentLoopBase):  # type: ignore[misc]
    """verl's agent loop: asks about a state, plays the reply, goes on for the turns of the recipe.

    Args:
        arguments: what verl gives every loop.
        recipe: the file of a split.
        mode: see :data:`vlmgym.train.cluster.MODES`.
        options: what verl gives every loop by name.

    Raises:
        ConfigError: a processor that verl does not know (it would lose the pictures), or another mode.
    """

    def __init__(self, *arguments: Any, recipe: str, mode: str = "conversation", **options: Any) -> None:
        super().__init__(*arguments, **options)
        if mode not in MODES:
            raise ConfigError("mode", mode, "one of " + ", ".join(MODES))
        try:
            self._assert_mm_supported(True)
        except Exception as error:
            raise ConfigError("model", type(self.processor).__name__, f"a family whose processor verl knows ({error})") from error
        self.recipe, self.mode = read(recipe)[1], mode
        grpo = self.recipe.grpo
        if grpo is None:
            raise ConfigError("recipe.grpo", None, "settings")
        self.grpo, self.budget = grpo, int(self.rollout_config.response_length)

    async def run(self, sampling_params: dict[str, Any], *, state: str, look: str, raw_prompt: Any, **row: Any) -> Any:
        """Play one episode (of one turn, as in the paper, or of several).

        Returns:
            An output; with ``per_turn`` a list of them, one a turn, the reward with the last.
        """
        game, start = read_state_text(state)
        oracle = self.recipe.reward.regret != 0
        lane = Lane(game, start, Telling(get_look(look)), self.grpo.turns, patience=PATIENCE, oracle=oracle)
        several = self.mode == "per_turn" and self.grpo.turns > 1
        play = self._turn_by_turn if several else self._conversation
        outputs = await play(lane, raw_prompt[0]["content"], sampling_params)
        one = self.grpo.turns == 1
        terms = lane.turns[0].terms if one else episode_terms(lane, self.grpo.episode)
        outputs[-1].reward_score = self.recipe.reward.total(terms)
        outputs[-1].extra_fields["reward_extra_info"] = {**terms, **_facts(lane)}
        return outputs if several else outputs[0]

    async def _generate(self, ids: list[int], images: list[Any], sampling_params: dict[str, Any], name: str) -> Any:
        return await self.server_manager.generate(
            request_id=name, prompt_ids=ids, image_data=list(images), sampling_params=sampling_params
        )

    async def _take(self, lane: Lane, tokens: list[int]) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        await asyncio.to_thread(lane.take, _ONLY, [Answer(text)])
        return text

    async def _turn_by_turn(self, lane: Lane, text: str, sampling_params: dict[str, Any]) -> list[Any]:
        outputs = list[Any]()
        while len(lane.live()):
            frame, ask = _ask(lane, text)
            ids = await self.ct_build_initial_tokens([ask], images=[frame])
            found = await self._generate(ids, [frame], sampling_params, f"{id(self)}-{len(outputs)}")
            tokens = list(found.token_ids)[: self.budget]
            await self._take(lane, tokens)
            logps = list(found.log_probs)[: self.budget] if found.log_probs else None
            outputs.append(_output(ids, tokens, [1] * len(tokens), logps, [frame], 1))
        return outputs

    async def _conversation(self, lane: Lane, text: str, sampling_params: dict[str, Any]) -> list[Any]:
        frame, ask = _ask(lane, text)
        images, messages = [frame], [ask]
        ids = await self.ct_build_initial_tokens(messages, images=list(images))
        prompted, mask, logps = len(ids), list[int](), list[float]()
        while True:
            found = await self._generate(ids, images, sampling_params, str(id(self)))
            merged, mask, logps = await self.ct_merge_assistant_token(
                ids, found.token_ids, mask, logps, assistant_logprobs=found.log_probs
            )
            ids = merged.token_ids
            said = await self._take(lane, list(found.token_ids))
            if not len(lane.live()):
                break
            frame, ask = _ask(lane, prompt.next_text())
            before = [*messages, {"role": "assistant", "content": said}]
            merged, mask_after, logps_after = await self.ct_merge_context_msg(before, [*before, ask], ids, mask, logps)
            if len(merged.token_ids) - prompted >= self.budget:
                break  # before the picture is there: half of one is an error
            ids, mask, logps, messages = merged.token_ids, mask_after, logps_after, [*before, ask]
            images.append(frame)
        answer = list(ids[prompted:])[: self.budget]
        logps = logps[: self.budget]
        return [_output(ids[:prompted], answer, mask[: self.budget], logps or None, images, len(lane.turns))]


def _output(prompt_ids: Any, answer: list[int], mask: list[int], logps: Any, images: list[Any], turns: int) -> Any:
    return AgentLoopOutput(
        prompt_ids=list(prompt_ids),
        response_ids=answer,
        response_mask=list(mask),
        response_logprobs=logps,
        multi_modal_data={"images": images},
        num_turns=2 * turns,
        metrics=AgentLoopMetrics(),
        extra_fields={"turn_scores": [], "tool_rewards": []},
    )


def _facts(lane: Lane) -> dict[str, float]:
    """What verl logs of an episode beside the reward terms: shares of its turns, all numbers."""
    turns = lane.turns
    facts = {f"fault/{fault.value}": sum(turn.fault == fault for turn in turns) / len(turns) for fault in Fault}
    facts["success"] = sum(turn.terms["game"] > 0 for turn in turns) / len(turns)
    facts["p_acc"] = sum(bool(turn.p_acc) for turn in turns) / len(turns)
    facts["turns"], facts["score"] = float(len(turns)), float(lane.state.score[0])
    return facts
