"""Fashion-MNIST (Xiao et al., 2017) from its idx files, as Debian's dataset-fashion-mnist installs them."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch

from ..inputs import FileError
from . import locate
from .memory import MemoryDataset

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MEAN, STD = (0.2860,), (0.3530,)
CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
           "Ankle boot")
ADVICE = "Install the Debian package dataset-fashion-mnist, or give --data the folder of the .gz files."


def read_idx(path):
    """The idx format: two zero bytes, type 8 (uint8), rank, big-endian sizes, data."""
    try:
        with gzip.open(path) as stream:
            data = stream.read()
        rank = data[3]
        shape = np.frombuffer(data, ">u4", rank, 4)
        return torch.from_numpy(np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape).copy())
    except (gzip.BadGzipFile, EOFError, zlib.error, IndexError, ValueError) as error:
        raise FileError(f"{path}: is no idx file, or is damaged: {error}") from None


def read(folder, prefix):
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    if images.ndim != 3 or not len(images) or labels.shape != images.shape[:1] or labels.max() >= len(CLASSES):
        raise FileError(f"{folder}: {prefix}-images and {prefix}-labels are not as many pictures and numbers of their classes")
    return images[:, None], labels.long()


def load(path=None, limit=None):
    name = "train-images-idx3-ubyte.gz"
    folder = DEBIAN if path is None and DEBIAN.exists() else locate.find(path, (name,), ADVICE).parent
    return MemoryDataset("Fashion-MNIST", read(folder, "train"), read(folder, "t10k"), CLASSES, MEAN, STD,
                         padding=2, limit=limit)
