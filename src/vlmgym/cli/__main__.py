"""``python -m vlmgym.cli``, for launchers such as torchrun."""

import sys

from vlmgym.cli.main import main

sys.exit(main())
