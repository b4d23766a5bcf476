"""How fast the library is, as ratios measured side by side.

    python benchmarks/bench.py [--out runs/bench] [--only ROW] [--repetitions 5] [--quick]

It is measured against plain Python objects, and against what the machine can do. Each row times
several things in turn, over and over, so that whatever else the machine does hits all of them
alike: ``ours``; ``plain``, the same work by the package ``plain`` beside this file (for
``pixel_values``, by the PIL processor of Transformers); ``limit``, a copy of as many bytes as the
row writes; and what else its goal asks for. A ratio is the median of the ratios of each repetition.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from measuring import Result, measure
from rows import choose
from tables import plot, table
from vlmgym.core import ConfigError, VlmGymError
from vlmgym.core.files import shown, write_atomically, write_json
from vlmgym.core.provenance import machine


def run(
    out: Path, only: Sequence[str] = (), repetitions: int = 5, quick: bool = False
) -> list[Result]:
    """Measure rows; write ``bench.json``, ``bench.txt`` (the table) and, if rows about growth are
    among them, ``bench.png``.

    Args:
        out: folder.
        only: beginnings of names of rows; all by default.
        repetitions: how often each thing is timed, in turn with the others of its row.
        quick: one short repetition, without rows that take long unless named: tries the path,
            measures nothing.

    Raises:
        ConfigError: there is no such row, or no repetition.
    """
    if repetitions < 1:
        raise ConfigError("repetitions", repetitions, "1 or more")
    rows, results = [row for row in choose(only) if only or not (quick and row.once)], []
    out.mkdir(parents=True, exist_ok=True)
    with tqdm(rows, desc="bench", unit="row", file=sys.stderr) as bar:
        for row in bar:
            bar.set_postfix_str(row.name)
            results.append(measure(row, 1 if quick else repetitions, 0.002 if quick else 0.1))
            if results[-1].rates and not quick:
                results[-1].note = row.note(results[-1].medians())
    about = {**machine("numpy", "numba", "pillow", "gymnasium"), "repetitions": repetitions}
    write_json(out / "bench.json", {"machine": about, "rows": [asdict(one) for one in results]})
    write_atomically(out / "bench.txt", table(results, about))
    plot(results, out / "bench.png")
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Speed as ratios: against plain Python objects, and against memory copies.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/bench"),
        help="folder of bench.json, bench.txt and bench.png",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ROW",
        help="rows whose name begins so (may be repeated)",
    )
    parser.add_argument("--repetitions", type=int, default=5, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="tries the path, measures nothing")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the table; returns the exit status, 2 for what the user can mend."""
    options = _parser().parse_args(arguments)
    try:
        run(options.out, options.only, options.repetitions, options.quick)
    except (VlmGymError, OSError) as error:
        sys.stderr.write(f"bench.py: {shown(str(error))}\n")
        return 2
    sys.stdout.write((options.out / "bench.txt").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
