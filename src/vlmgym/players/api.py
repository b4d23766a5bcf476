"""Models behind an API as players: any OpenAI-compatible endpoint, and Anthropic's; many requests
at once.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import random
import re
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from vlmgym import __version__
from vlmgym.core import ConfigError, Settings, VlmGymError, setting
from vlmgym.core.files import whole_text
from vlmgym.players.base import REFUSED, Answer, AsyncPlayer, Query, finish
from vlmgym.players.requests import (
    SERVERS,
    count,
    error_in,
    mapping,
    models_in,
    texts,
    wait_in,
    why_finished,
)
from vlmgym.players.wire import Reply, Secrets, Wire, WireError, read_address, shown_address
from vlmgym.render.frames import pictures

AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
"""Status codes after which the same request is worth another try."""
HOPELESS = frozenset({401, 402, 403, 404})
"""Status codes that every request would get: key, payment, rights, name of the model."""
USED_UP = re.compile(
    r'"(?:code|type)"\s*:\s*"(?:insufficient_quota|billing_hard_limit_reached|billing_not_active|billing_error)"'
    r"|credit balance is too low",
    re.IGNORECASE,
)
"""What endpoints say, under several status codes, when nothing is left to pay with."""
ALIKE = 3
"""So many requests that fail in one way, before anything was ever answered, stop a run."""
PROBE_SECONDS, PROBE_TRIES = 9.0, 3
SHOWN = 65_536
"""Of a reply that cannot be read so many bytes are looked at for the message."""

NEUTRAL = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""Sampling that changes nothing, as vLLM and SGLang read it; what is not sent they take from the
model's generation_config.
"""
UNSUPPORTED = re.compile(
    r"unsupported|not support|only the default|deprecated|not allowed|not "
    r"permitted|unknown|unrecognized|unexpected"
    r"|cannot both|may only be|only 1 is allowed"
)
"""What endpoints say of a field that they do not take, in small letters."""
NO_REPLY = "(no reply)"
"""Stands for an earlier reply without a visible character, which endpoints refuse to be told."""


class ApiError(VlmGymError, RuntimeError):
    """The endpoint cannot be asked at all (address, certificate, key, rights, quota, name of the
    model, form of the request).
    """


@dataclass(frozen=True)
class ApiSettings(Settings):
    """How an endpoint is used; it stays the same player whatever these are."""

    concurrency: int = setting(
        16, "most requests at once; fewer while the endpoint answers 429", 1, 4096
    )
    retries: int = setting(6, "further attempts after a fault", 0, 100)
    request_seconds: float = setting(300.0, "time limit of one attempt", 0.01, 86_400.0)
    episode_seconds: float = setting(
        0.0, "time limit of all requests of an episode together; 0 = none", 0.0, 1e7
    )
    backoff_seconds: float = setting(
        1.0, "the first wait after a fault is below this, the next below twice ...", 0.0, 600.0
    )
    most_backoff_seconds: float = setting(
        60.0, "... up to this; a Retry-After counts up to ten times this", 0.0, 3600.0
    )
    reply_bytes: int = setting(4_000_000, "a longer reply is a fault", 1000, 1_000_000_000)


