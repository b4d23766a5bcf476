"""Models behind an API as players: any OpenAI-compatible endpoint, and Anthropic's; many requests at once."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import random
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from vlmgym.core import ConfigError, Settings, VlmGymError, need, setting
from vlmgym.players.base import AsyncPlayer, Query
from vlmgym.render import pictures
from vlmgym.trace import Answer

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Status codes after which the same request is worth another try."""
HOPELESS = frozenset({401, 402, 403, 404})
"""Status codes that every request would get: key, payment, rights, name of the model."""


class ApiError(VlmGymError, RuntimeError):
    """The endpoint refuses all requests (key, rights, name of the model); what was answered before is kept."""


@dataclass(frozen=True)
class ApiSettings(Settings):
    """How an endpoint is used; it stays the same player whatever these are."""

    concurrency: int = setting(16, "most requests at once; fewer while the endpoint answers 429", 1, 4096)
    retries: int = setting(6, "further attempts after a fault", 0, 100)
    request_seconds: float = setting(300.0, "time limit of one attempt", 0.01, 86_400.0)
    episode_seconds: float = setting(0.0, "time limit of all requests of an episode together; 0 = none", 0.0, 1e7)
    backoff_seconds: float = setting(1.0, "the first wait after a fault is below this, the next below twice ...", 0.0, 600.0)
    most_backoff_seconds: float = setting(60.0, "... up to this; a Retry-After counts up to ten times this", 0.0, 3600.0)
    reply_bytes: int = setting(4_000_000, "a longer reply is a fault", 1000, 1_000_000_000)


