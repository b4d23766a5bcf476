"""The errors that every layer raises."""

from __future__ import annotations


class VlmGymError(Exception):
    """Base of every error that vlmgym raises on purpose."""


class ConfigError(VlmGymError, ValueError):
    """A setting is unknown or out of range; the message names the field, the value and what is allowed."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"{name} = {value!r}: allowed is {allowed}")
        self.name, self.value, self.allowed = name, value, allowed
