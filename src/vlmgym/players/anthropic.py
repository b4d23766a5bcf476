"""Models behind Anthropic's messages as players."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from vlmgym.players.api import ApiPlayer
from vlmgym.players.base import REFUSED, Answer, Query
from vlmgym.players.messages import conversation
from vlmgym.players.requests import count, mapping, texts, why_finished


class AnthropicPlayer(ApiPlayer):
    """A model behind Anthropic's messages; the key is read from ``ANTHROPIC_API_KEY``."""

    kind = "anthropic"
    key_variable = "ANTHROPIC_API_KEY"
    url_variable = "ANTHROPIC_BASE_URL"
    headers_variable = "ANTHROPIC_CUSTOM_HEADERS"
    official_url = "https://api.anthropic.com"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sampling.setdefault("max_tokens", 4096)  # without it a request is refused

    @override
    def _headers(self, key: str) -> dict[str, str]:
        return {"anthropic-version": "2023-06-01"} | ({"x-api-key": key} if key else {})

    @override
    def _path(self, purpose: str) -> str:
        path = "/models" if purpose == "models" else "/messages"
        return path if self.base_url.endswith("/v1") else "/v1" + path

    @override
    def _messages(self, query: Query) -> list[dict[str, Any]]:
        return conversation(query, _picture_part)

    @override
    def _answer(self, body: Mapping[str, Any]) -> Answer:
        blocks = body["content"]
        usage = mapping(body.get("usage"))
        if not isinstance(blocks, list):
            raise TypeError("content is no list")
        text, thought = texts(blocks)
        finish = why_finished(body.get("stop_reason"))
        if finish == REFUSED and not text:
            text = texts(mapping(body.get("stop_details")).get("explanation"))[0]
        return Answer(
            text,
            reasoning=thought,
            input_tokens=count(usage.get("input_tokens")),
            output_tokens=count(usage.get("output_tokens")),
            finish=finish,
        )


def _picture_part(url: str) -> dict[str, Any]:
    content = url.partition(",")[2]
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": content},
    }
