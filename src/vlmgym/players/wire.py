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


# ---- what is told
class Secrets:
    """Finds keys and passwords in texts, also where they are written with escapes (JSON, Python,
    percent).
    """

    def __init__(self, values: Iterable[str]) -> None:
        known = sorted(
            {one for one in values if len(one) >= SHORTEST_SECRET}, key=len, reverse=True
        )
        self.longest = 6 * len(known[0]) if known else 0
        """Most characters that one of them takes in a text."""
        self._pattern = re.compile("|".join(map(_written, known)), re.IGNORECASE) if known else None

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
        text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
        return text if len(text) <= size else text[: size - 1] + "…"


def _written(secret: str) -> str:
    """A pattern for a secret in which each character may be escaped."""
    places = []
    for one in secret:
        code = ord(one)
        escaped = [rf"\\u{code:04x}", rf"\\x{code:02x}", f"%{code:02x}"] if code < 128 else []
        places.append("(?:" + "|".join([re.escape(one), rf"\\{re.escape(one)}", *escaped]) + ")")
    return "".join(places)


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
    wrong = ConfigError(
        "base_url",
        shown_address(text),
        "http://... or https://..., with / ? # @ in a password as %2F %3F %23 %40",
    )
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        port = parts.port
    except ValueError as error:
        raise wrong from error
    if (
        parts.scheme not in ("http", "https")
        or not host
        or "@" in parts.path + parts.query
        or not text.isprintable()
    ):
        raise wrong
    if re.search(r"[\s\\]", text) or port == 0:
        raise wrong
    user = parts.netloc.rpartition("@")[0]
    login = ""
    secrets = [
        value
        for name, value in parse_qsl(parts.query)
        if re.search("key|token|secret|password|sig|code", name, re.I)
    ]
    if user:
        login = unquote(user) if ":" in user else unquote(user) + ":"
        secrets += _of_login(user) + _of_login(login)
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    return Address(
        base,
        parts.query,
        login,
        host,
        port or (443 if parts.scheme == "https" else 80),
        _is_local(host),
        tuple(secrets),
    )


def shown_address(text: str) -> str:
    """An address, or what was given for one, without user, password and query."""
    scheme, sign, rest = text.partition("://")
    if not sign or not re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        scheme = ""
        sign = ""
        rest = text
    return scheme + sign + re.split(r"[?#]", rest.rpartition("@")[2])[0]


def _of_login(login: str) -> list[str]:
    """The forms in which ``user:password`` may come back."""
    password = login.partition(":")[2]
    return [login, password, quote(password, safe=""), *_base64(login)]


def _base64(text: str) -> list[str]:
    data = text.encode("utf-8", "replace")
    return [
        make(data).decode().rstrip("=") for make in (base64.b64encode, base64.urlsafe_b64encode)
    ]


def _is_local(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost" or host.lower().rstrip(".").endswith(".localhost"):
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

    async def ask(self, method: str, path: str, body: bytes | None, most: int) -> Reply:
        """Send one request and read the reply: ``most`` bytes of a good one, :data:`ERROR_BYTES` of
        any other.

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
                good = 200 <= response.status_code < 300
                data, whole = await _read(response, most if good else ERROR_BYTES, good)
                return Reply(response.status_code, dict(response.headers), data, whole)
        except WireError:
            raise
        except Exception as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> WireError:
        """What kept a request from its reply, by the first cause that says so."""
        name = type(error).__name__
        place = f"{self.address.host}:{self.address.port}"
        if _proxy(self.address):
            place += ", by way of a proxy of the environment"
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                said = (
                    f"{name}: the certificate of {place} is not accepted "
                    f"({cause.verify_message or cause}); nothing was sent"
                )
                return WireError(said, untrusted=True)
            if isinstance(cause, ssl.SSLError):
                return WireError(
                    f"{name}: no TLS at {place} "
                    f"({(cause.reason or str(cause)).replace('_', ' ').lower()})",
                    unreachable=True,
                )
            if isinstance(cause, socket.gaierror):
                return WireError(
                    f"{name}: unknown host {self.address.host} ({cause.strerror})", unreachable=True
                )
            if isinstance(cause, ConnectionRefusedError):
                return WireError(f"{name}: connection refused at {place}", unreachable=True)
            if isinstance(cause, OSError) and cause.strerror:
                return WireError(
                    f"{name}: {cause.strerror.lower()} at {place}",
                    unreachable=name.startswith("Connect"),
                )
        return WireError(
            f"{name}: {str(error) or 'no reply'} ({place})", unreachable=name == "ConnectTimeout"
        )


async def _read(response: Any, most: int, good: bool) -> tuple[bytes, bool]:
    """The body, unpacked, up to so many bytes, and whether that is all of it.

    Of an error, what comes before a fault is kept.
    """
    coding = response.headers.get("content-encoding", "").strip().lower()
    data = bytearray()
    unpack = (
        zlib.decompressobj(zlib.MAX_WBITS | 32) if coding in ("gzip", "x-gzip", "deflate") else None
    )
    if not unpack and coding not in ("", "identity"):
        if good:
            raise WireError(f"a reply packed as {coding!r}, which was not asked for")
        return b"", False
    try:
        async for piece in response.aiter_raw():
            data += unpack.decompress(piece, most + 1 - len(data)) if unpack else piece
            if len(data) > most:
                return bytes(data[:most]), False
    except Exception:
        if good:
            raise
        return bytes(data), False
    return bytes(data), unpack is None or unpack.eof or not data


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what it came from, one after the other."""
    found = list[BaseException]()
    open_ = [error]
    while open_ and len(found) < 50:
        one = open_.pop(0)
        found.append(one)
        if isinstance(one, BaseExceptionGroup):
            open_ += one.exceptions
        if (cause := one.__cause__ or one.__context__) and cause not in found:
            open_.append(cause)
    return found


def _proxy(address: Address) -> tuple[str, str] | None:
    """Name of the variable and address of the proxy through which an endpoint is reached, if
    any.
    """
    if address.local or proxy_bypass(address.host):
        return None
    known = getproxies()
    kinds = (address.base.partition(":")[0], "all")
    return next(((f"{kind.upper()}_PROXY", known[kind]) for kind in kinds if known.get(kind)), None)
