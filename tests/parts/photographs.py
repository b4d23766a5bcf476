"""Photographs that tests make: data sets in their true formats, small."""

import numpy as np


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
