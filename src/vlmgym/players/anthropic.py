"""Models behind Anthropic's messages as players."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vlmgym.players.api import ApiPlayer
from vlmgym.players.base import REFUSED, Answer, Query
from vlmgym.players.requests import count, mapping, texts, why_finished


class AnthropicPlayer(ApiPlayer):
    """A model behind Anthropic's messages; the key is read from ``ANTHROPIC_API_KEY``."""

    kind = "anthropic"
    key_variable, url_variable, headers_variable = (
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_CUSTOM_HEADERS",
    )
    official_url = "https://api.anthropic.com"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sampling.setdefault("max_tokens", 4096)  # without it a request is refused

    def _headers(self, key: str) -> dict[str, str]:
        return {"anthropic-version": "2023-06-01"} | ({"x-api-key": key} if key else {})

    def _path(self, what: str) -> str:
        path = "/models" if what == "models" else "/messages"
        return path if self.base_url.endswith("/v1") else "/v1" + path

    def _messages(self, query: Query) -> list[dict[str, Any]]:
        source = {"type": "base64", "media_type": "image/png"}
        return self._said(
            query,
            lambda url: {"type": "image", "source": {**source, "data": url.partition(",")[2]}},
        )

    def _answer(self, body: Mapping[str, Any]) -> Answer:
        blocks, usage = body["content"], mapping(body.get("usage"))
        if not isinstance(blocks, list):
            raise TypeError("content is no list")
        text, thought = texts(blocks)
        why = why_finished(body.get("stop_reason"))
        if why == REFUSED and not text:
            text = texts(mapping(body.get("stop_details")).get("explanation"))[0]
        return Answer(
            text,
            reasoning=thought,
            input_tokens=count(usage.get("input_tokens")),
            output_tokens=count(usage.get("output_tokens")),
            finish=why,
        )
