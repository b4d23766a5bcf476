"""Whole episodes as one sample: TRL's multi-turn loop, taught that every reply is a move and every
board a picture.

TRL plays several turns through tools. Its own templates know few families and drop pictures in
places, so the template of a model is wrapped: each reply, whatever it says, is read as the call of
one tool, whose result is the next board, shown as the user's next turn. Prompts and replies look as
they do everywhere else.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from vlmgym.core import ConfigError
from vlmgym.dialogue import prompt
from vlmgym.dialogue.reply import Blocks
from vlmgym.dialogue.weights import TERM_RANGES, Weights
from vlmgym.episodes.batch import EpisodeBatch, ObservationSettings
from vlmgym.games import read_state_text
from vlmgym.players.base import Answer
from vlmgym.render.frames import pictures
from vlmgym.train.rewards import batch_metrics, reply_text

PATIENCE = 20
"""Turns in a row with the same useless reply, after which an episode is stuck; as in evaluation."""
SUMMED = ("game", "regret", "value")
"""The terms of which those of an episode's turns are added up; of the others their mean counts."""
_ONLY = np.array([0])


class Play:
    """One episode, as TRL's ``environment_factory`` wants it; made once and reset for each sample.

    Args:
        turns: most turns of the episode.
        budget: most tokens of the episode.
        weights: of the reward terms, which say what has to be computed.
    """

    def __init__(self, turns: int, budget: int, weights: Weights) -> None:
        self._turns = turns
        self._budget = budget
        self._weights = weights
        self._episode: EpisodeBatch | None = None
        self._calls = 0

    @property
    def lane(self) -> EpisodeBatch:
        """The episode."""
        assert self._episode is not None, "reset comes first"
        return self._episode

    def reset(self, state: str, look: str, **row: Any) -> None:
        """Begin in a state (base64); of the other columns only the names of the blocks (``reply``)
        are needed.
        """
        game, start = read_state_text(state)
        blocks = Blocks.of(row.get("reply") or "")
        observation = ObservationSettings(look, history=-1, blocks=blocks)
        self._episode = EpisodeBatch(
            game,
            start,
            observation,
            self._turns,
            patience=PATIENCE,
            oracle=self._weights.regret != 0,
            simulator=self._weights.simulates,
        )
        self._calls = 0

    def act(self, reply: str) -> list[dict[str, Any]]:
        """Play a reply.

        Args:
            reply: the whole text of the turn.

        Returns:
            The board after it, as a picture and a line of text.
        """
        episode = self._answer(reply)
        if not len(episode.live()):
            # TRL knows no end of an episode. A result that exceeds every budget is taken back, and
            # nothing more is generated.
            return [{"type": "text", "text": "over " * (self._budget + 1)}]
        picture = pictures(episode.game, episode.state, episode.look)[0]
        return [{"type": "image", "image": picture}, {"type": "text", "text": prompt.next_text()}]

    def _answer(self, reply: str) -> EpisodeBatch:
        self._calls += 1
        if len(self.lane.live()):
            self.lane.take(_ONLY, [Answer(reply)])
        return self.lane

    def _finish(self, replies: Sequence[str]) -> EpisodeBatch:
        """The episode, after those of its replies that were not played yet: the last one, at the
        limit of turns.
        """
        for reply in replies[self._calls :]:
            self._answer(reply)
        return self.lane


def episode_terms(episode: EpisodeBatch, kind: str, weights: Weights) -> dict[str, float]:
    """Reward terms of an episode, each on the scale of a single turn.

    ``game``, ``regret`` and ``value`` are sums over the turns, divided by the limit of turns; the
    others are means. Turns that were not played count as the worst ones, so that giving up early
    gains nothing; only where a good move ended the game (it is solved, cleared, through the maze)
    they count for nothing. Moves to and fro gain nothing either: what a game counts as good leads
    on.

    Args:
        episode: one that is over.
        kind: ``"turns"``, or ``"score"``: ``game`` is the final score instead.
        weights: say whether moves count where the description is wrong.
    """
    by_turn = turn_terms(episode, kind, weights)
    return {term: math.fsum(terms[term] for terms in by_turn) for term in TERM_RANGES}


def turn_terms(
    episode: EpisodeBatch, kind: str, weights: Weights, before: int = 0
) -> list[dict[str, float]]:
    """What each turn adds to the terms of :func:`episode_terms`; what the turns that were not
    played count is added with the last one.

    Args:
        episode: one that is over.
        kind: as there; of a final score each turn adds its gain, the first one also what there was
            before.
        weights: as there.
        before: turns that were played before the start, of an episode that goes on from a fork.
    """
    played = [weights.rewarded(turn.terms) for turn in episode.turns]
    missing = episode.limit - len(played)
    is_solved = bool(episode.state.terminated[0]) and played[-1]["game"] > 0
    of_turns: list[dict[str, float]] = [{} for _ in played]
    for term, (worst, _) in TERM_RANGES.items():  # a turn that was not played is worth the least
        is_mean = term not in SUMMED
        divisor = before + (len(played) if is_solved and is_mean else episode.limit)
        for terms, added in zip(played, of_turns, strict=True):
            added[term] = terms[term] / divisor
        if not is_solved:
            of_turns[-1][term] += missing * worst / divisor
    if kind == "score":
        for turn, added in zip(episode.turns, of_turns, strict=True):
            added["game"] = float(turn.gain)
        if not before:
            gained = sum(turn.gain for turn in episode.turns)
            of_turns[0]["game"] += int(episode.state.score[0]) - gained
    return of_turns


