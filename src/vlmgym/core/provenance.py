"""What something was made by, and on what: the commit of the sources, the machine, the versions."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import vlmgym
from vlmgym.core.threads import usable_cores


def revision() -> str:
    """Commit of the source tree, with ``+`` if it has changes; ``"release"`` outside of a
    checkout.
    """
    import subprocess

    folder = Path(__file__).resolve().parent
    try:
        describe = ["describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        command = ["git", "-C", str(folder), *describe]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "release"
    if result.returncode != 0 or "site-packages" in str(folder):
        return "release"
    return result.stdout.strip()


def _processor() -> str:
    """The model of the CPU, as far as the system tells."""
    import platform

    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        for line in cpu_info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(": ", 1)[1]
    return platform.processor() or platform.machine()


def machine(*packages: str) -> dict[str, Any]:
    """What something was run on, and with which versions of the packages.

    Args:
        packages: their names; those that are not installed are left out. With ``torch``, its GPU is
            named.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = dict[str, str]()
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    gpu = ""
    if "torch" in versions:
        import torch

        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "gpu": gpu,
        "cpu": _processor(),
        "cores": usable_cores(),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": versions,
        "vlmgym": f"{vlmgym.__version__} ({revision()})",
    }
