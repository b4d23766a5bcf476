"""The question: what a model is asked about a state, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vlmgym.core import ConfigError, Game, Level, State
from vlmgym.dialogue.perception import NO_TRUTH, truth
from vlmgym.dialogue.reply import BLOCKS, Blocks

STYLES = ("full", "brief", "moves")


def prompt_text(
    game: Game,
    level: Level,
    style: str = "full",
    board: Sequence[str] = (),
    image: bool = True,
    blocks: Blocks = BLOCKS,
) -> str:
    """The text that goes with the picture.

    Args:
        game: the game.
        level: its level.
        style: ``"full"`` (rules, actions and how to answer), ``"brief"`` (one line, for the
            embedded tiny model), or ``"moves"`` (one line as well, which asks what the moves would
            do and not for a move).
        board: lines of a board that is told in words (see :func:`truth`); none by default.
        image: whether there is a picture.
        blocks: what the blocks of the reply are to be called; the embedded tiny model, for which
            ``"brief"`` and ``"moves"`` are, is not told.

    Raises:
        ConfigError: unknown style.
    """
    if style not in STYLES:
        raise ConfigError("prompt style", style, "one of " + ", ".join(STYLES))
    rows, columns = game.sample(level).symbols.shape[1:]
    board_text = "".join(f"\n{line}" for line in board)
    if style != "full":
        title = f"{game.name} {rows}x{columns}" if rows else game.name
        return title + (" moves?" if style == "moves" else "") + board_text
    board_form = (
        f"{rows} lines, one for each row from top to bottom, the {columns} cells of a row from "
        "left to right joined by |"
    )
    shown = f"The picture shows the {'board' if rows else 'screen'}. " if image else ""
    if board:
        subject = "what is on it" if image else "the board"
        shown += f"This is {subject}, as {board_form}:{board_text}\n"
    description = "what you see"
    if rows:
        description = f"the board{' as you see it' if image else ''}: {board_form}"
    thinking = "what the moves would do and which one you choose"
    return (
        f"{game.rules(level)}\n"
        f"{shown}Reply in three blocks, in this order and nothing else:\n"
        f"{blocks.write(blocks.perception, description)}\n"
        f"{blocks.write(blocks.think, thinking)}\n"
        f"{blocks.write(blocks.answer, game.answer_format(level))}"
    )


def board_lines(game: Game, state: State) -> list[str]:
    """The true board of one game in words, a line for each row.

    Raises:
        ConfigError: the game has no truth text.
    """
    text = truth(game, state)[0]
    if text == NO_TRUTH:
        raise ConfigError("observation", "text", f"image ({game.name} has no truth text)")
    return text.split("\n")


def messages(text: str) -> list[dict[str, Any]]:
    """One user turn with a picture and a text, in the conversational form of Transformers and
    TRL.
    """
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]


def next_text(board: Sequence[str] = ()) -> str:
    """What is said after a reply, where the past is told: the board comes as a picture, or as these
    lines.
    """
    picture = "The picture shows the board after your move."
    first = "The board after your move:" if board else picture
    return "\n".join([first, *board, "Reply in the same form."])


def prefills(game: Game, state: State, style: str = "full", blocks: Blocks = BLOCKS) -> list[str]:
    """How replies begin whose description is given: the true one of every row of a batch, as a
    whole block.
    """
    return [blocks.write(blocks.perception, text) for text in truth(game, state, style)]
