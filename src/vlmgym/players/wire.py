"""Requests to an endpoint over HTTP: bounded replies, no redirects, causes in plain words, and no
secret in what is told.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import socket
import ssl
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from vlmgym.core import ConfigError, need

ERROR_BYTES = 65_536
"""Of the body of an error more is not read."""
CONNECT_SECONDS = 8.0
"""Time limit for reaching an endpoint at all."""
SHORTEST_SECRET = 8
"""What is shorter is a placeholder, as local servers want one (``none``, ``EMPTY``), and may stand
in any text.
"""


SECRET_FIELD = re.compile("key|token|secret|password|sig|code", re.IGNORECASE)
"""Names of the fields of a query that are told to nobody."""


# ---- what is told
class Secrets:
    """Finds keys and passwords in texts, also where they are written with escapes (JSON, Python,
    percent).
    """

    def __init__(self, values: Iterable[str]) -> None:
        secrets = {value for value in values if len(value) >= SHORTEST_SECRET}
        longest_first = sorted(secrets, key=len, reverse=True)
        self.longest = 6 * len(longest_first[0]) if secrets else 0
        """Most characters that one of them takes in a text."""
        self._pattern = None
        if secrets:
            alternatives = "|".join(map(_pattern_of, longest_first))
            self._pattern = re.compile(alternatives, re.IGNORECASE)

    def clean(self, text: str) -> str:
        """The text with ``[key]`` for each of them."""
        return self._pattern.sub("[key]", text) if self._pattern else text

    def excerpt(self, text: str, size: int, whole: bool = True) -> str:
        """The beginning of a text on one line, cleaned before it is cut.

        Args:
            text: the text.
            size: most characters of the excerpt.
            whole: the text is complete; else its end may hold the first half of a secret, and is
                left out.
        """
        text = self.clean(text)
        if not whole:
            text = text[: max(0, len(text) - self.longest)]
        printable = "".join(letter if letter.isprintable() else " " for letter in text)
        line = " ".join(printable.split())
        return line if len(line) <= size else line[: size - 1] + "…"


def _pattern_of(secret: str) -> str:
    """A pattern for a secret in which each character may be escaped."""
    pattern = ""
    for letter in secret:
        code = ord(letter)
        forms = [re.escape(letter), rf"\\{re.escape(letter)}"]
        if code < 128:
            forms += [rf"\\u{code:04x}", rf"\\x{code:02x}", f"%{code:02x}"]
        pattern += "(?:" + "|".join(forms) + ")"
    return pattern


# ---- addresses
@dataclass(frozen=True)
class Address:
    """Where an endpoint is.

    Attributes:
        base: address without user, password and query, nor a slash at the end.
        query: what follows the question mark (Azure's ``api-version=...``); sent with every
            request.
        login: ``user:password`` as it is sent, or empty.
        host: the machine.
        port: the port.
        local: the machine is this one.
        secrets: what must not be told of it.
    """

    base: str
    query: str
    login: str
    host: str
    port: int
    local: bool
    secrets: tuple[str, ...]

    def at(self, path: str) -> str:
        """The address of a path below the endpoint."""
        return self.base + path + (f"?{self.query}" if self.query else "")


def read_address(text: str) -> Address:
    """An address from its text.

    Raises:
        ConfigError: it is none; the message shows neither its password nor its query.
    """
    refusal = ConfigError(
        "base_url",
        shown_address(text),
        "http://... or https://..., with / ? # @ in a password as %2F %3F %23 %40",
    )
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        port = parts.port
    except ValueError as error:
        raise refusal from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise refusal
    if "@" in parts.path + parts.query:
        raise refusal
    if not text.isprintable() or re.search(r"[\s\\]", text):
        raise refusal
    userinfo, _, location = parts.netloc.rpartition("@")
    login = ""
    secrets = [value for name, value in parse_qsl(parts.query) if SECRET_FIELD.search(name)]
    if userinfo:
        login = unquote(userinfo)
        if ":" not in userinfo:
            login += ":"
        secrets += _forms_of_login(userinfo) + _forms_of_login(login)
    return Address(
        base=f"{parts.scheme}://{location}{parts.path.rstrip('/')}",
        query=parts.query,
        login=login,
        host=host,
        port=port or (443 if parts.scheme == "https" else 80),
        local=_is_local(host),
        secrets=tuple(secrets),
    )


def shown_address(text: str) -> str:
    """An address, or what was given for one, without user, password and query."""
    scheme, sign, remainder = text.partition("://")
    if not sign or not re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        scheme = ""
        sign = ""
        remainder = text
    without_login = remainder.rpartition("@")[2]
    return scheme + sign + re.split(r"[?#]", without_login)[0]


def _forms_of_login(login: str) -> list[str]:
    """The forms in which ``user:password`` may come back."""
    password = login.partition(":")[2]
    content = login.encode("utf-8", "replace")
    encoded = [base64.b64encode(content), base64.urlsafe_b64encode(content)]
    return [
        login,
        password,
        quote(password, safe=""),
        *(form.decode().rstrip("=") for form in encoded),
    ]


def _is_local(host: str) -> bool:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


# ---- requests
class WireError(Exception):
    """A request that got no reply.

    Attributes:
        reason: why; may still hold a secret.
        unreachable: nobody is there (no such host, nobody listens), so that soon trying again makes
            little sense.
        untrusted: whoever is there cannot prove to be the endpoint; nothing was sent.
    """

    def __init__(self, reason: str, unreachable: bool = False, untrusted: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unreachable = unreachable
        self.untrusted = untrusted


@dataclass(frozen=True)
class Reply:
    """What came back: status, headers (names in small letters), the body as far as it was read, and
    whether that is all.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool = True

    def text(self) -> str:
        """The body as text, for people."""
        return self.body.decode("utf-8", "replace")


class Wire:
    """An open line to an endpoint.

    Proxies of the environment (``HTTPS_PROXY`` ...) are used, but never for this machine itself;
    certificates are checked.

    Args:
        address: where it is.
        headers: sent with every request; they hold the key.
        secrets: what must not be told.

    Raises:
        MissingExtra: the client is not installed (extra ``api``).
        ConfigError: a proxy of the environment that cannot be used.
    """

    def __init__(self, address: Address, headers: Mapping[str, str], secrets: Secrets) -> None:
        need("api", "httpx2")
        import httpx2

        self.address = address
        self.secrets = secrets
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", **headers}
        try:
            self._client = httpx2.AsyncClient(
                follow_redirects=False,
                timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
                trust_env=not address.local,
                verify=httpx2.create_ssl_context(),
            )
        except (ImportError, ValueError, httpx2.InvalidURL) as error:
            name, proxy = _proxy(address) or ("HTTPS_PROXY", "")
            raise ConfigError(
                name,
                shown_address(proxy),
                "http://... or https://... (socks5://... after  pip install 'httpx2[socks]')",
            ) from error
        except OSError as error:
            raise ConfigError(
                "SSL_CERT_FILE",
                os.environ.get("SSL_CERT_FILE"),
                f"a file of certificates ({error})",
            ) from error

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def ask(self, method: str, path: str, body: bytes | None, limit: int) -> Reply:
        """Send one request and read the reply: at most ``limit`` bytes of a good one,
        :data:`ERROR_BYTES` of any other.

        Raises:
            WireError: there is no reply, or it breaks off.
        """
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._client.stream(
                method, self.address.at(path), content=body, headers=headers
            ) as response:
                success = 200 <= response.status_code < 300
                content, complete = await _read(
                    response, limit if success else ERROR_BYTES, success
                )
                return Reply(response.status_code, dict(response.headers), content, complete)
        except WireError:
            raise
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> WireError:
        """What kept a request from its reply, by the first cause that says so."""
        name = type(error).__name__
        location = f"{self.address.host}:{self.address.port}"
        if _proxy(self.address):
            location += ", by way of a proxy of the environment"
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = (
                    f"{name}: the certificate of {location} is not accepted "
                    f"({cause.verify_message or cause}); nothing was sent"
                )
                return WireError(reason, untrusted=True)
            if isinstance(cause, ssl.SSLError):
                details = (cause.reason or str(cause)).replace("_", " ").lower()
                return WireError(f"{name}: no TLS at {location} ({details})", unreachable=True)
            if isinstance(cause, socket.gaierror):
                reason = f"{name}: unknown host {self.address.host} ({cause.strerror})"
                return WireError(reason, unreachable=True)
            if isinstance(cause, ConnectionRefusedError):
                return WireError(f"{name}: connection refused at {location}", unreachable=True)
            if isinstance(cause, OSError) and cause.strerror:
                reason = f"{name}: {cause.strerror.lower()} at {location}"
                return WireError(reason, unreachable=name.startswith("Connect"))
        reason = f"{name}: {str(error) or 'no reply'} ({location})"
        return WireError(reason, unreachable=name == "ConnectTimeout")


async def _read(response: Any, limit: int, success: bool) -> tuple[bytes, bool]:
    """The body, unpacked, up to so many bytes, and whether that is all of it.

    Of an error, what comes before a fault is kept.
    """
    coding = response.headers.get("content-encoding", "").strip().lower()
    content = bytearray()
    unpacker = None
    if coding in ("gzip", "x-gzip", "deflate"):
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    elif coding not in ("", "identity"):
        if success:
            raise WireError(f"a reply packed as {coding!r}, which was not asked for")
        return b"", False
    try:
        async for chunk in response.aiter_raw():
            if unpacker:
                chunk = unpacker.decompress(chunk, limit + 1 - len(content))
            content += chunk
            if len(content) > limit:
                return bytes(content[:limit]), False
    except Exception:
        if success:
            raise
        return bytes(content), False
    return bytes(content), unpacker is None or unpacker.eof or not content


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what it came from, one after the other."""
    causes = list[BaseException]()
    waiting = [error]
    while waiting and len(causes) < 50:
        current = waiting.pop(0)
        causes.append(current)
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
        if (cause := current.__cause__ or current.__context__) and cause not in causes:
            waiting.append(cause)
    return causes


def _proxy(address: Address) -> tuple[str, str] | None:
    """Name of the variable and address of the proxy through which an endpoint is reached, if
    any.
    """
    if address.local or proxy_bypass(address.host):
        return None
    proxies = getproxies()
    scheme = address.base.partition(":")[0]
    for kind in (scheme, "all"):
        if proxies.get(kind):
            return f"{kind.upper()}_PROXY", proxies[kind]
    return None
