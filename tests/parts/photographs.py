"""Photographs that tests make: data sets in their true formats, small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vlmgym.games import GAMES
from vlmgym.games.parts.tile_kinds import PICTURE_CLASSES
from vlmgym.render.sources import PARTS, Photographs


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


GAME = GAMES["ShisenShoPhotos"]
DIGITS, CIFAR = PICTURE_CLASSES["digits"], PICTURE_CLASSES["cifar10"]


def contents(found: Photographs) -> dict[str, list[set[bytes]]]:
    return {
        part: [
            {found.load(part, kind, n).tobytes() for n in range(count)}
            for kind, count in enumerate(found.counts[part])
        ]
        for part in PARTS
    }


def class_folder(root: Path, names: tuple[str, ...], count: int, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for name in names:
        (root / name).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(rng.integers(0, 256, (20, 24 + k, 3), np.uint8)).save(
                root / name / f"{k}.png"
            )
    return root
