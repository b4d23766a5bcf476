"""Where the time of a GRPO step of a miniature Qwen2.5-VL goes (448x448 pictures, two games); needs
the extra ``train``.

The miniature has the real architecture and processor with small layers and random weights, so the
share of time beside the model is far larger than with real weights: an upper bound.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path += [str(Path(__file__).parent.parent / "tests"), str(Path(sys.prefix) / "torchvision")]

from parts.miniature import allow_torchvision_beside_cpu_torch, save_qwen2_5_vl
from vlmgym.cli import main

GAMES = (
    ("2048", {"walk_min": 4, "walk_max": 60}),
    ("ShisenSho", {"walk_max": 5, "walk_legal": True}),
)

if __name__ == "__main__":
    allow_torchvision_beside_cpu_torch()
    with tempfile.TemporaryDirectory() as folder:
        recipe = {
            "model": str(save_qwen2_5_vl(Path(folder) / "model")),
            "tasks": [
                {"game": game, "level": "tiny", "look": "clean", **walk} for game, walk in GAMES
            ],
            "grpo": {"batch": 32, "group": 8, "max_new_tokens": 64, "save_every": 1000},
            "compute": {"device": "cpu", "threads": 1},
        }
        path = Path(folder) / "recipe.yaml"
        path.write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
        sys.exit(main(["profile", str(path), *sys.argv[1:]]))
