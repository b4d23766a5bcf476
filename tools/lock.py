"""Write requirements.lock: every pin of constraints.txt with the SHA-256 of each of its files, as
the package index states them.

PyTorch and torchvision are left out: their builds (CPU, CUDA) differ by index under one version.

usage: python tools/lock.py    (after a change of constraints.txt; needs the network)
"""

import json
import sys
import urllib.request
from pathlib import Path

from pip._internal.models.index import PyPI
from pip._vendor.packaging.utils import (
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {"torch", "torchvision"}
HEAD = (
    "# Written by tools/lock.py from constraints.txt; torch and torchvision differ by index and "
    "are left out.\n"
)


def pins() -> dict[str, str]:
    """The version of each package."""
    lines = (
        line.split("#")[0].strip()
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    )
    return {
        canonicalize_name(name): version
        for name, _, version in (line.partition("==") for line in lines if line)
    }


def hashes(name: str, version: str) -> list[str]:
    """The digests of all files of a release."""
    address = f"{PyPI.simple_url}/{name}/"
    request = urllib.request.Request(
        address, headers={"Accept": "application/vnd.pypi.simple.v1+json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    found = []
    for file in files:
        read = parse_wheel_filename if file["filename"].endswith(".whl") else parse_sdist_filename
        try:
            release = str(read(file["filename"])[1])
        except ValueError:  # an egg, an installer
            continue
        if release == version:
            found.append(file["hashes"]["sha256"])
    return sorted(found)


def main() -> None:
    """Write the lock."""
    lines = [HEAD]
    for name, version in sorted(pins().items()):
        if name in LEFT_OUT:
            continue
        found = hashes(name, version)
        if not found:
            sys.exit(f"{name}=={version}: the index has no file of it")
        lines.append(
            f"{name}=={version} " + " ".join(f"\\\n    --hash=sha256:{one}" for one in found) + "\n"
        )
    (ROOT / "requirements.lock").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
