"""What a row of the benchmark consists of, and how it is timed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

from vlmgym.core import MissingExtra
from vlmgym.core.threads import set_threads

BATCH = 128
"""Games side by side in most rows."""

Rates = Mapping[str, float]
"""Units a second of all that a row times."""


@dataclass(frozen=True)
class Benchmark:
    """Something to time: a call that does some units of work, what comes before each call untimed,
    and the kernels' threads.
    """

    call: Callable[[], object]
    units: float = BATCH
    before: Callable[[], object] | None = None
    threads: int = 1


@dataclass(frozen=True)
class Goal:
    """What a row should reach: a value made from the rates of one repetition, at least or at most
    so much.
    """

    text: str
    value: Callable[[Rates], float]
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class Row:
    """One line of the table: ``build`` gives what is timed, ``ours`` among it; ``once``: one time
    only, as it takes long.
    """

    name: str
    unit: str
    build: Callable[[], dict[str, Benchmark]]
    goal: Goal | None = None
    note: Callable[[Rates], str] = lambda rates: ""
    once: bool = False


@dataclass
class Result:
    """The rates of a row, units a second, by repetition; or in the note why there are none."""

    name: str
    unit: str
    rates: dict[str, list[float]] = field(default_factory=dict)
    goal: str = ""
    value: float | None = None
    met: bool | None = None
    note: str = ""

    def medians(self) -> dict[str, float]:
        """The median of each rate."""
        return {label: median(values) for label, values in self.rates.items()}

    def ratio(self, other: str) -> float | None:
        """Our rate over another one."""
        pairs = (
            zip(self.rates["ours"], self.rates[other], strict=True) if other in self.rates else ()
        )
        return median(found) if (found := [ours / theirs for ours, theirs in pairs]) else None


def over(other: str, least: float, text: str) -> Goal:
    return Goal(text, lambda r: r["ours"] / r[other], least)


def rate(least: float) -> Goal:
    return Goal(f"{least:,.0f}/s", lambda r: r["ours"], least)


def within(seconds: float) -> Goal:
    return Goal(f"under {seconds:g} s", lambda r: 1 / r["ours"], most=seconds)


def flat(other: str = "") -> Goal:
    """A row of a batch costs no more than at 64, however many there are; or no more copies of its
    bytes.
    """

    def value(rates: Rates) -> float:
        cost = {
            n: rates.get(f"{other} {n}", 1.0) / rates[n]
            for n in rates
            if n.isdigit() and int(n) >= 64
        }
        return max(cost.values()) / cost["64"]

    return Goal("at most 1.25 x the cost at 64" + (" in copies" if other else ""), value, most=1.25)


def _measured(one: Benchmark, least: float) -> float:
    """Units a second, over calls that take ``least`` seconds together (or 10 times that with what
    is not timed).
    """
    set_threads(one.threads)
    spent, done, stop = 0.0, 0.0, time.perf_counter() + 10 * least
    while not done or (spent < least and time.perf_counter() < stop):
        if one.before:
            one.before()
        begin = time.perf_counter()
        one.call()
        spent += time.perf_counter() - begin
        done += one.units
    return done / spent


def measure(row: Row, repetitions: int = 5, least: float = 0.1) -> Result:
    """Time all that a row consists of in turn, ``repetitions`` times, each for at least ``least``
    seconds.
    """
    result, rounds = Result(row.name, row.unit, goal=row.goal.text if row.goal else ""), []
    try:
        runs = row.build()
        for number in range(1 if row.once else repetitions + 1):
            part = least if number else 0.0  # the first round, one call each, fills caches
            found = {
                key: _measured(one, part)
                for key, one in {id(one): one for one in runs.values()}.items()
            }
            if number or row.once:
                rounds.append({label: found[id(one)] for label, one in runs.items()})
    except MissingExtra as error:
        result.note = str(error)
        return result
    finally:
        set_threads(0)
    result.rates = {label: [one[label] for one in rounds] for label in runs}
    if row.goal:
        result.value = median(row.goal.value(one) for one in rounds)
        result.met = row.goal.least <= result.value <= row.goal.most
    return result
