"""Models behind the chat completions of an OpenAI-compatible endpoint as players."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from vlmgym.players.api import ApiPlayer
from vlmgym.players.base import REFUSED, Answer, Query
from vlmgym.players.messages import conversation
from vlmgym.players.requests import count, mapping, texts, why_finished

NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sampling that changes nothing, as vLLM and SGLang read it; what is not sent they take from the
model's generation_config.
"""


ACCOUNT_HEADERS = {
    "OpenAI-Organization": "OPENAI_ORG_ID",
    "OpenAI-Project": "OPENAI_PROJECT_ID",
}
"""Headers of the official endpoint, and the environment variables that hold them."""


class OpenAIPlayer(ApiPlayer):
    """A model behind the chat completions of an OpenAI-compatible endpoint (vLLM, SGLang, OpenAI,
    OpenRouter, Ollama ...).

    The key is read from ``OPENAI_API_KEY`` and sent to whatever endpoint is named; endpoints other
    than OpenAI's may need none.
    """

    kind = "api"
    key_variable = "OPENAI_API_KEY"
    url_variable = "OPENAI_BASE_URL"
    headers_variable = "OPENAI_CUSTOM_HEADERS"
    official_url = "https://api.openai.com/v1"
    neutral = NEUTRAL

    @override
    def _headers(self, key: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if key and self.address.host.endswith(".azure.com"):
            headers["api-key"] = key
        if self.base_url == self.official_url:
            for name, variable in ACCOUNT_HEADERS.items():
                if value := os.environ.get(variable):
                    headers[name] = value
        return headers

    @override
    def _path(self, purpose: str) -> str:
        return "/models" if purpose == "models" else "/chat/completions"

    @override
    def _messages(self, query: Query) -> list[dict[str, Any]]:
        messages = conversation(query, lambda url: {"type": "image_url", "image_url": {"url": url}})
        # earlier replies, as the plain texts that every server reads
        for message in messages[1::2]:
            message["content"] = message["content"][0]["text"]
        return messages

    @override
    def _answer(self, body: Mapping[str, Any]) -> Answer:
        choice = body["choices"][0]
        message = choice["message"]
        text, thought = texts(message.get("content"))
        finish = choice.get("finish_reason")
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            text = text or refusal
            finish = REFUSED
        if not thought:
            thought, _ = texts(message.get("reasoning_content") or message.get("reasoning"))
        usage = mapping(body.get("usage"))
        details = mapping(usage.get("completion_tokens_details"))
        return Answer(
            text,
            reasoning=thought,
            input_tokens=count(usage.get("prompt_tokens")),
            output_tokens=count(usage.get("completion_tokens")),
            reasoning_tokens=count(details.get("reasoning_tokens")),
            finish=why_finished(finish),
        )
