"""How a study's report writes tables, values and p-values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from vlmgym.evals.estimates import Estimate, Writer, decimals, readable
from vlmgym.evals.metrics import METRICS
from vlmgym.studies.claim import INDEX, Claim


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, with an empty line after it."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def writer(measure: str, signed: bool = False) -> Writer:
    """How a measure is written: shares in per cent, all else readable."""
    if measure == INDEX or METRICS[measure].percent:
        return decimals(1, signed, 100)
    return (lambda value: f"{'+' if value > 0 else ''}{readable(value)}") if signed else readable


def of_claim(claim: Claim, estimate: Estimate) -> str:
    """The value of a claim."""
    return estimate.text(writer(claim.measure, signed=True))


def p_text(p: float) -> str:
    """A p-value."""
    if math.isnan(p):
        return "-"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def over_seeds(values: Iterable[float], write: Writer) -> str:
    """The mean over training seeds [smallest, largest]; a dash where none has a value."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    low, high = write(min(known)), write(max(known))
    mean = write(sum(known) / len(known))
    return mean if low == high else f"{mean} [{low}, {high}]"
