"""What a local model reads of queries: the tokens of prompts, and the values of pictures.

First turns by a picture alone are most of what is asked: the text of a task is read once, with one
blank picture, and the pictures of all rows are drawn straight into the model's input, where the
image processor allows it (:mod:`vlmgym.render.pixel_values`). All else (earlier turns, boards in
words, replies that are begun, sizes that are resized) goes through the processor, conversation by
conversation. Either way the model reads what the processor would make of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from PIL import Image

from vlmgym.core import State
from vlmgym.dialogue import prompt
from vlmgym.players.base import Query
from vlmgym.players.blocks import prompts_with
from vlmgym.render.frames import blank_frames, blank_like, frame_size, pictures
from vlmgym.render.pixel_values import Pixels, use_pixel_cache


class ModelInputs:
    """Makes the inputs of one model; texts are kept, as few differ.

    Args:
        processor: the model's (left padding); it gets the cache of pixels.
    """

    def __init__(self, processor: Any) -> None:
        image_processor = getattr(use_pixel_cache(processor), "image_processor", None)
        self.processor = processor
        self.pixels: Pixels | None = getattr(image_processor, "pixels", None)
        self._texts: dict[Any, str] = {}
        self._text_inputs: dict[Any, dict[str, Any]] = {}

    def text(self, query: Query) -> str:
        """The prompt of a first turn, as the model's template writes it."""
        level = query.state.level
        key = query.game.name, level, query.style, query.blocks
        if key not in self._texts:
            question = prompt.prompt_text(query.game, level, query.style, blocks=query.blocks)
            self._texts[key] = self.processor.apply_chat_template(
                prompt.messages(question), add_generation_prompt=True, tokenize=False
            )
        return self._texts[key]

    def batches(self, queries: Sequence[Query], size: int) -> Iterator[list[tuple[int, slice]]]:
        """Rows of queries, as (number of the query, rows) by batch: at most ``size`` rows with
        pictures of one size, in the order of the lengths of prompts.
        """
        sizes = [frame_size(query.game, query.state.level, query.look) for query in queries]
        lengths = [len(self.text(query)) for query in queries]
        keys = list(zip(sizes, lengths, strict=True))
        order = sorted(range(len(queries)), key=keys.__getitem__)
        for _, numbers in groupby(order, key=sizes.__getitem__):
            batch: list[tuple[int, slice]] = []
            free_rows = size
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
                        free_rows = size
            if batch:
                yield batch

    def of(self, queries: Sequence[Query], hidden: bool = False) -> Any:
        """Model inputs of a batch: each text is read once, and pictures are drawn into the inputs,
        if the processor allows it; ``hidden``: blank ones.
        """
        first = queries[0]
        height, width = frame_size(first.game, first.state.level, first.look)
        pixels = self.pixels
        if pixels and all(map(_is_plain, queries)) and pixels.exact(height, width):
            return self._drawn_inputs(queries, pixels, height, width, hidden)
        return self._conversation_inputs(queries, hidden)

    def with_tokens(
        self, queries: Sequence[Query], tokens: Sequence[Sequence[int]], hidden: bool
    ) -> dict[str, Any]:
        """:meth:`of` a batch, whose prompts go on with the tokens of each row."""
        filler = self.processor.tokenizer.pad_token_id
        return prompts_with(self.of(queries, hidden), tokens, filler)

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
        texts = [self._inputs_of_text(self.text(query), height, width) for query in queries]
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


def _is_plain(query: Query) -> bool:
    """Whether it asks about first turns by a picture alone."""
    return not (query.past or query.begun or query.observation != "image")


def _content(part: State | str) -> dict[str, str]:
    """A part of a message, as chat templates read it."""
    return {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
