"""How an endpoint is used, and what a caller may say of a request: sampling, prices, headers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlmgym.core import ConfigError, Settings, setting


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


PRICES = "input and output, US dollars for a million tokens: numbers of 0 to 1,000,000"


def checked_prices(prices: Mapping[str, float] | None) -> Mapping[str, float] | None:
    """Prices for a million tokens, if they are such."""
    if prices is None:
        return None
    if not isinstance(prices, Mapping):
        raise ConfigError("prices", prices, PRICES)
    for kind, price in prices.items():
        is_number = isinstance(price, int | float) and not isinstance(price, bool)
        if kind not in ("input", "output") or not is_number or not 0 <= price <= 1e6:
            raise ConfigError(f"prices.{kind}", price, PRICES)
    return prices


def cost_of(
    input_tokens: int, output_tokens: int, prices: Mapping[str, float] | None
) -> float | None:
    """US dollars; None without prices."""
    if prices is None:
        return None
    input_price = prices.get("input", 0)
    output_price = prices.get("output", 0)
    return (input_tokens * input_price + output_tokens * output_price) / 1e6


def checked_sampling(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a request, if JSON can hold them and they are no others."""
    for name, value in sampling.items():
        if not isinstance(name, str) or name in ("model", "messages", "stream"):
            allowed = "a field of the request other than model, messages and stream"
            raise ConfigError(f"sampling.{name}", value, allowed)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            allowed = "a value that JSON can hold (no NaN, no infinity, no date)"
            raise ConfigError(f"sampling.{name}", value, allowed) from error
    return dict(sampling)


def read_key(variable: str, needed: bool) -> str:
    """The key of an endpoint from the environment; nothing where none is needed.

    Raises:
        ConfigError: it is missing, or cannot be sent.
    """
    key = os.environ.get(variable, "")
    if needed and not key:
        allowed = "the key of the endpoint, in the environment (or --base-url)"
        raise ConfigError(variable, None, allowed)
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        allowed = "a key without spaces, line breaks and letters beyond ASCII"
        raise ConfigError(variable, "[key]", allowed)
    return key


HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")


def custom_headers(variable: str) -> dict[str, str]:
    """Headers from the environment, ``Name: value`` a line, as the makers of the APIs have it.

    Raises:
        ConfigError: a line is none.
    """
    headers = {}
    for line in os.environ.get(variable, "").splitlines():
        if not line.strip():
            continue
        name, colon, value = line.partition(":")
        name = name.strip()
        if not colon or not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
            raise ConfigError(variable, "[not shown]", "a line 'Name: value' for each header")
        headers[name] = value.strip()
    return headers