class _Fault(Exception):
    """An attempt that gave no answer.

    Attributes:
        reason: why, already cleaned of secrets.
        again: the same request is worth another try.
        wait: how many seconds the endpoint asked to wait.
        busy: the endpoint has too much to do.
        stop: every request would get this.
        nobody: there is nobody to answer.
    """

    def __init__(
        self,
        reason: str,
        again: bool = True,
        wait: float = 0.0,
        busy: bool = False,
        stop: bool = False,
        nobody: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason, self.again, self.wait, self.busy, self.stop, self.nobody = (
            reason,
            again,
            wait,
            busy,
            stop,
            nobody,
        )


class _Gate:
    """Lets so many requests through at once: half as many after a 429, one more after as many
    answers as there are places.

    Additive increase, multiplicative decrease: Chiu and Jain (1989), Computer Networks and ISDN
    Systems 17, 1-14.
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
        self.address = read_address(
            base_url or os.environ.get(self.url_variable) or self.official_url
        )
        self.model, self.base_url, self.prices = model, self.address.base, _checked_prices(prices)
        given = _checked_sampling(sampling or {})
        self.sampling = {name: value for name, value in given.items() if value is not None}
        self._neutral = {name: value for name, value in self.neutral.items() if name not in given}
        self.settings = settings or ApiSettings()
        self.name, self.episode_seconds = model, self.settings.episode_seconds
        self.on_fault: Callable[[str], object] | None = None
        self.notes: list[str] = []
        self._heard = 0  # notes that were told
        self._random = random.Random(salt)
        self._secrets = Secrets(self.address.secrets)
        # what the endpoint is, "" = it does not say; None = not yet asked
        self._server: str | None = None
        self._models: list[str] = []  # what it serves, as far as it says so
        # fields that it does not take, and the name that it wants instead ("" = none)
        self._adapted: dict[str, str] = {}
        self._answered, self._alike = False, ("", 0)

    def describe(self) -> dict[str, Any]:
        """See :class:`vlmgym.players.base.Player`; no key is ever among it, nor a password or query
        of the address.

        ``sampling`` is what is sent with every request; ``neutral``, what is sent beside it to
        servers (vLLM, SGLang) that would otherwise fill it in from the model's
        ``generation_config``.
        """
        found = {
            "kind": self.kind,
            "model": self.model,
            "base_url": self.base_url,
            "sampling": dict(self.sampling),
        }
        return found | ({"neutral": dict(self._neutral)} if self._neutral else {})

    @abstractmethod
    def _headers(self, key: str) -> dict[str, str]:
        """What identifies the caller; ``key`` may be empty."""

    @abstractmethod
    def _path(self, what: str) -> str:
        """Path below the address of ``"ask"`` (a question) or ``"models"`` (the list of models)."""

    @abstractmethod
    def _messages(self, query: Query) -> list[dict[str, Any]]:
        """What is said about one game, as the endpoint reads it."""

    @abstractmethod
    def _answer(self, body: Mapping[str, Any]) -> Answer:
        """What the body of a reply says; any exception if it is not of the form."""

    # ---- before and after
    def check(self) -> None:
        """See that the endpoint can be asked, before anything is written: by the list of its
        models, which costs nothing.

        Raises:
            ApiError: nobody is there, its certificate or our key is not accepted.
            ConfigError: no key in the environment, or one that cannot be sent; a proxy that cannot
                be used.
            MissingExtra: the client is not installed (extra ``api``).
        """

        async def look() -> None:
            async with self:
                pass

        self._server = None
        finish(look())

    async def __aenter__(self) -> ApiPlayer:
        """Open the line, and see who is there if that is not yet known."""
        key = self._key()
        headers = {"User-Agent": f"vlmgym/{__version__}", **self._headers(key)}
        if self.address.login:
            headers["Authorization"] = (
                "Basic " + base64.b64encode(self.address.login.encode()).decode()
            )
        custom = _custom_headers(self.headers_variable)
        sent = [value for name, value in headers.items() if name.startswith("OpenAI-")]
        sent += [
            key,
            base64.b64encode(key.encode()).decode().rstrip("="),
            *custom.values(),
            *" ".join(custom.values()).split(),
        ]
        self._secrets = Secrets([*sent, *self.address.secrets])
        self._wire, self._gate = (
            Wire(self.address, headers | custom, self._secrets),
            _Gate(self.settings.concurrency),
        )
        self._tell_notes()
        if self._server is None:
            if (
                (key or self.address.login)
                and not self.address.local
                and self.base_url.startswith("http:")
            ):
                self._note(
                    f"the key goes to {self.address.host} over plain http, readable on its way"
                )
            try:
                await self._look_around()
            except BaseException:
                await self._wire.close()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self._wire.close()

    def _key(self) -> str:
        """The key, or nothing for an endpoint other than the official one.

        Raises:
            ConfigError: it is missing, or cannot be sent.
        """
        key = os.environ.get(self.key_variable, "")
        if not key and self.base_url == self.official_url:
            raise ConfigError(
                self.key_variable,
                None,
                "the key of the endpoint, in the environment (or --base-url)",
            )
        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise ConfigError(
                self.key_variable,
                "[key]",
                "a key without spaces, line breaks and letters beyond ASCII",
            )
        return key

    async def _look_around(self) -> None:
        """Ask for the list of models.

        It says whether somebody is there and accepts the key, and which server it is.

        An endpoint need not have such a list, nor allow it to this key: any other reply is no
        fault.
        """
        fault = None
        for attempt in range(PROBE_TRIES):
            if attempt:
                await asyncio.sleep(min(self.settings.backoff_seconds, 1.0))
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    reply = await self._wire.ask("GET", self._path("models"), None, 4_000_000)
            except TimeoutError:
                fault = _Fault(f"no answer in {PROBE_SECONDS:g} s")
                continue
            except WireError as error:
                fault = self._unsent(error)
                if fault.stop:
                    break
                continue
            fault = None
            if reply.status == 401 and not re.search(
                "scope|permission", reply.text(), re.IGNORECASE
            ):
                fault = self._refusal(reply)
                break
            if reply.status not in AGAIN:
                self._server, self._models = models_in(reply)
                return
        if fault and (fault.stop or fault.nobody):
            raise ApiError(f"{self.model} at {self.base_url}: {fault.reason}")
        self._server = ""
        self._note(
            "the list of its models cannot be had "
            f"({fault.reason if fault else f'status {reply.status}'}); going on without"
        )

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
            for text in self.notes[self._heard :]:
                self._tell(text)
            self._heard = len(self.notes)

    # ---- asking
    async def ask(self, query: Query, seconds: float = 0.0) -> Answer:
        """See :class:`vlmgym.players.base.AsyncPlayer`.

        Raises:
            ApiError: the endpoint refuses all requests.
            VlmGymError: the question cannot be made (a photograph that cannot be had, say); no
                attempt is made then.
        """
        how, faults = self.settings, list[str]()
        async with self._gate.place():
            begin = time.monotonic()
            messages = self._messages(query)
            for attempt in range(how.retries + 1):
                left = seconds - (time.monotonic() - begin) if seconds else how.request_seconds
                if left <= 0:
                    spent = time.monotonic() - begin
                    return Answer(
                        failure=f"time limit of the episode; {_last(faults)}",
                        attempts=attempt,
                        seconds=spent,
                    )
                begun = time.monotonic()
                try:
                    async with asyncio.timeout(min(left, how.request_seconds)):
                        answer = await self._attempt(messages)
                except TimeoutError:
                    fault = _Fault("no answer in time")
                except _Fault as one:
                    fault = one
                else:
                    self._gate.answered()
                    self._answered = True
                    return self._priced(answer, attempt + 1, time.monotonic() - begin)
                faults.append(fault.reason)
                self._weigh(fault)
                if fault.busy:
                    self._gate.busy(begun)
                if not fault.again:
                    break
                if attempt < how.retries:
                    top = min(how.backoff_seconds * 2**attempt, how.most_backoff_seconds)
                    wait = max(
                        self._random.uniform(0, top), min(fault.wait, 10 * how.most_backoff_seconds)
                    )
                    await asyncio.sleep(
                        min(wait, max(0.0, seconds - (time.monotonic() - begin)))
                        if seconds
                        else wait
                    )
            return Answer(
                failure=_last(faults), attempts=len(faults), seconds=time.monotonic() - begin
            )

    def _weigh(self, fault: _Fault) -> None:
        """Tell of a fault, or stop the run where it is hopeless: at once, or when nothing else was
        ever met.

        Raises:
            ApiError: then; whoever catches it tells of the fault.
        """
        if not self._answered and (fault.nobody or not fault.again):
            # but for numbers, times, ids of requests
            alike = re.sub(r"[0-9a-f-]*[0-9][0-9a-f-]*", "#", fault.reason)
            self._alike = (alike, self._alike[1] + 1 if alike == self._alike[0] else 1)
        elif not self._answered:
            self._alike = ("", 0)
        never = not self._answered and self._alike[1] >= ALIKE
        if not fault.stop and not never:
            self._tell(fault.reason)
        else:
            more = f" ({ALIKE} requests in a row, and none was ever answered)" if never else ""
            raise ApiError(f"{self.model} at {self.base_url}: {fault.reason}{more}")

    async def _attempt(self, messages: list[dict[str, Any]]) -> Answer:
        """One attempt; a refusal that names a field which can be done without is followed by a
        request without it.
        """
        while True:
            fields = self._fields()
            body = json.dumps({"model": self.model, "messages": messages, **fields}).encode()
            try:
                reply = await self._wire.ask(
                    "POST", self._path("ask"), body, self.settings.reply_bytes
                )
            except WireError as error:
                raise self._unsent(error) from error
            if reply.status in (400, 422):
                self._adapt(reply.text().lower(), fields)
                if self._fields() != fields:
                    continue
            return self._read(reply)

    def _fields(self) -> dict[str, Any]:
        """The sampling of a request to this endpoint."""
        fields = {**(self._neutral if self._server in SERVERS else {}), **self.sampling}
        for name, wanted in self._adapted.items():
            if name in fields:
                value = fields.pop(name)
                if wanted:
                    fields.setdefault(wanted, value)
        return fields

    def _adapt(self, text: str, fields: Mapping[str, Any]) -> None:
        """Remember for the run what an endpoint says of a field that it does not take: another
        name, or none.

        Reasoning models want ``max_completion_tokens`` and their own temperature. Anything else
        that was asked for is never left out: the refusal stands.
        """
        param = re.search(r'"param"\s*:\s*"(\w+)"', text)
        for name in {"max_tokens", "temperature", *self._neutral} & fields.keys():
            if param and param[1] != name:
                continue
            if not any(
                UNSUPPORTED.search(text, max(0, one.start() - 120), one.end() + 120)
                for one in re.finditer(rf"\b{name}\b", text)
            ):
                continue
            if name != "max_tokens":
                self._adapted[name] = ""
                self._note(
                    f"the endpoint takes no {name}: {fields[name]} was asked for, its own is used"
                )
            elif "max_completion_tokens" in text:
                self._adapted[name] = "max_completion_tokens"
                self._note(
                    "the endpoint takes no max_tokens: max_completion_tokens = "
                    f"{fields[name]} is sent instead"
                )

    # ---- reading
    def _read(self, reply: Reply) -> Answer:
        """The answer in a reply, whatever it may be.

        Raises:
            _Fault: there is none.
        """
        if not 200 <= reply.status < 300:
            raise self._refusal(reply)
        if not reply.whole:
            raise _Fault(
                f"a reply of more than {self.settings.reply_bytes} bytes, or one that breaks off"
            )
        kind = reply.headers.get("content-type", "")
        if "json" not in kind.lower():
            said = self._secrets.excerpt(kind, 100) or "none"
            raise _Fault(f"a reply of type {said}, not JSON: {self._beginning(reply)}")
        try:
            body = json.loads(reply.body)
            if broken := error_in(body):
                status, said = broken
                text = self._secrets.excerpt(f"error within a reply: {said}", 500)
                raise _Fault(
                    text, again=status in AGAIN or status >= 500, busy=status in (429, 529)
                )
            answer = self._answer(body)
            clean = self._secrets.clean
            return replace(
                answer,
                text=clean(whole_text(answer.text)),
                reasoning=clean(whole_text(answer.reasoning)),
                finish=clean(whole_text(answer.finish))[:100],
            )
        except _Fault:
            raise
        # the body is the endpoint's: whatever is wrong with it is a fault of this request alone
        except Exception as error:
            said = self._secrets.excerpt(f"{type(error).__name__}: {error}", 200)
            raise _Fault(f"a reply of another form ({said}): {self._beginning(reply)}") from error

    def _beginning(self, reply: Reply) -> str:
        """The first words of a reply that cannot be read."""
        return self._secrets.excerpt(reply.text()[:SHOWN], 80, len(reply.body) <= SHOWN)

    def _refusal(self, reply: Reply) -> _Fault:
        """What a reply with another status than 200 says."""
        status, text = reply.status, reply.text()
        if 300 <= status < 400:
            target = self._secrets.excerpt(shown_address(reply.headers.get("location", "")), 200)
            return _Fault(
                f"{status}: redirected to {target or 'nowhere'}; nothing is sent there (if it is "
                "right: --base-url)",
                False,
            )
        if "html" in reply.headers.get("content-type", ""):
            text = re.sub(r"<[^<>]*>", " ", text)
        said = f"{status}: {self._secrets.excerpt(text, 500, reply.whole) or 'without a word'}"
        if status == 404:
            said += self._hint()
        used_up = bool(USED_UP.search(text))
        stop = status in HOPELESS or used_up
        wait, busy = wait_in(reply.headers), status in (429, 529)
        return _Fault(
            said,
            again=not stop and (status in AGAIN or status >= 500),
            wait=wait,
            busy=busy,
            stop=stop,
        )

    def _hint(self) -> str:
        """What may be wrong where there is nothing at an address."""
        if self.kind == "api" and not self.base_url.endswith("/v1"):
            return f" (does the address end in /v1? {self.base_url} does not)"
        if self._models and self.model not in self._models:
            return " " + self._secrets.excerpt(f"(it serves {', '.join(self._models[:8])})", 300)
        return ""

    def _unsent(self, error: WireError) -> _Fault:
        """What a request without a reply means."""
        return _Fault(
            self._secrets.excerpt(error.reason, 300),
            again=not error.untrusted,
            stop=error.untrusted,
            nobody=error.unreachable,
        )

    def _priced(self, answer: Answer, attempts: int, seconds: float) -> Answer:
        cost = None
        if self.prices is not None:
            price = self.prices
            cost = (
                answer.input_tokens * price.get("input", 0)
                + answer.output_tokens * price.get("output", 0)
            ) / 1e6
        return replace(answer, attempts=attempts, seconds=seconds, cost=cost)

    def _said(self, query: Query, picture: Callable[[str], dict[str, Any]]) -> list[dict[str, Any]]:
        """The conversation about a game; ``picture`` makes the part of a message from a data
        URL.
        """
        messages = []
        for role, parts in query.conversation(0):
            content = []
            for part in parts:
                if isinstance(part, str):
                    content.append(
                        {"type": "text", "text": whole_text(part) if part.strip() else NO_REPLY}
                    )
                else:
                    content.append(picture(image_url(pictures(query.game, part, query.look)[0])))
            messages.append({"role": role, "content": content})
        return messages


class OpenAIPlayer(ApiPlayer):
    """A model behind the chat completions of an OpenAI-compatible endpoint (vLLM, SGLang, OpenAI,
    OpenRouter, Ollama ...).

    The key is read from ``OPENAI_API_KEY`` and sent to whatever endpoint is named; endpoints other
    than OpenAI's may need none.
    """

    kind = "api"
    key_variable, url_variable, headers_variable = (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "OPENAI_CUSTOM_HEADERS",
    )
    official_url = "https://api.openai.com/v1"
    neutral = NEUTRAL

    def _headers(self, key: str) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        if key and self.address.host.endswith(".azure.com"):
            headers["api-key"] = key
        if self.base_url == self.official_url:
            for name, variable in (
                ("OpenAI-Organization", "OPENAI_ORG_ID"),
                ("OpenAI-Project", "OPENAI_PROJECT_ID"),
            ):
                if value := os.environ.get(variable):
                    headers[name] = value
        return headers

    def _path(self, what: str) -> str:
        return "/models" if what == "models" else "/chat/completions"

    def _messages(self, query: Query) -> list[dict[str, Any]]:
        messages = self._said(query, lambda url: {"type": "image_url", "image_url": {"url": url}})
        # earlier replies, as the plain texts that every server reads
        for message in messages[1::2]:
            message["content"] = message["content"][0]["text"]
        return messages

    def _answer(self, body: Mapping[str, Any]) -> Answer:
        choice, usage = body["choices"][0], mapping(body.get("usage"))
        message = choice["message"]
        text, thought = texts(message.get("content"))
        refusal = message.get("refusal")
        if isinstance(refusal, str) and refusal:
            text, choice = text or refusal, {"finish_reason": REFUSED}
        return Answer(
            text,
            reasoning=thought
            or texts(message.get("reasoning_content") or message.get("reasoning"))[0],
            input_tokens=count(usage.get("prompt_tokens")),
            output_tokens=count(usage.get("completion_tokens")),
            reasoning_tokens=count(
                mapping(usage.get("completion_tokens_details")).get("reasoning_tokens")
            ),
            finish=why_finished(choice.get("finish_reason")),
        )


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


def _last(faults: list[str]) -> str:
    if len(faults) == 1:
        return f"1 attempt: {faults[0]}"
    return f"{len(faults)} attempts; the last: {faults[-1]}" if faults else "no attempt"


def _checked_prices(prices: Mapping[str, float] | None) -> Mapping[str, float] | None:
    allowed = "input and output, US dollars for a million tokens: numbers of 0 to 1,000,000"
    if prices is None:
        return None
    if not isinstance(prices, Mapping):
        raise ConfigError("prices", prices, allowed)
    for kind, price in prices.items():
        number = isinstance(price, int | float) and not isinstance(price, bool)
        if kind not in ("input", "output") or not number or not 0 <= price <= 1e6:
            raise ConfigError(f"prices.{kind}", price, allowed)
    return prices


def _checked_sampling(sampling: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in sampling.items():
        if not isinstance(name, str) or name in ("model", "messages", "stream"):
            raise ConfigError(
                f"sampling.{name}",
                value,
                "a field of the request other than model, messages and stream",
            )
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"sampling.{name}",
                value,
                "a value that JSON can hold (no NaN, no infinity, no date)",
            ) from error
    return dict(sampling)


def _custom_headers(variable: str) -> dict[str, str]:
    """Headers from the environment, ``Name: value`` a line, as the makers of the APIs have it.

    Raises:
        ConfigError: a line is none.
    """
    headers = {}
    for line in os.environ.get(variable, "").splitlines():
        name, colon, value = line.partition(":")
        if line.strip():
            if (
                not colon
                or not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name.strip(), re.ASCII)
                or not re.fullmatch(r"[\x20-\x7e\t]*", value)
            ):
                raise ConfigError(variable, "[not shown]", "a line 'Name: value' for each header")
            headers[name.strip()] = value.strip()
    return headers
