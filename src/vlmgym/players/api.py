"""Models behind an API as players: what the two kinds of endpoint share; many requests at once."""

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
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from vlmgym import __version__
from vlmgym.core import ConfigError
from vlmgym.core.files import whole_text
from vlmgym.players.api_settings import (
    ApiSettings,
    checked_prices,
    checked_sampling,
    custom_headers,
)
from vlmgym.players.base import Answer, AsyncPlayer, Query, finish
from vlmgym.players.faults import AGAIN, ALIKE, HOPELESS, USED_UP, ApiError, Fault, last_of
from vlmgym.players.gate import Gate
from vlmgym.players.requests import SERVERS, error_in, models_in, wait_in
from vlmgym.players.wire import Reply, Secrets, Wire, WireError, read_address, shown_address
from vlmgym.render.frames import pictures

PROBE_SECONDS, PROBE_TRIES = 9.0, 3

SHOWN = 65_536
"""Of a reply that cannot be read so many bytes are looked at for the message."""

UNSUPPORTED = re.compile(
    r"unsupported|not support|only the default|deprecated|not allowed|not "
    r"permitted|unknown|unrecognized|unexpected"
    r"|cannot both|may only be|only 1 is allowed"
)
"""What endpoints say of a field that they do not take, in small letters."""

NO_REPLY = "(no reply)"
"""Stands for an earlier reply without a visible character, which endpoints refuse to be told."""


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
        self.model, self.base_url, self.prices = model, self.address.base, checked_prices(prices)
        given = checked_sampling(sampling or {})
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
        custom = custom_headers(self.headers_variable)
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
            Gate(self.settings.concurrency),
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
                fault = Fault(f"no answer in {PROBE_SECONDS:g} s")
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
                        failure=f"time limit of the episode; {last_of(faults)}",
                        attempts=attempt,
                        seconds=spent,
                    )
                begun = time.monotonic()
                try:
                    async with asyncio.timeout(min(left, how.request_seconds)):
                        answer = await self._attempt(messages)
                except TimeoutError:
                    fault = Fault("no answer in time")
                except Fault as one:
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
                failure=last_of(faults), attempts=len(faults), seconds=time.monotonic() - begin
            )

    def _weigh(self, fault: Fault) -> None:
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
            Fault: there is none.
        """
        if not 200 <= reply.status < 300:
            raise self._refusal(reply)
        if not reply.whole:
            raise Fault(
                f"a reply of more than {self.settings.reply_bytes} bytes, or one that breaks off"
            )
        kind = reply.headers.get("content-type", "")
        if "json" not in kind.lower():
            said = self._secrets.excerpt(kind, 100) or "none"
            raise Fault(f"a reply of type {said}, not JSON: {self._beginning(reply)}")
        try:
            body = json.loads(reply.body)
            if broken := error_in(body):
                status, said = broken
                text = self._secrets.excerpt(f"error within a reply: {said}", 500)
                raise Fault(text, again=status in AGAIN or status >= 500, busy=status in (429, 529))
            answer = self._answer(body)
            clean = self._secrets.clean
            return replace(
                answer,
                text=clean(whole_text(answer.text)),
                reasoning=clean(whole_text(answer.reasoning)),
                finish=clean(whole_text(answer.finish))[:100],
            )
        except Fault:
            raise
        # the body is the endpoint's: whatever is wrong with it is a fault of this request alone
        except Exception as error:
            said = self._secrets.excerpt(f"{type(error).__name__}: {error}", 200)
            raise Fault(f"a reply of another form ({said}): {self._beginning(reply)}") from error

    def _beginning(self, reply: Reply) -> str:
        """The first words of a reply that cannot be read."""
        return self._secrets.excerpt(reply.text()[:SHOWN], 80, len(reply.body) <= SHOWN)

    def _refusal(self, reply: Reply) -> Fault:
        """What a reply with another status than 200 says."""
        status, text = reply.status, reply.text()
        if 300 <= status < 400:
            target = self._secrets.excerpt(shown_address(reply.headers.get("location", "")), 200)
            return Fault(
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
        return Fault(
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

    def _unsent(self, error: WireError) -> Fault:
        """What a request without a reply means."""
        return Fault(
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
