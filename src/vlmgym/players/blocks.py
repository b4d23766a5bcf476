"""Answers in two blocks: a description of the board, up to the end of its block, and what follows.

Blocks are told apart in tokens, and no text is read again: a description is the tokens that were
sampled, up to the one in which the end of its block is complete. What follows is sampled after just
these tokens, also where the last of them reaches further (``"><"``).

The ``path`` from the picture to the move is *open* where what follows the description is generated
with the picture before it, and *closed* where it sees a blank picture of the same size in its
place, so that all that it can know of the board is what the description says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vlmgym.core import ConfigError

PATHS = ("open", "closed")
"""Whether what follows a description is generated with the picture or without it."""
ALONG_TOKENS = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
"""Inputs of a model with a column for each token."""

Decode = Callable[[Sequence[int]], str]
"""Tokens to their text."""


def tokens_until(mark: str, tokens: Sequence[int], decode: Decode) -> int | None:
    """How many of the tokens it takes until their text holds a mark; None where it never does."""
    if mark not in decode(tokens):
        return None
    fewest = 0
    most = len(tokens)
    while fewest < most:
        middle = (fewest + most) // 2
        if mark in decode(tokens[:middle]):
            most = middle
        else:
            fewest = middle + 1
    return most


def text_decoder(processor: Any) -> Decode:
    """How the tokens of a reply become its text."""
    tokenizer = getattr(processor, "tokenizer", processor)

    def decode(tokens: Sequence[int]) -> str:
        text: str = tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    return decode


class UntilMarks:
    """Ends the generation of a row when its reply holds the row's mark, as a stopping criterion.

    Args:
        marks: for each row; empty = the row ends at once.
        decode: tokens to their text.
    """

    def __init__(self, marks: Sequence[str], decode: Decode) -> None:
        self.marks = marks
        self.decode = decode
        self.start = -1  # length of the prompts in tokens, padding included
        self.has_ended = [False] * len(marks)

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """``(B,)``: the rows that have ended."""
        import torch

        if self.start < 0:  # it is asked after the first token, and after each
            self.start = input_ids.shape[1] - 1
        for row, mark in enumerate(self.marks):
            if not self.has_ended[row]:
                # a token has at least one byte, so the mark lies within so many of them
                first = max(self.start, input_ids.shape[1] - len(mark.encode()) - 1)
                self.has_ended[row] = mark in self.decode(input_ids[row, first:].tolist())
        return torch.tensor(self.has_ended, device=input_ids.device)


def prompts_with(
    inputs: Mapping[str, Any], tokens: Sequence[Sequence[int]], filler: int
) -> dict[str, Any]:
    """Inputs of a model whose prompts go on with tokens, padded on the left.

    Args:
        inputs: of prompts that are padded on the left.
        tokens: for each row.
        filler: the token that fills up.
    """
    import torch

    used = inputs["attention_mask"].bool()
    lengths = used.sum(dim=1).tolist()
    width = max(length + len(more) for length, more in zip(lengths, tokens, strict=True))
    extended = dict(inputs)
    for name in ALONG_TOKENS:
        if name not in inputs:
            continue
        column = inputs[name]
        rows = torch.full((len(tokens), width), filler if name == "input_ids" else 0)
        rows = rows.to(column)
        for row, more in enumerate(tokens):
            first = width - lengths[row] - len(more)
            rows[row, first : width - len(more)] = column[row][used[row]]
            if more and name == "input_ids":
                rows[row, width - len(more) :] = torch.tensor(more)
            elif more and name == "attention_mask":
                rows[row, width - len(more) :] = 1
        extended[name] = rows
    return extended


def refuse_words(path: str, observation: str) -> None:
    """Refuse boards in words where the picture is to be hidden: they would stay.

    Raises:
        ConfigError: the path is closed, and something else than the picture tells the board.
    """
    if path == "closed" and observation != "image":
        raise ConfigError("observation", observation, "image, where the path is closed")
