"""The hardware that an overlay's name stands for, and how long a recipe takes there."""

from __future__ import annotations

import re

from vlmgym.core import ConfigError
from vlmgym.train.plan.architecture import Architecture
from vlmgym.train.plan.memory import GIB
from vlmgym.train.plan.speed import CARDS, Card, Speed, speed
from vlmgym.train.recipe import Recipe


def card_of(on: str) -> Card | None:
    """The card that an overlay's name stands for, where it is known."""
    match = re.fullmatch(r"\d+x(\d+)gb", on)
    return CARDS.get(int(match[1])) if match else None


def speed_on(recipe: Recipe, model: Architecture, on: str) -> Speed | None:
    """How long a recipe takes on a kind of hardware, where its card is known."""
    card = card_of(on)
    if card is None:
        return None
    count, capacity = hardware(on)
    return speed(recipe, model, card, count, capacity)


def hours_text(hours: float) -> str:
    """An estimate with no more digits than it has."""
    return f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}"


def devices(overlay: str) -> int:
    """Devices that an overlay is for, by its name; 1 where the name does not say."""
    match = re.fullmatch(r"(\d+)x\d+gb", overlay)
    return int(match[1]) if match else 1


def hardware(overlay: str) -> tuple[int, float]:
    """Devices and bytes of each that an overlay's name stands for: ``8x80gb``.

    Drivers keep about 2 %.
    """
    match = re.fullmatch(r"(\d+)x(\d+)gb", overlay)
    if match is None:
        raise ConfigError("on", overlay, "a name such as 8x80gb")
    return int(match[1]), int(match[2]) * GIB * 0.98