def episode_rewards(weights: Weights, turns: int, kind: str) -> tuple[list[Any], list[float]]:
    """TRL reward functions of episodes, one a term, and their weights; the first also logs the
    metrics of all turns.
    """
    factors = weights.factors()
    first_term = next(iter(factors), None)

    def make(term: str) -> Any:
        def function(
            completions: Sequence[Any], environments: Sequence[Play], **columns: Any
        ) -> list[float]:
            episodes = [
                play._finish(_replies_in(messages))
                for messages, play in zip(completions, environments, strict=True)
            ]
            log_metric = columns.get("log_metric")
            if term == first_term and log_metric is not None:
                for name, value in _metrics_of(episodes).items():
                    log_metric(name, value)
            return [episode_terms(episode, kind, weights)[term] for episode in episodes]

        function.__name__ = term
        return function

    return [make(term) for term in factors], list(factors.values())


def _metrics_of(episodes: Sequence[EpisodeBatch]) -> dict[str, float]:
    """The metrics of all turns of episodes, and the means of their turns and scores."""
    turns = []
    games = []
    for episode in episodes:
        turns += episode.turns
        games += [episode.game.name] * len(episode.turns)
    metrics = batch_metrics(turns, games)
    metrics["turns"] = len(turns) / len(episodes)
    metrics["score"] = float(np.mean([episode.state.score[0] for episode in episodes]))
    return metrics


def _replies_in(messages: Sequence[Any]) -> list[str]:
    """The replies of the assistant, which the template has read as calls."""
    replies = []
    for message in messages:
        if message["role"] == "assistant":
            calls = message.get("tool_calls")
            text = calls[0]["function"]["arguments"]["reply"] if calls else reply_text([message])
            replies.append(text)
    return replies


# ---- templates
_AS_TURNS = """
{%- set play = namespace(messages=[]) -%}
{%- for m in messages -%}
{%- if m.role == 'tool' -%}
{%- set play.messages = play.messages + [{'role': 'user', 'content': m.content}] -%}
{%- elif m.tool_calls -%}
{%- set said = namespace(text='') -%}
{%- for call in m.tool_calls -%}
{%- set call = call.function -%}
{%- set said.text = said.text + (call.arguments.reply if call.arguments.reply is defined
    else (call.name + (call.arguments | tojson) if call.arguments else '')) -%}
{%- endfor -%}
{%- set reply = {'role': 'assistant', 'content': [{'type': 'text', 'text': said.text}]} -%}
{%- set play.messages = play.messages + [reply] -%}
{%- else -%}
{%- set play.messages = play.messages + [m] -%}
{%- endif -%}
{%- endfor -%}
{%- set messages = play.messages -%}
{%- set tools = none -%}
"""


@contextmanager
def playable(model: Any, processor: Any, turns: int) -> Iterator[Any]:
    """A processor for episodes: its template takes tool results for the user's turns, and reads
    every reply as a call.

    With one turn, the processor as it is.

    Raises:
        ConfigError: a template without a mark before replies, or a processor whose pictures TRL
            cannot pass on turn by turn.
    """
    if turns == 1:
        yield processor
        return
    _refuse_processor(processor, turns)
    with_turns = copy.copy(processor)
    with_turns.tokenizer = copy.copy(processor.tokenizer)
    with_turns.chat_template = _AS_TURNS.strip() + processor.chat_template
    with_turns.tokenizer.response_template = _response_template(processor)
    parameters = model.forward.__code__.co_varnames if hasattr(model.forward, "__code__") else ()
    generate = model.generate
    if "token_type_ids" not in parameters and "mm_token_type_ids" not in parameters:
        # TRL passes token types whenever a tool shows pictures; families that know none (LLaVA)
        # refuse them.
        model.generate = lambda *arguments, token_type_ids=None, **options: generate(
            *arguments, **options
        )
    try:
        yield with_turns
    finally:
        model.__dict__.pop("generate", None)


def _refuse_processor(processor: Any, turns: int) -> None:
    """Refuse a processor whose pictures cannot come later: TRL hands the later pictures to the
    image processor alone and passes on what that returns.
    """
    from PIL import Image

    fields = processor.image_processor(images=[Image.new("RGB", (56, 56))], return_tensors="pt")
    axes = fields["pixel_values"].ndim
    if set(fields) == {"pixel_values", "image_grid_thw"}:
        return
    if set(fields) == {"pixel_values"} and axes == 4:
        return
    shape = f"{type(processor).__name__}, whose pictures are {', '.join(fields)} of {axes} axes"
    raise ConfigError(
        "grpo.turns",
        turns,
        f"1 for {shape} (TRL passes on pixel_values of 4, or with image_grid_thw)",
    )


def _response_template(processor: Any) -> dict[str, Any]:
    """Transformers' response template by which a whole reply is the call ``act(reply=...)``."""
    question = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    before = processor.apply_chat_template(question, tokenize=False)
    prompted = processor.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    mark = prompted[len(before) :]
    if not mark or not prompted.startswith(before):
        raise ConfigError(
            "grpo.turns", "a chat template without a mark before replies", "1 for this model"
        )
    end = re.escape(processor.tokenizer.eos_token)
    call = {"type": "function", "function": {"name": "act", "arguments": {"reply": "{content}"}}}
    calls = {
        "close_pattern": rf"{end}\s*",
        "content": "text",
        "repeats": True,
        "transform": call,
    }
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": mark,
        "fields": {"tool_calls": calls},
    }
