"""What is installed: the lock holds every pin with its hashes."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {re.sub(r"[-_.]+", "-", name.lower()): version for name, _, version in (x.partition("==") for x in lines if "==" in x)}


def test_the_lock_holds_every_pin_with_its_hashes(pins):
    text = (ROOT / "requirements.lock").read_text()
    found = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.MULTILINE))
    assert found == {name: version for name, version in pins.items() if name not in ("torch", "torchvision")}
    for entry in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_benchmarks_are_no_part_of_what_is_installed():
    """Nor does the package need them; they are in the sources that are published."""
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} | {"plain"}
    assert {path.stem for path in (ROOT / "src" / "vlmgym").glob("*.py")} & names == set()
    for path in (ROOT / "src").rglob("*.py"):
        wanted = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        assert not set(wanted) & names, path
    assert "graft benchmarks" in (ROOT / "MANIFEST.in").read_text().splitlines()
