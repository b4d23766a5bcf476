"""Whole episodes as one sample: TRL's multi-turn loop, taught that every reply is a move and every
board a picture.

TRL plays several turns through tools. Its own templates know few families and drop pictures in
places, so the template of a model is wrapped: each reply, whatever it says, is read as the call of
one tool, whose result is the next board, shown as the user's next turn. Prompts and replies look as
they do everywhere else.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from vlmgym.core import ConfigError
from vlmgym.dialogue import prompt
from vlmgym.dialogue.judge import TERM_RANGES, Weights
from vlmgym.dialogue.reply import Blocks
from vlmgym.episodes.batch import EpisodeBatch, ObservationSettings
from vlmgym.games import read_state_text
from vlmgym.players.base import Answer
from vlmgym.render.frames import pictures
from vlmgym.train.rewards import batch_metrics, reply_text

PATIENCE = 20
"""Turns in a row with the same useless reply, after which an episode is stuck; as in evaluation."""
_ONLY = np.array([0])


class Play:
    """One episode, as TRL's ``environment_factory`` wants it; made once and reset for each sample.

    Args:
        turns: most turns of the episode.
        budget: most tokens of the episode.
        oracle: also compute the regret.
    """

    def __init__(self, turns: int, budget: int, oracle: bool = False) -> None:
        self._turns = turns
        self._budget = budget
        self._oracle = oracle
        self._lane: EpisodeBatch | None = None
        self._calls = 0

    @property
    def lane(self) -> EpisodeBatch:
        """The episode."""
        assert self._lane is not None, "reset comes first"
        return self._lane

    def reset(self, state: str, look: str, **row: Any) -> None:
        """Begin in a state (base64); of the other columns only the names of the blocks (``reply``)
        are needed.
        """
        game, start = read_state_text(state)
        telling = ObservationSettings(look, history=-1, blocks=Blocks.of(row.get("reply") or ""))
        self._lane = EpisodeBatch(
            game, start, telling, self._turns, patience=PATIENCE, oracle=self._oracle
        )
        self._calls = 0

    def act(self, reply: str) -> list[dict[str, Any]]:
        """Play a reply.

        Args:
            reply: the whole text of the turn.

        Returns:
            The board after it, as a picture and a line of text.
        """
        lane = self._answer(reply)
        if not len(lane.live()):
            # TRL knows no end of an episode. A result that exceeds every budget is taken back, and
            # nothing more is generated.
            return [{"type": "text", "text": "over " * (self._budget + 1)}]
        frame = pictures(lane.game, lane.state, lane.look)[0]
        return [{"type": "image", "image": frame}, {"type": "text", "text": prompt.next_text()}]

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


def episode_terms(lane: EpisodeBatch, kind: str, weights: Weights) -> dict[str, float]:
    """Reward terms of an episode, each on the scale of a single turn.

    ``game`` and ``regret`` are sums over the turns, divided by the limit of turns; the others are
    means. Turns that were not played count as the worst ones, so that giving up early gains
    nothing; only where a good move ended the game (it is solved, cleared, through the maze) they
    count for nothing. Moves to and fro gain nothing either: what a game counts as good leads on.

    Args:
        lane: an episode that is over.
        kind: ``"turns"``, or ``"score"``: ``game`` is the final score instead.
        weights: say whether moves count where the description is wrong.
    """
    played = [weights.rewarded(turn.terms) for turn in lane.turns]
    missing = lane.limit - len(lane.turns)
    well = bool(lane.state.terminated[0]) and played[-1]["game"] > 0
    out = {}
    for term, (worst, _) in TERM_RANGES.items():  # a turn that was not played is worth the least
        total = sum(terms[term] for terms in played) + (0.0 if well else missing * worst)
        mean = term not in ("game", "regret")
        out[term] = total / (len(played) if well and mean else lane.limit)
    if kind == "score":
        out["game"] = float(lane.state.score[0])
    return out


def episode_rewards(weights: Weights, turns: int, kind: str) -> tuple[list[Any], list[float]]:
    """TRL reward functions of episodes, one a term, and their weights; the first also logs the
    metrics of all turns.
    """
    terms = weights.factors()

    def make(term: str) -> Any:
        def function(
            completions: Sequence[Any], environments: Sequence[Play], **columns: Any
        ) -> list[float]:
            lanes = []
            for messages, play in zip(completions, environments, strict=True):
                replies = [message for message in messages if message["role"] == "assistant"]
                lanes.append(play._finish([_said(message) for message in replies]))
            if term == next(iter(terms)) and columns.get("log_metric") is not None:
                played = [(turn, lane.game.name) for lane in lanes for turn in lane.turns]
                metrics = batch_metrics([turn for turn, _ in played], [name for _, name in played])
                metrics["turns"] = len(played) / len(lanes)
                metrics["score"] = float(np.mean([lane.state.score[0] for lane in lanes]))
                for name, value in metrics.items():
                    columns["log_metric"](name, value)
            return [episode_terms(lane, kind, weights)[term] for lane in lanes]

        function.__name__ = term
        return function

    return [make(term) for term in terms], list(terms.values())


def _said(message: Any) -> str:
    """The reply of an assistant's turn, which the template has read as a call."""
    calls = message.get("tool_calls")
    return calls[0]["function"]["arguments"]["reply"] if calls else reply_text([message])


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
    _takes_pictures_anywhere(processor, turns)
    ready = copy.copy(processor)
    ready.tokenizer = copy.copy(processor.tokenizer)
    ready.chat_template = _AS_TURNS.strip() + processor.chat_template
    ready.tokenizer.response_template = _reading(processor)
    takes = model.forward.__code__.co_varnames if hasattr(model.forward, "__code__") else ()
    plain = model.generate
    if "token_type_ids" not in takes and "mm_token_type_ids" not in takes:
        # TRL passes token types whenever a tool shows pictures; families that know none (LLaVA)
        # refuse them.
        model.generate = lambda *args, token_type_ids=None, **options: plain(*args, **options)
    try:
        yield ready
    finally:
        model.__dict__.pop("generate", None)


