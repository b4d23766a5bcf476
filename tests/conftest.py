"""Settings of the test run: one torch thread (two on busy cores are many times slower), no network,
fixed examples.
"""

import os
import signal
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

sys.path.append(os.path.join(sys.prefix, "torchvision"))  # see the Makefile

import numpy as np
import pytest
from hypothesis import settings

from parts.miniature import allow_torchvision_beside_cpu_torch

allow_torchvision_beside_cpu_torch()

# started in the background of a shell, which processes of tests inherit
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("vlmgym", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("vlmgym")


def cifar_file(path, per_class=6, seed=0):
    """A small file in the true format of CIFAR-10's binary version: a label, then the red, green
    and blue planes of 32x32.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
    low = rng.integers(0, 256, (len(labels), 3, 4, 4), np.uint8)
    path.write_bytes(
        np.concatenate(
            [labels[:, None], low.repeat(8, 2).repeat(8, 3).reshape(len(labels), -1)], 1
        ).tobytes()
    )


def cifar_folder(folder, per_class=6):
    """The unpacked folder of CIFAR-10's binary version, small."""
    folder.mkdir(parents=True)
    for seed, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        cifar_file(folder / name, per_class, seed)
    return folder


@pytest.fixture(scope="session", autouse=True)
def data_sets(tmp_path_factory):
    """CIFAR-10 as if downloaded: every test sees a small archive in the true format."""
    import tarfile

    root = tmp_path_factory.mktemp("data")
    folder = cifar_folder(root / "cifar-10-batches-bin")
    with tarfile.open(root / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    before = os.environ.get("VLMGYM_DATA")
    os.environ["VLMGYM_DATA"] = str(root)
    yield root
    if before is None:
        del os.environ["VLMGYM_DATA"]
    else:
        os.environ["VLMGYM_DATA"] = before
