"""Settings files of every kind, their readers, and damage to them."""

import json
import sys
from pathlib import Path

import yaml

import vlmgym
from parts.mutate import json_mutations, mutations
from parts.plans import PLANNED
from vlmgym.core import VlmGymError
from vlmgym.core.config import (
    read_file,
    read_prices,
)
from vlmgym.evals.protocol import Protocol
from vlmgym.studies.study import Study
from vlmgym.train.recipe import Recipe

ROOT = Path(vlmgym.__file__).parent
BUNDLED = sorted(ROOT.rglob("*.yaml"))
PRICES = b"gpt-large: {input: 2.5, output: 10}\nother/model: {input: 0.1, output: 1e-1}\n"
READERS = {
    "recipe": (
        lambda path: Recipe.parse(read_file("recipe", path)),
        (ROOT / "recipes/tiny/g1.yaml").read_bytes(),
    ),
    "protocol": (
        lambda path: Protocol.parse(read_file("protocol", path)),
        (ROOT / "protocols/quick.yaml").read_bytes(),
    ),
    "study": (
        lambda path: Study.parse(read_file("study", path)),
        PLANNED.encode(),
    ),
    "prices": (read_prices, PRICES),
}


def said(error):
    """Whether an error is one sentence of ours, of bearable length."""
    return isinstance(error, VlmGymError) and "\n" not in str(error)


def fuzz_settings(count, seed, folder=None):
    """Damaged copies of real settings files: by reader, how many were read, and how many of those
    failed unclean.
    """
    import tempfile

    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name, (read, whole) in READERS.items():
            tried, wrong = 0, []
            values = [
                json.dumps(one).encode()
                for one in json_mutations(yaml.safe_load(whole), count // 2, seed)
            ]
            for data in (*mutations(whole, count - count // 2, seed), *values):
                path = Path(folder or temporary) / f"{name}.yaml"
                path.write_bytes(data)
                tried += 1
                try:
                    read(path)
                except Exception as error:  # noqa: BLE001 - any other class is the finding
                    if not said(error):
                        wrong.append((repr(error)[:200], data[:300]))
            found[name] = (tried, len(wrong))
            sys.stdout.writelines(f"{name} {one}\n" for one in wrong[:5])
    return found
