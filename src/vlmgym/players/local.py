"""Any image-text model of Transformers as a player, batched, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import override

from vlmgym.core import Game, State
from vlmgym.dialogue import prompt
from vlmgym.players.base import CUT, Answer, Player, Query
from vlmgym.players.blocks import (
    UntilMarks,
    prompts_with,
    refuse_words,
    text_decoder,
    tokens_until,
)
from vlmgym.players.sampling import PLAIN, KeyedNoise, keys_of, plain_generation
from vlmgym.render.frames import blank_frames, blank_like, frame_size, pictures
from vlmgym.render.looks import Look, get_look
from vlmgym.render.pixel_values import Pixels, use_pixel_cache

SHARING = ("llava",)
"""Families of models (``model_type``) in which rows can share what was read of one prompt; in
others the place of a token also depends on pictures.
"""


class Sampled(NamedTuple):
    """What a model wrote after one prompt."""

    prompt_length: int  # in tokens
    tokens: list[int]  # with the one that ends the reply
    has_ended: bool


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
        path: ``"closed"``: what follows a description is generated in a second call, in which the
            picture is blank, see :mod:`vlmgym.players.blocks`.
        about: what else makes this player another one (where the model comes from, say), as JSON
            values.
        unknown: says in a sentence what of a task, given by its fields, the model was never trained
            on; empty = nothing.
    """

    sees = "picture"
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
        path: str = "open",
        about: Mapping[str, Any] | None = None,
        unknown: Callable[..., str] | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.name = name
        self.look = get_look(look)
        self.style = style
        self.banned = list(banned)
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.batch = batch
        self.seed = seed
        self.path = path
        self.about = dict(about or {})
        self.unknown = unknown
        image_processor = getattr(use_pixel_cache(processor), "image_processor", None)
        self.pixels: Pixels | None = getattr(image_processor, "pixels", None)
        self._texts: dict[Any, str] = {}
        self._text_inputs: dict[Any, dict[str, Any]] = {}

    @override
    def doubts(self, game: str, level: str, look: str, prompt: str, reply: str) -> list[str]:
        doubts = list(self.notes)
        if self.unknown:
            untrained = self.unknown(game=game, level=level, look=look, prompt=prompt, reply=reply)
            if untrained:
                doubts.append(untrained)
        return doubts

    @override
    def describe(self) -> dict[str, Any]:
        sampling = {
            "max_tokens": self.max_new_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            **PLAIN,
        }
        path = {} if self.path == "open" else {"path": self.path}
        return {"kind": "local", **self.about, **path, "sampling": sampling, "banned": self.banned}

    @override
    def reply(self, game: Game, state: State) -> list[str]:
        """The texts for each row, under the player's own look and prompt style."""
        query = Query(game, state, self.look, self.style)
        (answers,) = self.answer([query])
        return [answer.text for answer in answers]

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[Answer]]:
        """Replies to several queries, one a row of each.

        Pictures of one size share a batch, whatever their game; the order is by length of the
        prompt.
        """
        answers = [[Answer()] * len(query.state) for query in queries]
        with self._generating():
            for batch in self._batches(queries):
                batch_queries = [queries[number][rows] for number, rows in batch]
                generated = iter(self._generate(batch_queries))
                for (number, rows), query in zip(batch, batch_queries, strict=True):
                    beginnings = query.begun or [""] * len(query.state)
                    answers[number][rows] = [
                        _with_beginning(beginning, next(generated)) for beginning in beginnings
                    ]
                if self.on_answers:
                    self.on_answers(sum(rows.stop - rows.start for _, rows in batch))
        return answers

    def branches(self, query: Query, continuations: int) -> list[list[Answer]]:
        """Replies to first turns that share their beginnings: a description of each row, and so
        many continuations of it, sampled as in training.

        The luck of a continuation is that of a repeat of its own, after those of the descriptions.
        A description that does not end is a reply by itself, as often as it had continuations.

        Args:
            query: by pictures alone; its repeats are 0 to ``B - 1``.
            continuations: of each description.

        Returns:
            ``B`` lists of as many replies.
        """
        mark = query.blocks.end(query.blocks.perception)
        count = len(query.state)
        with self._generating():
            described = list[Sampled]()
            for start in range(0, count, self.batch):
                asked = query[start : start + self.batch]
                marks = [mark] * len(asked.state)
                described += self._sample([asked], self._inputs([asked]), until=marks)
            told = [self._description(mark, sampled) for sampled in described]
            branches = [[self._answer_of(sampled)] * continuations for sampled in described]
            for numbers, copies in self._branch_batches(told, continuations):
                concluded = self._continue(query, numbers, told, copies, continuations)
                for row, after in enumerate(concluded):
                    number = numbers[row // len(copies)]
                    both = after._replace(tokens=[*(told[number] or []), *after.tokens])
                    branches[number][copies[row % len(copies)]] = self._answer_of(both)
        return branches

    def _branch_batches(
        self, told: Sequence[list[int] | None], continuations: int
    ) -> Iterator[tuple[list[int], range]]:
        """Batches of descriptions that ended, the shortest first, and of continuations of each."""
        lengths = {number: len(tokens) for number, tokens in enumerate(told) if tokens is not None}
        order = sorted(lengths, key=lengths.__getitem__)
        together = max(self.batch // continuations, 1)
        for start in range(0, len(order), together):
            for first in range(0, continuations, self.batch):
                copies = range(first, min(first + self.batch, continuations))
                yield order[start : start + together], copies

    def _continue(
        self,
        query: Query,
        numbers: Sequence[int],
        told: Sequence[list[int] | None],
        copies: range,
        continuations: int,
    ) -> list[Sampled]:
        """Some continuations of some descriptions of a query, those of one after each other."""
        rows = np.repeat(numbers, len(copies))
        luck = rows * continuations + np.tile(copies, len(numbers)) + len(query.state)
        asked = replace(query, state=query.state[rows], repeats=luck.tolist())
        tokens = [told[row] or [] for row in rows]
        if self.model.config.model_type not in SHARING or len(copies) == 1:
            return self._conclude([asked], tokens)
        described = replace(query, state=query.state[np.array(numbers)], repeats=())
        said = [told[number] or [] for number in numbers]
        inputs = self._going_on([described], said)
        cache = self._read(inputs)
        cache.batch_repeat_interleave(len(copies))
        repeated = {
            name: inputs[name].repeat_interleave(len(copies), 0)
            for name in ("input_ids", "attention_mask")
        }
        return self._sample([asked], repeated, said=list(map(len, tokens)), cache=cache)

    def _read(self, inputs: Mapping[str, Any]) -> Any:
        """The cache of all tokens of prompts but the last."""
        from transformers import BatchFeature

        from vlmgym.players.cache import roomy_cache

        cache: Any = roomy_cache(self.model)
        inputs = BatchFeature(dict(inputs)).to(self.model.device)
        self.model.generate(**inputs, do_sample=False, max_new_tokens=1, past_key_values=cache)
        cache.crop(-1)
        return cache

    @contextmanager
    def _generating(self) -> Iterator[None]:
        """While entered, the model generates by what it is told here, and nothing is learned."""
        import torch

        was_training = self.model.training
        self.model.eval()
        with torch.no_grad(), plain_generation(self.model):
            yield
        self.model.train(was_training)

    def _generate(self, queries: Sequence[Query]) -> list[Answer]:
        """Replies to one batch, without what they were begun with."""
        if self.path == "closed":
            return self._generate_in_blocks(queries)
        return [self._answer_of(row) for row in self._sample(queries, self._inputs(queries))]

    def _generate_in_blocks(self, queries: Sequence[Query]) -> list[Answer]:
        """As :meth:`_generate`, in two calls: descriptions, and what follows them without the
        picture. A reply whose description does not end is that of the first call.
        """
        marks = list[str]()
        for query in queries:
            refuse_words(self.path, query.observation)
            mark = query.blocks.end(query.blocks.perception)
            for beginning in query.begun or [""] * len(query.state):
                marks.append("" if mark in beginning else mark)
        descriptions = [Sampled(0, [], has_ended=False)] * len(marks)
        if any(marks):
            descriptions = self._sample(queries, self._inputs(queries), until=marks)
        told = [
            self._description(mark, sampled)
            for mark, sampled in zip(marks, descriptions, strict=True)
        ]
        conclusions = self._conclude(queries, [description or [] for description in told])
        answers = []
        for before, description, after in zip(descriptions, told, conclusions, strict=True):
            if description is None:
                answers.append(self._answer_of(before))
                continue
            length = before.prompt_length + after.prompt_length
            both = Sampled(length, [*description, *after.tokens], after.has_ended)
            answers.append(self._answer_of(both))
        return answers

    def _conclude(self, queries: Sequence[Query], told: Sequence[list[int]]) -> list[Sampled]:
        """What follows the tokens of descriptions, on the player's path."""
        return self._sample(queries, self._going_on(queries, told), said=list(map(len, told)))

    def _going_on(self, queries: Sequence[Query], told: Sequence[list[int]]) -> dict[str, Any]:
        """Model inputs that end with the tokens of descriptions, on the player's path."""
        inputs = self._inputs(queries, hidden=self.path == "closed")
        return prompts_with(inputs, told, self.processor.tokenizer.pad_token_id)

    def _description(self, mark: str, sampled: Sampled) -> list[int] | None:
        """The tokens of a reply up to a mark; None where it is not there, or leaves no room for
        more.
        """
        if not mark:
            return []
        length = tokens_until(mark, sampled.tokens, text_decoder(self.processor))
        if length is None or length >= self.max_new_tokens:
            return None
        return sampled.tokens[:length]

    def _sample(
        self,
        queries: Sequence[Query],
        inputs: Any,
        until: Sequence[str] = (),
        said: Sequence[int] = (),
        cache: Any = None,
    ) -> list[Sampled]:
        """What the model writes after prompts.

        Args:
            queries: what is asked.
            inputs: of the model.
            until: for each row what it may end after; none: nothing.
            said: for each row how many tokens of the reply the prompt holds; none: 0.
            cache: of what was read of the prompts already; None: nothing.
        """
        from transformers import BatchFeature, StoppingCriteriaList

        from vlmgym.players.cache import generate_unended, roomy_cache

        inputs = BatchFeature(dict(inputs)).to(self.model.device)
        prompt_length = inputs["input_ids"].shape[1]
        lengths_said = np.asarray(said if len(said) else [0], np.int64)
        options = self._generation_options(queries, prompt_length - lengths_said)
        options["max_new_tokens"] = self.max_new_tokens - int(lengths_said.min())
        if len(until):
            criterion = UntilMarks(until, text_decoder(self.processor))
            options["stopping_criteria"] = StoppingCriteriaList([criterion])
        options["past_key_values"] = roomy_cache(self.model) if cache is None else cache
        input_counts = inputs["attention_mask"].sum(dim=1).tolist()
        end_tokens = self.model.generation_config.eos_token_id
        end_tokens = set(end_tokens) if isinstance(end_tokens, list) else {end_tokens}
        if self.model.config.model_type in SHARING and not len(until):
            sequences = generate_unended(self.model, inputs, options, end_tokens)
        else:
            sequences = self.model.generate(**inputs, **options).tolist()
        replies = [tokens[prompt_length:] for tokens in sequences]
        limits = self.max_new_tokens - np.broadcast_to(lengths_said, len(replies))
        sampled = []
        for tokens, input_count, limit in zip(replies, input_counts, limits, strict=True):
            within = tokens[: int(limit)]
            ends = (place for place, token in enumerate(within) if token in end_tokens)
            end = next(ends, None)
            if end is not None:
                within = within[: end + 1]
            sampled.append(Sampled(input_count, within, end is not None))
        return sampled

    def _answer_of(self, sampled: Sampled) -> Answer:
        """A reply as an answer."""
        return Answer(
            text_decoder(self.processor)(sampled.tokens),
            input_tokens=sampled.prompt_length,
            output_tokens=len(sampled.tokens),
            finish="stop" if sampled.has_ended else CUT,
        )

    def _generation_options(
        self, queries: Sequence[Query], start: NDArray[np.int64]
    ) -> dict[str, Any]:
        """Arguments of ``generate`` for one batch, beside its inputs; replies begin at ``start``,
        one place or one a row.
        """
        options: dict[str, Any] = {"do_sample": False, **PLAIN}
        if self.temperature > 0:
            keys = [
                keys_of(self.seed, query.state.seed, query.state.steps, query.repeats)
                for query in queries
            ]
            noise = KeyedNoise(np.concatenate(keys), self.temperature, start)
            options["logits_processor"] = [noise]
        if self.banned:
            options["suppress_tokens"] = self.banned
        return options

    def _batches(self, queries: Sequence[Query]) -> Iterator[list[tuple[int, slice]]]:
        """Rows of queries, as (number of the query, rows) by batch."""
        sizes = [frame_size(query.game, query.state.level, query.look) for query in queries]
        lengths = [len(self._text(query)) for query in queries]
        keys = list(zip(sizes, lengths, strict=True))
        order = sorted(range(len(queries)), key=keys.__getitem__)
        for _, numbers in groupby(order, key=sizes.__getitem__):
            batch: list[tuple[int, slice]] = []
            free_rows = self.batch
            for number in numbers:
                row_count = len(queries[number].state)
                start = 0
                while start < row_count:
                    stop = min(start + free_rows, row_count)
                    batch.append((number, slice(start, stop)))
                    free_rows -= stop - start
                    start = stop
                    if not free_rows:
                        yield batch
                        batch = []
                        free_rows = self.batch
            if batch:
                yield batch

    def _text(self, query: Query) -> str:
        """The prompt of a first turn, as the model's template writes it."""
        level = query.state.level
        key = query.game.name, level, query.style, query.blocks
        if key not in self._texts:
            question = prompt.prompt_text(query.game, level, query.style, blocks=query.blocks)
            self._texts[key] = self.processor.apply_chat_template(
                prompt.messages(question), add_generation_prompt=True, tokenize=False
            )
        return self._texts[key]

    def _inputs(self, queries: Sequence[Query], hidden: bool = False) -> Any:
        """Model inputs of a batch: each text is read once, and pictures are drawn into the inputs,
        if the processor allows it; ``hidden``: blank ones.
        """
        first = queries[0]
        height, width = frame_size(first.game, first.state.level, first.look)
        pixels = self.pixels
        if pixels and all(map(_is_plain, queries)) and pixels.exact(height, width):
            return self._drawn_inputs(queries, pixels, height, width, hidden)
        return self._conversation_inputs(queries, hidden)

    def _drawn_inputs(
        self, queries: Sequence[Query], pixels: Pixels, height: int, width: int, hidden: bool
    ) -> Any:
        """Model inputs of first turns: one text for each query, and pictures of one size."""
        import torch
        from torch.nn.functional import pad
        from transformers import BatchFeature

        if hidden:
            blanks = [blank_frames(len(query.state), height, width) for query in queries]
            drawn = [pixels.frames(frames) for frames in blanks]
        else:
            drawn = [pixels.boards(query.game, query.state, query.look) for query in queries]
        inputs = {
            name: torch.cat([torch.from_numpy(arrays[name]) for arrays in drawn])
            for name in drawn[0]
        }
        texts = [self._inputs_of_text(self._text(query), height, width) for query in queries]
        lengths = [tensors["input_ids"].shape[1] for tensors in texts]
        for name in texts[0].keys() - inputs.keys():
            filler = self.processor.tokenizer.pad_token_id if name == "input_ids" else 0
            tensors_of_queries = []
            for query, tensors, length in zip(queries, texts, lengths, strict=True):
                padded = pad(tensors[name], (max(lengths) - length, 0), value=filler)
                tensors_of_queries.append(padded.repeat_interleave(len(query.state), 0))
            inputs[name] = torch.cat(tensors_of_queries)
        return BatchFeature(inputs)

    def _conversation_inputs(self, queries: Sequence[Query], hidden: bool) -> Any:
        """Model inputs of whole conversations, with any number of pictures."""
        texts = list[str]()
        images = list[list[Image.Image]]()
        for query in queries:
            for row in range(len(query.state)):
                messages = []
                states = list[State]()
                for role, parts in query.conversation(row):
                    states += [part for part in parts if not isinstance(part, str)]
                    messages.append({"role": role, "content": [_content(part) for part in parts]})
                text = self.processor.apply_chat_template(
                    messages, add_generation_prompt=True, tokenize=False
                )
                texts.append(text + (query.begun[row] if query.begun else ""))
                shown = [pictures(query.game, state, query.look)[0] for state in states]
                images.append([blank_like(picture) for picture in shown] if hidden else shown)
        return self.processor(
            text=texts, images=images if any(images) else None, return_tensors="pt", padding=True
        )

    def _inputs_of_text(self, text: str, height: int, width: int) -> dict[str, Any]:
        """What the processor makes of a text with one blank picture of this size."""
        key = text, height, width
        if key not in self._text_inputs:
            blank = Image.new("RGB", (width, height))
            self._text_inputs[key] = dict(
                self.processor(text=[text], images=[blank], return_tensors="pt", padding=True)
            )
        return self._text_inputs[key]


def _with_beginning(beginning: str, answer: Answer) -> Answer:
    """An answer with the text that it was begun with."""
    return replace(answer, text=beginning + answer.text)


def _is_plain(query: Query) -> bool:
    """Whether it asks about first turns by a picture alone."""
    return not (query.past or query.begun or query.observation != "image")


def _content(part: State | str) -> dict[str, str]:
    """A part of a message, as chat templates read it."""
    return {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}


class Relay(Player):
    """One model describes the board, another goes on from its description to the answer.

    The second has the picture before it as well, unless its path is closed: how well a pair plays
    then does not tell what the description contributes, and is warned of.

    Args:
        describer: whose description it is; a reply of it without one stands as it is.
        reasoner: who thinks and answers.
    """

    sees = "picture"
    heavy = True

    def __init__(self, describer: Player, reasoner: Player) -> None:
        self.describer = describer
        self.reasoner = reasoner
        self.name = f"{describer.name}+{reasoner.name}"

    @override
    def doubts(self, game: str, level: str, look: str, prompt: str, reply: str) -> list[str]:
        task = (game, level, look, prompt, reply)
        players = {"the describer": self.describer, "the reasoner": self.reasoner}
        doubts = []
        for role, player in players.items():
            doubts += [f"{role}: {doubt}" for doubt in player.doubts(*task)]
        if getattr(self.reasoner, "path", "open") == "open":
            doubts.append(
                "the reasoner has the picture before it as well (its path is open): this does not "
                "tell what perception contributes"
            )
        return doubts

    @override
    def describe(self) -> dict[str, Any]:
        return {
            "kind": "relay",
            "describer": self.describer.describe(),
            "reasoner": self.reasoner.describe(),
        }

    @override
    def answer(self, queries: Sequence[Query]) -> list[list[Answer]]:
        """Replies of the second model, begun with the descriptions of the first.

        Tokens are those of both; a reply was cut where the last of them was.
        """
        descriptions = _answers_of(self.describer, queries)
        queries_begun = []
        for query, answers in zip(queries, descriptions, strict=True):
            end = _end_of_description(query)
            beginnings = []
            for answer in answers:
                description, mark, _ = answer.text.partition(end)
                beginnings.append(description + mark)
            queries_begun.append(replace(query, begun=beginnings))
        conclusions = _answers_of(self.reasoner, queries_begun)
        relayed = []
        for query, before, after in zip(queries, descriptions, conclusions, strict=True):
            end = _end_of_description(query)
            relayed.append(
                [
                    _relayed(description, conclusion) if end in description.text else description
                    for description, conclusion in zip(before, after, strict=True)
                ]
            )
        return relayed


def _answers_of(player: Player, queries: Sequence[Query]) -> list[list[Answer]]:
    """What a player replies, all as Answers."""
    return [[Answer.of(reply) for reply in replies] for replies in player.answer(queries)]


def _end_of_description(query: Query) -> str:
    return query.blocks.end(query.blocks.perception)


def _relayed(description: Answer, conclusion: Answer) -> Answer:
    """The second answer, with the tokens of both."""
    return replace(
        conclusion,
        input_tokens=description.input_tokens + conclusion.input_tokens,
        output_tokens=description.output_tokens + conclusion.output_tokens,
    )