class _Fault(Exception):
    """An attempt that gave no answer: the reason, whether to try again, and how long the endpoint asked to wait."""

    def __init__(self, reason: str, again: bool = True, wait: float = 0.0, busy: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.again, self.wait, self.busy = reason, again, wait, busy


class _Gate:
    """Lets so many requests through at once: half as many after a 429, one more after as many answers as there are places.

    Additive increase, multiplicative decrease: Chiu and Jain (1989), Computer Networks and ISDN Systems 17, 1-14.
    """

    def __init__(self, most: int) -> None:
        self.most, self.places, self.inside = most, float(most), 0
        self._waiting = asyncio.Condition()
        self._slowed = 0.0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        async with self._waiting:
            await self._waiting.wait_for(lambda: self.inside < max(1, int(self.places)))
            self.inside += 1
        try:
            yield
        finally:
            async with self._waiting:
                self.inside -= 1
                self._waiting.notify_all()

    def answered(self) -> None:
        self.places = min(self.most, self.places + 1 / self.places)

    def busy(self, begun: float) -> None:
        """A 429; those of requests that began before the last halving say nothing new."""
        if begun >= self._slowed:
            self.places, self._slowed = max(1.0, self.places / 2), time.monotonic()


def image_url(picture: Any) -> str:
    """A picture as a PNG data URL in its true size."""
    data = io.BytesIO()
    picture.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


class ApiPlayer(AsyncPlayer):
    """What the two kinds of endpoint share: places, attempts, time limits, what a reply costs.

    Args:
        model: name of the model at the endpoint.
        base_url: address of the endpoint; empty = the client's own.
        sampling: fields of the request, such as ``temperature`` or ``max_tokens``; those that are None are left out.
        settings: how the endpoint is used.
        prices: US dollars for a million tokens, ``{"input": ..., "output": ...}``; None = costs are not counted.
        salt: of the waits between attempts.

    Raises:
        ConfigError: an address that is none, or a price that is negative or of an unknown kind.
        MissingExtra: the client is not installed (extra ``api``).
    """

    client: Any
    key_variable: str
    """Name of the environment variable that holds the key."""

    def __init__(
        self,
        model: str,
        base_url: str = "",
        sampling: Mapping[str, Any] | None = None,
        settings: ApiSettings | None = None,
        prices: Mapping[str, float] | None = None,
        salt: int = 0,
    ) -> None:
        if base_url and (urlsplit(base_url).scheme not in ("http", "https") or not urlsplit(base_url).hostname):
            raise ConfigError("base_url", base_url, "http://... or https://...")
        for kind, price in (prices or {}).items():
            if kind not in ("input", "output") or not isinstance(price, int | float) or price < 0:
                raise ConfigError(f"prices.{kind}", price, "input and output, US dollars for a million tokens")
        self.model, self.base_url, self.prices = model, base_url, prices
        self.sampling = {name: value for name, value in (sampling or {}).items() if value is not None}
        self.settings = settings or ApiSettings()
        self.name, self.episode_seconds = model, self.settings.episode_seconds
        self._random = random.Random(salt)

    def describe(self) -> dict[str, Any]:
        """See :class:`vlmgym.players.base.Player`; no key is ever among it, nor a password in the address."""
        parts = urlsplit(self.base_url)
        where = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
        return {"model": self.model, "base_url": where, "sampling": dict(self.sampling)}

    @abstractmethod
    def _open(self) -> Any:
        """The client, without attempts of its own."""

    @abstractmethod
    def _call(self, query: Query) -> Any:
        """The request for one game, as a context of a streamed response."""

    @abstractmethod
    def _read(self, body: Mapping[str, Any]) -> Answer:
        """What the body of a response says; KeyError, TypeError or IndexError if it is not of the form."""

    def _key(self) -> str:
        key = os.environ.get(self.key_variable) or ("none" if self.base_url else None)
        if key is None:
            raise ConfigError(self.key_variable, None, "the key of the endpoint, in the environment (or --base-url)")
        return key

    def _messages(self, query: Query, picture: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
        """What is said about the game; ``picture`` makes the part of a message from a data URL."""
        messages = []
        for role, parts in query.conversation(0):
            content = []
            for part in parts:
                if isinstance(part, str):
                    content.append({"type": "text", "text": part})
                else:
                    content.append(picture(image_url(pictures(query.game, part, query.look)[0])))
            messages.append({"role": role, "content": content})
        return messages

    async def __aenter__(self) -> ApiPlayer:
        """Open the client."""
        self.client, self._gate = self._open(), _Gate(self.settings.concurrency)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.client.close()

    async def ask(self, query: Query, seconds: float = 0.0) -> Answer:
        """See :class:`vlmgym.players.base.AsyncPlayer`.

        Raises:
            ApiError: the endpoint refuses all requests.
        """
        how, faults = self.settings, list[str]()
        async with self._gate.place():
            begin = time.monotonic()
            for attempt in range(how.retries + 1):
                left = seconds - (time.monotonic() - begin) if seconds else how.request_seconds
                if left <= 0:
                    spent = time.monotonic() - begin
                    return Answer(failure=f"time limit of the episode; {_last(faults)}", attempts=attempt, seconds=spent)
                begun = time.monotonic()
                try:
                    async with asyncio.timeout(min(left, how.request_seconds)):
                        answer = await self._attempt(query)
                except TimeoutError:
                    fault = _Fault("no answer in time")
                except _Fault as one:
                    fault = one
                else:
                    self._gate.answered()
                    return self._priced(answer, attempt + 1, time.monotonic() - begin)
                faults.append(self._clean(fault.reason))
                if fault.busy:
                    self._gate.busy(begun)
                if not fault.again:
                    break
                if attempt < how.retries:
                    top = min(how.backoff_seconds * 2**attempt, how.most_backoff_seconds)
                    wait = max(self._random.uniform(0, top), min(fault.wait, 10 * how.most_backoff_seconds))
                    await asyncio.sleep(min(wait, max(0.0, seconds - (time.monotonic() - begin))) if seconds else wait)
            return Answer(failure=_last(faults), attempts=len(faults), seconds=time.monotonic() - begin)

    async def _attempt(self, query: Query) -> Answer:
        try:
            async with self._call(query) as response:
                data = bytearray()
                async for piece in response.iter_bytes():
                    data += piece
                    if len(data) > self.settings.reply_bytes:
                        raise _Fault(f"a reply of more than {self.settings.reply_bytes} bytes")
                kind = response.headers.get("content-type", "")
        except (_Fault, TimeoutError, asyncio.CancelledError):
            raise
        except Exception as error:
            raise self._fault(error) from error
        if "json" not in kind:
            raise _Fault(f"a reply of type {kind or 'none'}, not JSON: {bytes(data[:80])!r}")
        try:
            body = json.loads(data)
            return self._read(body)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise _Fault(f"a reply of another form ({type(error).__name__}: {error}): {bytes(data[:80])!r}") from error

    def _fault(self, error: Exception) -> _Fault:
        """What went wrong in a client's own words; both clients name things alike."""
        status, text = getattr(error, "status_code", None), f"{type(error).__name__}: {error}"[:500]
        if status is None:
            return _Fault(text)
        if status in HOPELESS:
            raise ApiError(self._clean(f"{self.model} at {self.describe()['base_url'] or 'its endpoint'}: {text}")) from error
        wait = _seconds(error.response.headers.get("retry-after")) if hasattr(error, "response") else 0.0
        return _Fault(text, again=status in AGAIN or status >= 500, wait=wait, busy=status in (429, 529))

    def _clean(self, text: str) -> str:
        """A text in which the key cannot be read."""
        key = getattr(getattr(self, "client", None), "api_key", None)
        return text.replace(key, "[key]") if key else text

    def _priced(self, answer: Answer, attempts: int, seconds: float) -> Answer:
        cost = None
        if self.prices is not None:
            price = self.prices
            cost = (answer.input_tokens * price.get("input", 0) + answer.output_tokens * price.get("output", 0)) / 1e6
        return replace(answer, attempts=attempts, seconds=seconds, cost=cost)


class OpenAIPlayer(ApiPlayer):
    """A model behind the chat completions of an OpenAI-compatible endpoint (vLLM, SGLang, OpenAI, OpenRouter, Ollama ...).

    The key is read from ``OPENAI_API_KEY``; endpoints on this machine need none.
    """

    key_variable = "OPENAI_API_KEY"

    def _open(self) -> Any:
        need("api", "openai")
        import openai

        return openai.AsyncOpenAI(api_key=self._key(), base_url=self.base_url or None, max_retries=0, timeout=None)

    def _call(self, query: Query) -> Any:
        messages = self._messages(query, lambda url: {"type": "image_url", "image_url": {"url": url}})
        for message in messages[1::2]:  # earlier replies, as the plain texts that every server reads
            message["content"] = message["content"][0]["text"]
        extra = {"extra_body": dict(self.sampling)} if self.sampling else {}
        return self.client.chat.completions.with_streaming_response.create(model=self.model, messages=messages, **extra)

    def _read(self, body: Mapping[str, Any]) -> Answer:
        choice, usage = body["choices"][0], body.get("usage") or {}
        message = choice["message"]
        text = message.get("content") or ""
        if not isinstance(text, str):  # a list of parts
            text = "".join(part.get("text", "") for part in text)
        return Answer(
            text,
            reasoning=str(message.get("reasoning_content") or message.get("reasoning") or ""),
            input_tokens=int(usage.get("prompt_tokens") or 0),
            output_tokens=int(usage.get("completion_tokens") or 0),
            reasoning_tokens=int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0),
            finish=str(choice.get("finish_reason") or ""),
        )


class AnthropicPlayer(ApiPlayer):
    """A model behind Anthropic's messages; the key is read from ``ANTHROPIC_API_KEY``."""

    key_variable = "ANTHROPIC_API_KEY"

    def _open(self) -> Any:
        need("api", "anthropic")
        import anthropic

        return anthropic.AsyncAnthropic(api_key=self._key(), base_url=self.base_url or None, max_retries=0, timeout=None)

    def _call(self, query: Query) -> Any:
        source = {"type": "base64", "media_type": "image/png"}
        messages = self._messages(query, lambda url: {"type": "image", "source": {**source, "data": url.partition(",")[2]}})
        sampling = dict(self.sampling)
        most = sampling.pop("max_tokens", 4096)
        extra = {"extra_body": sampling} if sampling else {}
        return self.client.messages.with_streaming_response.create(model=self.model, max_tokens=most, messages=messages, **extra)

    def _read(self, body: Mapping[str, Any]) -> Answer:
        blocks, usage = body["content"], body.get("usage") or {}
        if not isinstance(blocks, list):
            raise TypeError("content is no list")
        return Answer(
            "".join(block["text"] for block in blocks if block["type"] == "text"),
            reasoning="".join(block.get("thinking", "") for block in blocks if block["type"] == "thinking"),
            input_tokens=int(usage.get("input_tokens") or 0),
            output_tokens=int(usage.get("output_tokens") or 0),
            finish=str(body.get("stop_reason") or ""),
        )


def _last(faults: list[str]) -> str:
    return f"{len(faults)} attempts; the last: {faults[-1]}" if faults else "no attempt"


def _seconds(text: str | None) -> float:
    """A Retry-After in seconds; 0 for none or a date."""
    try:
        return max(0.0, float(text or 0))
    except ValueError:
        return 0.0
