"""Models behind an API as players: what the two kinds of endpoint share; many requests at once.

A question goes through the gate (``gate``), is sent over the line (``wire``) with the sampling that
the endpoint takes (``request_fields``), and what comes back is read (``reading``) as an answer or a
fault, which is tried again or stops the run (``faults``).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from typing_extensions import override

from vlmgym import __version__
from vlmgym.core import ConfigError
from vlmgym.players.api_settings import (
    ApiSettings,
    checked_prices,
    checked_sampling,
    cost_of,
    custom_headers,
    read_key,
)
from vlmgym.players.base import Answer, AsyncPlayer, Query, finish
from vlmgym.players.faults import AGAIN, ALIKE, ApiError, Fault, Streak, last_of
from vlmgym.players.gate import Gate
from vlmgym.players.reading import read_answer, refusal_in, unsent
from vlmgym.players.request_fields import RequestFields
from vlmgym.players.requests import SERVERS, models_in
from vlmgym.players.wire import Reply, Secrets, Wire, WireError, read_address

PROBE_SECONDS = 9.0
"""Time limit of one request for the list of models."""
PROBE_TRIES = 3
PROBE_BYTES = 4_000_000
NARROW_KEY = re.compile("scope|permission", re.IGNORECASE)
"""What endpoints say of a key that may ask questions, but not for the list of models."""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


class ApiPlayer(AsyncPlayer):
    """What the two kinds of endpoint share: places, attempts, time limits, what a reply costs.

    Args:
        model: name of the model at the endpoint.
        base_url: address of the endpoint; empty = that of the environment, or the official one.
        sampling: fields of the request, such as ``temperature`` or ``max_tokens``; those that are
            None are left out.
        settings: how the endpoint is used.
        prices: US dollars for a million tokens, ``{"input": ..., "output": ...}``; None = costs are
            not counted.
        salt: of the waits between attempts.

    Attributes:
        notes: what the endpoint wanted otherwise than it was asked (a field that it does not take),
            one sentence each.

    Raises:
        ConfigError: a name or an address that is none; sampling that JSON cannot hold, or that is
            not sampling; a price that is no number, negative, infinite or of an unknown kind.
    """

    sees = "picture"
    kind: ClassVar[str]
    """The word that stands for such players on the command line."""
    key_variable: ClassVar[str]
    """Name of the environment variable that holds the key."""
    url_variable: ClassVar[str]
    """Name of the one that holds the address, where none is given."""
    headers_variable: ClassVar[str]
    """Name of the one that holds further headers, ``Name: value`` a line."""
    official_url: ClassVar[str]
    neutral: ClassVar[Mapping[str, Any]] = {}
    """Sampling that is sent, unless given, to servers that would otherwise take it from the model's
    own settings.
    """

    def __init__(
        self,
        model: str,
        base_url: str = "",
        sampling: Mapping[str, Any] | None = None,
        settings: ApiSettings | None = None,
        prices: Mapping[str, float] | None = None,
        salt: int = 0,
    ) -> None:
        if not model.strip() or not model.isprintable():
            raise ConfigError("model", model, "the name of a model, in printable characters")
        given_url = base_url or os.environ.get(self.url_variable)
        self.address = read_address(given_url or self.official_url)
        self.model = model
        self.name = model
        self.base_url = self.address.base
        self.prices = checked_prices(prices)
        fields = checked_sampling(sampling or {})
        self.sampling = {name: value for name, value in fields.items() if value is not None}
        neutral = {name: value for name, value in self.neutral.items() if name not in fields}
        self._request_fields = RequestFields(self.sampling, neutral)
        self.settings = settings or ApiSettings()
        self.episode_seconds = self.settings.episode_seconds
        self.on_fault: Callable[[str], object] | None = None
        self.notes: list[str] = []
        self._notes_told = 0
        self._random = random.Random(salt)
        self._secrets = Secrets(self.address.secrets)
        # what the endpoint is, "" = it does not say; None = not yet asked
        self._server: str | None = None
        self._models: list[str] = []  # what it serves, as far as it says so
        self._streak = Streak()

    @override
    def describe(self) -> dict[str, Any]:
        """No key is ever among it, nor a password or query of the address.

        ``sampling`` is what is sent with every request; ``neutral``, what is sent beside it to
        servers (vLLM, SGLang) that would otherwise fill it in from the model's
        ``generation_config``.
        """
        description = {
            "kind": self.kind,
            "model": self.model,
            "base_url": self.base_url,
            "sampling": dict(self.sampling),
        }
        if self._request_fields.neutral:
            description["neutral"] = dict(self._request_fields.neutral)
        return description

    @abstractmethod
    def _headers(self, key: str) -> dict[str, str]:
        """What identifies the caller; ``key`` may be empty."""

    @abstractmethod
    def _path(self, purpose: str) -> str:
        """Path below the address of ``"ask"`` (a question) or ``"models"`` (the list of models)."""

    @abstractmethod
    def _messages(self, query: Query) -> list[dict[str, Any]]:
        """What is said about one game, as the endpoint reads it."""

    @abstractmethod
    def _answer(self, body: Mapping[str, Any]) -> Answer:
        """What the body of a reply says; any exception if it is not of the form."""

    # ---- before and after
    @override
    def check(self) -> None:
        """See that the endpoint can be asked, before anything is written: by the list of its
        models, which costs nothing.

        Raises:
            ApiError: nobody is there, its certificate or our key is not accepted.
            ConfigError: no key in the environment, or one that cannot be sent; a proxy that cannot
                be used.
            MissingExtra: the client is not installed (extra ``api``).
        """

        async def open_and_close() -> None:
            async with self:
                pass

        self._server = None
        finish(open_and_close())

    @override
    async def __aenter__(self) -> ApiPlayer:
        """Open the line, and see who is there if that is not yet known."""
        key = read_key(self.key_variable, needed=self.base_url == self.official_url)
        self._open_line(key)
        self._gate = Gate(self.settings.concurrency)
        self._tell_notes()
        if self._server is None:
            identified = key or self.address.login
            if identified and not self.address.local and self.base_url.startswith("http:"):
                self._note(
                    f"the key goes to {self.address.host} over plain http, readable on its way"
                )
            try:
                await self._look_around()
            except BaseException:
                await self._wire.close()
                raise
        return self

    @override
    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self._wire.close()

    def _open_line(self, key: str) -> None:
        headers = {"User-Agent": f"vlmgym/{__version__}", **self._headers(key)}
        if self.address.login:
            headers["Authorization"] = "Basic " + _base64(self.address.login.encode())
        custom = custom_headers(self.headers_variable)
        secrets = [value for name, value in headers.items() if name.startswith("OpenAI-")]
        secrets += [key, _base64(key.encode()).rstrip("=")]
        secrets += custom.values()
        secrets += " ".join(custom.values()).split()
        secrets += self.address.secrets
        self._secrets = Secrets(secrets)
        self._wire = Wire(self.address, headers | custom, self._secrets)

    async def _look_around(self) -> None:
        """Ask for the list of models.

        It says whether somebody is there and accepts the key, and which server it is.

        An endpoint need not have such a list, nor allow it to this key: any other reply is no
        fault.
        """
        missing: Fault | int = 0  # why there is no list, or the status of the reply
        for attempt in range(PROBE_TRIES):
            if attempt:
                await asyncio.sleep(min(self.settings.backoff_seconds, 1.0))
            missing = await self._ask_for_models()
            if isinstance(missing, Fault):
                if missing.stop:
                    break
            elif missing not in AGAIN:
                return
        if isinstance(missing, Fault) and (missing.stop or missing.nobody):
            raise ApiError(f"{self.model} at {self.base_url}: {missing.reason}")
        self._server = ""
        reason = missing.reason if isinstance(missing, Fault) else f"status {missing}"
        self._note(f"the list of its models cannot be had ({reason}); going on without")

    async def _ask_for_models(self) -> Fault | int:
        """Ask once; the status of the reply, from which the models are read, or why there is
        none.
        """
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reply = await self._wire.ask("GET", self._path("models"), None, PROBE_BYTES)
        except TimeoutError:
            return Fault(f"no answer in {PROBE_SECONDS:g} s")
        except WireError as error:
            return unsent(error, self._secrets)
        if reply.status == 401 and not NARROW_KEY.search(reply.text()):
            return refusal_in(reply, self._secrets, self._hint)
        if reply.status not in AGAIN:
            self._server, self._models = models_in(reply)
        return reply.status

    def _tell(self, text: str) -> None:
        if self.on_fault:
            self.on_fault(f"{self.model}: {self._secrets.excerpt(text, 1000)}")

    def _note(self, text: str) -> None:
        """Tell once what holds for the whole run."""
        text = self._secrets.excerpt(text, 1000)
        if text not in self.notes:
            self.notes.append(text)
            self._tell_notes()

    def _tell_notes(self) -> None:
        """Tell what nobody has heard yet: a check may come before anybody listens."""
        if self.on_fault:
            for text in self.notes[self._notes_told :]:
                self._tell(text)
            self._notes_told = len(self.notes)

    # ---- asking
    @override
    async def ask(self, query: Query, seconds: float = 0.0) -> Answer:
        """The answer for a query of one row; faults are tried again.

        Raises:
            ApiError: the endpoint refuses all requests.
            VlmGymError: the question cannot be made (a photograph that cannot be had, say); no
                attempt is made then.
        """
        settings = self.settings
        reasons: list[str] = []
        async with self._gate.place():
            start = time.monotonic()
            messages = self._messages(query)
            for attempt in range(settings.retries + 1):
                attempt_start = time.monotonic()
                elapsed = attempt_start - start
                remaining = seconds - elapsed if seconds else settings.request_seconds
                if remaining <= 0:
                    failure = f"time limit of the episode; {last_of(reasons)}"
                    return Answer(failure=failure, attempts=attempt, seconds=elapsed)
                try:
                    async with asyncio.timeout(min(remaining, settings.request_seconds)):
                        answer = await self._attempt(messages)
                except TimeoutError:
                    fault = Fault("no answer in time")
                except Fault as caught:
                    fault = caught
                else:
                    self._gate.answered()
                    self._streak.answered = True
                    return self._priced(answer, attempt + 1, time.monotonic() - start)
                reasons.append(fault.reason)
                self._report(fault)
                if fault.busy:
                    self._gate.busy(attempt_start)
                if not fault.again:
                    break
                if attempt < settings.retries:
                    wait = self._wait_after(fault, attempt)
                    if seconds:
                        wait = min(wait, max(0.0, seconds - (time.monotonic() - start)))
                    await asyncio.sleep(wait)
            elapsed = time.monotonic() - start
            return Answer(failure=last_of(reasons), attempts=len(reasons), seconds=elapsed)

    def _wait_after(self, fault: Fault, attempt: int) -> float:
        """Seconds until the next attempt."""
        longest = self.settings.most_backoff_seconds
        doubled = self.settings.backoff_seconds * 2**attempt
        backoff = self._random.uniform(0, min(doubled, longest))
        return max(backoff, min(fault.wait, 10 * longest))

    def _report(self, fault: Fault) -> None:
        """Tell of a fault, or stop the run where it is hopeless: at once, or when nothing else was
        ever met.

        Raises:
            ApiError: then; whoever catches it tells of the fault.
        """
        never_answered = self._streak.add(fault)
        if never_answered or fault.stop:
            reason = fault.reason
            if never_answered:
                reason += f" ({ALIKE} requests in a row, and none was ever answered)"
            raise ApiError(f"{self.model} at {self.base_url}: {reason}")
        self._tell(fault.reason)

    async def _attempt(self, messages: list[dict[str, Any]]) -> Answer:
        """One attempt; a refusal that names a field which can be done without is followed by a
        request without it.
        """
        while True:
            fields = self._fields()
            body = json.dumps({"model": self.model, "messages": messages, **fields}).encode()
            limit = self.settings.reply_bytes
            try:
                reply = await self._wire.ask("POST", self._path("ask"), body, limit)
            except WireError as error:
                raise unsent(error, self._secrets) from error
            if reply.status in (400, 422):
                for note in self._request_fields.adapt(reply.text().lower(), fields):
                    self._note(note)
                if self._fields() != fields:
                    continue
            return self._read(reply)

    def _fields(self) -> dict[str, Any]:
        """The sampling of a request to this endpoint."""
        return self._request_fields.fields(with_neutral=self._server in SERVERS)

    def _read(self, reply: Reply) -> Answer:
        """The answer in a reply.

        Raises:
            Fault: there is none.
        """
        if not 200 <= reply.status < 300:
            raise refusal_in(reply, self._secrets, self._hint)
        return read_answer(reply, self._answer, self._secrets, self.settings.reply_bytes)

    def _hint(self) -> str:
        """What may be wrong where there is nothing at an address."""
        if self.kind == "api" and not self.base_url.endswith("/v1"):
            return f" (does the address end in /v1? {self.base_url} does not)"
        if self._models and self.model not in self._models:
            models = ", ".join(self._models[:8])
            return " " + self._secrets.excerpt(f"(it serves {models})", 300)
        return ""

    def _priced(self, answer: Answer, attempts: int, seconds: float) -> Answer:
        cost = cost_of(answer.input_tokens, answer.output_tokens, self.prices)
        return replace(answer, attempts=attempts, seconds=seconds, cost=cost)
