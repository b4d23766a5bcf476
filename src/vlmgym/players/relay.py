"""Two local models in a row: one describes the board, the other goes on from its description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from typing_extensions import override

from vlmgym.players.base import Answer, Player, Query


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