def _takes_pictures_anywhere(processor: Any, turns: int) -> None:
    """TRL hands the later pictures to the image processor alone and passes on what that returns."""
    from PIL import Image

    fields = processor.image_processor(images=[Image.new("RGB", (56, 56))], return_tensors="pt")
    if set(fields) == {"pixel_values", "image_grid_thw"} or (
        set(fields) == {"pixel_values"} and fields["pixel_values"].ndim == 4
    ):
        return
    shape = (
        f"{type(processor).__name__}, whose pictures are {', '.join(fields)} of "
        f"{fields['pixel_values'].ndim} axes"
    )
    raise ConfigError(
        "grpo.turns",
        turns,
        f"1 for {shape} (TRL passes on pixel_values of 4, or with image_grid_thw)",
    )


def _reading(processor: Any) -> dict[str, Any]:
    """Transformers' response template by which a whole reply is the call ``act(reply=...)``."""
    ask = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    before = processor.apply_chat_template(ask, tokenize=False)
    prompted = processor.apply_chat_template(ask, tokenize=False, add_generation_prompt=True)
    anchor = prompted[len(before) :]
    if not anchor or not prompted.startswith(before):
        raise ConfigError(
            "grpo.turns", "a chat template without a mark before replies", "1 for this model"
        )
    end = re.escape(processor.tokenizer.eos_token)
    call = {"type": "function", "function": {"name": "act", "arguments": {"reply": "{content}"}}}
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": anchor,
        "fields": {
            "tool_calls": {
                "close_pattern": rf"{end}\s*",
                "content": "text",
                "repeats": True,
                "transform": call,
            }
        },
    }
