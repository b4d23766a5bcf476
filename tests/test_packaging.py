"""What is installed: the lock holds every pin with its hashes, the wheel every file of the
package.
"""

import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from parts.folders import ROOT


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {
        re.sub(r"[-_.]+", "-", name.lower()): version
        for name, _, version in (x.partition("==") for x in lines if "==" in x)
    }


def test_the_lock_holds_every_pin_with_its_hashes(pins):
    text = (ROOT / "requirements.lock").read_text()
    found = dict(re.findall(r"^([\w.-]+)==(\S+) \\$", text, re.MULTILINE))
    assert found == {
        name: version for name, version in pins.items() if name not in ("torch", "torchvision")
    }
    for entry in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_the_wheel_holds_what_git_does_and_nothing_else(tmp_path):
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    if not names:
        pytest.skip("no git here")
    for name in names:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / "tree" / name)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        ".",
    ]
    subprocess.run(
        [*build, "--wheel-dir", str(tmp_path)], cwd=tmp_path / "tree", check=True, timeout=300
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    about = {name for name in held if name.partition("/")[0].endswith(".dist-info")}
    assert held - about == {name.removeprefix("src/") for name in names if name.startswith("src/")}
    assert any(name.endswith("/LICENSE") for name in about)


def test_benchmarks_are_no_part_of_what_is_installed():
    """Nor does the package need them; they are in the sources that are published."""
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} | {"plain"}
    assert {path.stem for path in (ROOT / "src" / "vlmgym").glob("*.py")} & names == set()
    for path in (ROOT / "src").rglob("*.py"):
        wanted = re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
        assert not set(wanted) & names, path
    assert "graft benchmarks" in (ROOT / "MANIFEST.in").read_text().splitlines()
