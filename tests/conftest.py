"""Settings of the test run: one torch thread (two on busy cores are many times slower), no network, fixed examples."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

sys.path.append(os.path.join(sys.prefix, "torchvision"))  # see the Makefile

from hypothesis import settings

from miniature import allow_torchvision_beside_cpu_torch

allow_torchvision_beside_cpu_torch()

settings.register_profile("vlmgym", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("vlmgym")
