"""Settings of the test run: one torch thread (two on busy cores are many times slower), no network, fixed examples."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings

settings.register_profile("vlmgym", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("vlmgym")
