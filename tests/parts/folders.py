"""Folders of the repository that tests read."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
DOCS = ROOT / "docs"
BENCHMARKS = ROOT / "benchmarks"
CLUSTER = ROOT / "examples" / "cluster"
LIGHTS_OUT_2000 = ROOT / "examples" / "lights_out_2000"
GOLDEN = TESTS / "golden"
