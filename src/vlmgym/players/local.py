"""Any image-text model of Transformers as a player, batched, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from PIL import Image
from typing_extensions import override

from vlmgym.core import Game, State
from vlmgym.dialogue import prompt
from vlmgym.players.base import CUT, Answer, Player, Query
from vlmgym.players.sampling import PLAIN, KeyedNoise, keys_of, plain_generation
from vlmgym.render.frames import frame_size, pictures
from vlmgym.render.looks import Look, get_look
from vlmgym.render.pixel_values import Pixels, use_pixel_cache


class LocalPlayer(Player):
    """Draws the picture, asks the model, returns its text.

    Args:
        model: an image-text model.
        processor: its processor (left padding).
        name: shown in tables.
        look: look of the pictures, where :meth:`reply` is called.
        style: prompt style there, see :func:`vlmgym.dialogue.prompt.prompt_text`.
        banned: token ids that are never generated.
        max_new_tokens: length limit of a reply.
        temperature: 0 = greedy; else sampled at this temperature, from the whole distribution.
        batch: states asked at once; does not change replies, but for the rounding of sums of other
            shapes.
        seed: of the sampling: a reply is a function of it, of the game's seed, repeat and turn, and
            of what is asked.
        about: what else makes this player another one (where the model comes from, say), as JSON
            values.
        unknown: says in a sentence what of a task, given by its fields, the model was never trained
            on; empty = nothing.
    """

    heavy = True

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        name: str,
        look: str | Look,
        style: str = "full",
        banned: Sequence[int] = (),
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        batch: int = 32,
        seed: int = 0,
        about: Mapping[str, Any] | None = None,
        unknown: Callable[..., str] | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.name = name
        self.look, self.style, self.banned = get_look(look), style, list(banned)
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.batch = batch
        self.seed, self.about, self.unknown = seed, dict(about or {}), unknown
        self.pixels: Pixels | None = getattr(
            getattr(use_pixel_cache(processor), "image_processor", None), "pixels", None
        )
        self._texts: dict[Any, str] = {}
        self._rows: dict[Any, dict[str, Any]] = {}

    @override
    def doubts(self, game: str, level: str, look: str, prompt: str, reply: str) -> list[str]:
        task = {"game": game, "level": level, "look": look, "prompt": prompt, "reply": reply}
        return [*self.notes, *filter(None, [self.unknown(**task) if self.unknown else ""])]

    @override
    def describe(self) -> dict[str, Any]:
        sampling = {
            "max_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            **PLAIN,
        }
        return {"kind": "local", **self.about, "sampling": sampling, "banned": self.banned}

    def reply(self, game: Game, state: State) -> list[str]:
        """See :class:`Player`; with the player's own look and prompt style."""
        return [one.text for one in self.answer([Query(game, state, self.look, self.style)])[0]]

    def answer(self, queries: Sequence[Query]) -> list[list[Answer]]:
        """See :class:`Player`: pictures of one size share a batch, whatever their game; the order
        is by length of the prompt.
        """
        import torch

        was_training = self.model.training
        self.model.eval()
        replies = [[Answer()] * len(query.state) for query in queries]
        with torch.no_grad(), plain_generation(self.model):
            for parts in self._batches(queries):
                answers = iter(self._generate([queries[k][rows] for k, rows in parts]))
                for k, rows in parts:
                    begun = queries[k].begun[rows] or [""] * len(replies[k][rows])
                    told = [(begin, next(answers)) for begin in begun]
                    replies[k][rows] = [replace(one, text=begin + one.text) for begin, one in told]
                if self.on_answers:
                    self.on_answers(sum(rows.stop - rows.start for _, rows in parts))
        self.model.train(was_training)
        return replies

    def _generate(self, parts: Sequence[Query]) -> list[Answer]:
        """Replies to one batch, without what they were begun with."""
        inputs = self._inputs(parts).to(self.model.device)
        start = inputs["input_ids"].shape[1]
        options: dict[str, Any] = {
            "max_new_tokens": self.max_new_tokens,
            "do_sample": False,
            **PLAIN,
        }
        if self.temperature > 0:
            keys = [
                keys_of(self.seed, one.state.seed, one.state.steps, one.repeats) for one in parts
            ]
            options["logits_processor"] = [
                KeyedNoise(np.concatenate(keys), self.temperature, start)
            ]
        if self.banned:
            options["suppress_tokens"] = self.banned
        tokens = self.model.generate(**inputs, **options)[:, start:].tolist()
        told = inputs["attention_mask"].sum(dim=1).tolist()
        ends = self.model.generation_config.eos_token_id
        ends = set(ends) if isinstance(ends, list) else {ends}
        out = []
        for text, ids, asked in zip(
            self.processor.batch_decode(tokens, skip_special_tokens=True), tokens, told, strict=True
        ):
            last = next((k for k, token in enumerate(ids) if token in ends), None)
            finish, length = (CUT, len(ids)) if last is None else ("stop", last + 1)
            out.append(Answer(text, input_tokens=asked, output_tokens=length, finish=finish))
        return out

    def _batches(self, queries: Sequence[Query]) -> Iterator[list[tuple[int, slice]]]:
        """Rows of queries, as (number of the query, rows) by batch."""
        sizes = [frame_size(query.game, query.state.level, query.look) for query in queries]
        order = sorted(range(len(queries)), key=lambda k: (sizes[k], len(self._text(queries[k]))))
        for _, group in groupby(order, key=lambda k: sizes[k]):
            parts: list[tuple[int, slice]] = []
            room = self.batch
            for k in group:
                start = 0
                while start < len(queries[k].state):
                    rows = slice(start, min(start + room, len(queries[k].state)))
                    parts.append((k, rows))
                    start, room = rows.stop, room - (rows.stop - start)
                    if not room:
                        yield parts
                        parts = []
                        room = self.batch
            if parts:
                yield parts

    def _text(self, query: Query) -> str:
        key = query.game.name, query.state.level, query.style
        if key not in self._texts:
            ask = prompt.messages(
                prompt.prompt_text(query.game, query.state.level, query.style, blocks=query.blocks)
            )
            self._texts[key] = self.processor.apply_chat_template(
                ask, add_generation_prompt=True, tokenize=False
            )
        return self._texts[key]

    def _inputs(self, parts: Sequence[Query]) -> Any:
        """Model inputs of a batch: each text is read once, and pictures are drawn into the inputs,
        if the processor allows it.
        """
        import torch
        from torch.nn.functional import pad
        from transformers import BatchFeature

        height, width = frame_size(parts[0].game, parts[0].state.level, parts[0].look)
        plain = not any(one.past or one.begun or one.observation != "image" for one in parts)
        if not (plain and self.pixels and self.pixels.exact(height, width)):
            return self._told([(one, row) for one in parts for row in range(len(one.state))])
        drawn = [self.pixels.boards(one.game, one.state, one.look) for one in parts]
        inputs = {
            name: torch.cat([torch.from_numpy(one[name]) for one in drawn]) for name in drawn[0]
        }
        rows = [self._row(self._text(one), height, width) for one in parts]
        longest = max(row["input_ids"].shape[1] for row in rows)
        for name in rows[0].keys() - inputs.keys():
            blank = self.processor.tokenizer.pad_token_id if name == "input_ids" else 0
            columns = [
                pad(row[name], (longest - row["input_ids"].shape[1], 0), value=blank)
                for row in rows
            ]
            inputs[name] = torch.cat(
                [
                    c.repeat_interleave(len(one.state), 0)
                    for c, one in zip(columns, parts, strict=True)
                ]
            )
        return BatchFeature(inputs)

    def _told(self, rows: Sequence[tuple[Query, int]]) -> Any:
        """Model inputs of whole conversations, with any number of pictures."""
        texts = list[str]()
        images = list[list[Image.Image]]()
        for query, row in rows:
            ask = []
            shown = list[State]()
            for role, parts in query.conversation(row):
                shown += [part for part in parts if not isinstance(part, str)]
                content = [
                    {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
                    for part in parts
                ]
                ask.append({"role": role, "content": content})
            text = self.processor.apply_chat_template(
                ask, add_generation_prompt=True, tokenize=False
            )
            texts.append(text + (query.begun[row] if query.begun else ""))
            images.append([pictures(query.game, state, query.look)[0] for state in shown])
        return self.processor(
            text=texts, images=images if any(images) else None, return_tensors="pt", padding=True
        )

    def _row(self, text: str, height: int, width: int) -> dict[str, Any]:
        """What the processor makes of a text with one blank picture of this size."""
        key = text, height, width
        if key not in self._rows:
            blank = Image.new("RGB", (width, height))
            self._rows[key] = dict(
                self.processor(text=[text], images=[blank], return_tensors="pt", padding=True)
            )
        return self._rows[key]


class Relay(Player):
    """One model describes the board, another goes on from its description to the answer.

    With a model before and after training this tells what perception and what reasoning contribute,
    each by itself.

    Args:
        describer: whose description it is; a reply of it without one stands as it is.
        reasoner: who thinks and answers.
    """

    heavy = True

    def __init__(self, describer: Player, reasoner: Player) -> None:
        self.describer, self.reasoner, self.name = (
            describer,
            reasoner,
            f"{describer.name}+{reasoner.name}",
        )

    def doubts(self, game: str, level: str, look: str, prompt: str, reply: str) -> list[str]:
        """See :class:`Player`; those of both models."""
        task = (game, level, look, prompt, reply)
        both = (("the describer", self.describer), ("the reasoner", self.reasoner))
        return [f"{role}: {text}" for role, one in both for text in one.doubts(*task)]

    @override
    def describe(self) -> dict[str, Any]:
        return {
            "kind": "relay",
            "describer": self.describer.describe(),
            "reasoner": self.reasoner.describe(),
        }

    def answer(self, queries: Sequence[Query]) -> list[list[Answer]]:
        """See :class:`Player`.

        Tokens are those of both; a reply was cut where the last of them was.
        """
        described = [[Answer.of(one) for one in found] for found in self.describer.answer(queries)]
        ends = [query.blocks.end(query.blocks.perception) for query in queries]
        asked = []
        for query, answers, end in zip(queries, described, ends, strict=True):
            begun = [
                one.text.partition(end)[0] + end if end in one.text else one.text for one in answers
            ]
            asked.append(replace(query, begun=begun))
        told = [[Answer.of(one) for one in found] for found in self.reasoner.answer(asked)]
        return [
            [
                _relayed(one, other) if end in one.text else one
                for one, other in zip(before, after, strict=True)
            ]
            for before, after, end in zip(described, told, ends, strict=True)
        ]


def _relayed(before: Answer, after: Answer) -> Answer:
    """The second answer, with the tokens of both."""
    tokens = ("input_tokens", "output_tokens")
    return replace(after, **{name: getattr(before, name) + getattr(after, name) for name in tokens})
