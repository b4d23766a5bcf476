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

    here = Path(__file__).resolve().parent
    try:
        call = [
            "git",
            "-C",
            str(here),
            "describe",
            "--always",
            "--dirty=+",
            "--abbrev=12",
            "--exclude=*",
        ]
        done = subprocess.run(call, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "release"
    return (
        done.stdout.strip()
        if done.returncode == 0 and "site-packages" not in str(here)
        else "release"
    )


def machine(*packages: str) -> dict[str, Any]:
    """What something was run on, and with which versions of the packages.

    Args:
        packages: their names; those that are not installed are left out. With ``torch``, its GPU is
            named.
    """
    import platform
    from importlib.metadata import PackageNotFoundError, version

    info, model = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if info.exists():
        model = next(
            (
                x.split(": ", 1)[1]
                for x in info.read_text().splitlines()
                if x.startswith("model name")
            ),
            model,
        )
    found = dict[str, str]()
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    gpu = ""
    if "torch" in found:
        import torch

        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return {
        "gpu": gpu,
        "cpu": model,
        "cores": usable_cores(),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": found,
        "vlmgym": f"{vlmgym.__version__} ({revision()})",
    }
