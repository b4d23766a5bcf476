"""Credit of single turns while a policy is trained: forks that it plays on itself, and the
advantages of the tokens that it wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from accelerate.utils import gather_object

from vlmgym.episodes.batch import EpisodeBatch
from vlmgym.players.blocks import text_decoder
from vlmgym.render.frames import pictures
from vlmgym.train.episode_credit import credit_turns
from vlmgym.train.forks import Fork, fork_group, play_forks
from vlmgym.train.trl_grpo import TrlGrpo, trained_tokens

_ONLY = np.array([0])


def credit_tokens(
    trainer: Any, output: dict[str, Any], groups: Sequence[Sequence[EpisodeBatch]]
) -> None:
    """Give the tokens of each turn an advantage of their own, and log what was done.

    Args:
        trainer: whose settings say how.
        output: TRL's, of the episodes in their order; its advantages become ``(R, L)``.
        groups: of episodes that are over.
    """
    settings = trainer.settings
    mask = trained_tokens(output).bool().cpu().numpy()
    forks: list[list[Fork]] = []
    metrics = {}
    if settings.credit == "fork":
        sampler = ForkSampler(trainer)
        forks = sampler.play(groups, _tokens_a_turn(output, groups))
        metrics["fork_tokens"] = float(sampler.tokens)
    advantages, described = credit_turns(groups, mask, settings, trainer.weights, forks)
    output["advantages"] = output["advantages"].new_tensor(advantages)
    metrics |= described
    trainer.add_metrics({f"credit/{name}": mean for name, mean in metrics.items()})


def _tokens_a_turn(output: dict[str, Any], groups: Sequence[Sequence[EpisodeBatch]]) -> float:
    """What a turn of the episodes of all processes cost on average, pictures after it included."""
    turns = sum(len(episode.turns) for group in groups for episode in group)
    counted = gather_object([(int(output["completion_mask"].sum()), turns)])
    tokens_of_all, turns_of_all = map(sum, zip(*counted, strict=True))
    return float(tokens_of_all / turns_of_all)


class ForkSampler:
    """Forks groups of episodes, and has the policy play the continuations.

    Args:
        trainer: whose model answers, and whose settings say how much is forked.
    """

    def __init__(self, trainer: TrlGrpo) -> None:
        self.trainer: Any = trainer
        self.decode = text_decoder(trainer.processing_class)
        self.tokens = 0
        """That the replies cost so far."""

    def play(
        self, groups: Sequence[Sequence[EpisodeBatch]], tokens_a_turn: float
    ) -> list[list[Fork]]:
        """The forks of each group, played to their end.

        Args:
            groups: of episodes that are over, as many in every process.
            tokens_a_turn: what a turn of them cost, about.
        """
        settings = self.trainer.settings.returns
        simulator = self.trainer.weights.simulator
        forks = [
            fork_group(
                group, simulator, settings.continuations, settings.fork_tokens, tokens_a_turn
            )
            for group in groups
        ]
        self._spare = _conversation(_continued(groups[0][0]))
        continuations = [
            one for of_group in forks for fork in of_group for one in (*fork.before, *fork.after)
        ]
        play_forks(continuations, self._generate, self._most)
        return forks

    def _most(self, count: int) -> int:
        """The largest number of any process."""
        self._asked = int(max(gather_object([count])))
        return self._asked

    def _generate(self, live: list[EpisodeBatch]) -> list[str]:
        """A reply to each; every process asks the same number, of which the rest is thrown away."""
        prompts = [_conversation(one) for one in live]
        prompts += [self._spare] * (self._asked - len(live))
        at_once = self.trainer.settings.generate_batch or self.trainer.settings.batch
        blocks = self.trainer.sample_blocks(prompts, at_once)[: len(live)]
        self.tokens += sum(len(block.tokens) for block in blocks)
        return [self.decode(block.tokens) for block in blocks]


def _continued(episode: EpisodeBatch) -> EpisodeBatch:
    """An episode as it began, for a question that anybody can be asked."""
    game, state = episode.turns[0].load()
    return EpisodeBatch(game, state, episode.observation, episode.limit)


def _conversation(episode: EpisodeBatch) -> list[dict[str, Any]]:
    """What has been said of an episode of one row, with its pictures, as TRL takes it."""
    messages = []
    for role, parts in episode.query(_ONLY).conversation(0):
        content: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            else:
                picture = pictures(episode.game, part, episode.look)[0]
                content.append({"type": "image", "image": picture})
        messages.append({"role": role, "content": content})
    return messages
