"""``python -m vlmgym``, for launchers such as torchrun."""

import sys

from vlmgym.cli import main

sys.exit(main())
