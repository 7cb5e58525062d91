"""CIFAR-10 (Krizhevsky, 2009): JPEG folders or zips {train,test}/<class>/NNNN.jpg, or torchvision's copy."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch

from ..inputs import FileError
from . import locate
from .memory import MemoryDataset
from .pictures import rgb

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
ADVICE = """Give --data a folder that holds one of
  cifar10-train.zip and cifar10-test.zip       (train/<class>/NNNN.jpg, test/<class>/NNNN.jpg)
  train/<class>/*.jpg and test/<class>/*.jpg   (unpack_cifar10.py makes them of the published archive)
  cifar-10-batches-py                          (torchvision's download)
torchvision fetches the last with
  python3 -c "import torchvision as t; t.datasets.CIFAR10('data', download=True)"
and then --data data."""


def decode(root, files):
    """[(name, path)], to be sorted by class and name -> uint8 images [N, 3, 32, 32], labels [N]."""
    images, labels = [], []
    for name, path in sorted(files):
        image, label = np.asarray(rgb(path)), Path(name).parent.name
        if image.shape != (32, 32, 3) or label not in CLASSES:
            raise FileError(f"{path}: is no picture of 32 x 32 pixels in a folder of a class ({', '.join(CLASSES)})")
        images.append(image), labels.append(CLASSES.index(label))
    if not images:
        raise FileError(f"{root}: holds no pictures\n{ADVICE}")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def from_zip(path):
    with locate.archive(path) as archive:
        return decode(path, [(n, zipfile.Path(archive, n)) for n in archive.namelist() if n.endswith((".jpg", ".png"))])


def from_folder(path):
    return decode(path, [(str(p.relative_to(path)), p) for p in path.glob("*/*.??g")])


class Array:
    """Stands for a numpy array, its type or its dtype in a pickle: keeps what is said of it, which numpy's own would trust."""

    def __init__(self, *_):
        pass

    def __setstate__(self, state):
        self.state = state


class Unpickler(pickle.Unpickler):
    """Makes nothing but plain containers and Arrays, as a batch is a download."""

    def find_class(self, module, name):
        if (module.replace("._core", ".core"), name) in (("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"),
                                                         ("numpy", "dtype")):
            return Array
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def read_batch(stream, name):
    """A batch of the published archive: uint8 images [N, 3, 32, 32], labels [N]."""
    try:
        batch = Unpickler(stream, encoding="bytes").load()
        _, shape, _, columns_first, data = batch[b"data"].state
        images = np.frombuffer(data, np.uint8).reshape(shape, order="F" if columns_first else "C").reshape(-1, 3, 32, 32)
        labels = np.array(batch[b"labels"], np.int64)
        if labels.shape != images.shape[:1] or not set(labels.tolist()) <= set(range(len(CLASSES))):
            raise ValueError(f"{len(images)} pictures do not have as many labels from 0 to 9")
    except Exception as wrong:  # there is nothing that a file which is no pickle cannot raise
        raise SystemExit(f"{name}: is no batch of CIFAR-10's Python archive ({wrong})") from None
    return images, labels


def from_batches(path, names):
    batches = []
    for name in names:
        with open(path / name, "rb") as stream:
            batches.append(read_batch(stream, path / name))
    images, labels = map(np.concatenate, zip(*batches))
    return torch.from_numpy(images), torch.from_numpy(labels)


def load(path=None, limit=None):
    found = locate.find(path, ("cifar10-train.zip", "train", "cifar-10-batches-py"), ADVICE)
    if found.suffix == ".zip":
        train, test = from_zip(found), from_zip(found.with_name("cifar10-test.zip"))
    elif found.name == "train":
        train, test = from_folder(found), from_folder(found.with_name("test"))
    else:
        train, test = (from_batches(found, names) for names in BATCHES.values())
    return MemoryDataset("CIFAR-10", train, test, CLASSES, MEAN, STD, padding=4, limit=limit)
