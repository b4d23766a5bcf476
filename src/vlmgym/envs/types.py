"""Short names of the arrays that environments take and give."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pictures: TypeAlias = NDArray[np.uint8]
"""``(H, W, 3)``, or ``(B, H, W, 3)``."""
Mask: TypeAlias = NDArray[np.bool_]
"""``(B,)``, or ``(B, A)`` of actions."""
Rows: TypeAlias = NDArray[np.int64]
"""Numbers of rows."""
Keys: TypeAlias = NDArray[np.uint64]
"""Seeds of games."""
Rewards: TypeAlias = NDArray[np.float64]
"""``(B,)``."""
Info: TypeAlias = dict[str, Any]
"""What ``reset`` and ``step`` say beside the picture."""
