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

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("parts")

from parts.miniature import allow_torchvision_beside_cpu_torch, save, save_small  # noqa: E402
from parts.photographs import cifar_folder  # noqa: E402

allow_torchvision_beside_cpu_torch()
import torch  # noqa: E402

torch.set_num_threads(1)

# started in the background of a shell, which processes of tests inherit
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("vlmgym", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("vlmgym")


LONG_FILES = (
    *("test_study.py", "test_processes.py", "test_metrics.py", "test_families.py"),
    *("test_survive.py", "test_kernels.py", "test_demo.py", "test_doorkey.py"),
)
"""Files of tests that take long, which begin first, so that no worker is left with one at the
end."""


def pytest_collection_modifyitems(items):
    """Files that take long first, all else in its order."""
    items.sort(key=lambda item: item.path.name not in LONG_FILES)


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


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A model of the embedded one's architecture, of the smallest size, untrained."""
    return save_small(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def qwen(tmp_path_factory):
    """The miniature of Qwen2.5-VL."""
    return save("qwen2_5_vl", tmp_path_factory.mktemp("models") / "qwen2_5_vl")
