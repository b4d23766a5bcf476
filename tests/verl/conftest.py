"""Settings of the tests of verl, which run in an environment of their own (``make test-verl``)."""

import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

TESTS = Path(__file__).parents[1]
# see the Makefile
PATHS = [str(TESTS / "verl"), str(TESTS), os.path.join(sys.prefix, "torchvision")]
sys.path += PATHS

from parts.miniature import allow_torchvision_beside_cpu_torch

allow_torchvision_beside_cpu_torch()
