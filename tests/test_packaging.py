"""What is installed: the lock holds every pin with its hashes."""

import re
import tomllib
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


def test_every_file_beside_the_modules_is_installed():
    package = ROOT / "src" / "vlmgym"
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["vlmgym"]
    installed = {path for pattern in patterns for path in package.glob(pattern)}
    there = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(package).as_posix() for path in there - installed if path.suffix != ".py"} == set()
    assert package / "skins" / "report.css" in installed
