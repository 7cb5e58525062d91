"""CIFAR-10 (Krizhevsky, 2009): JPEG folders or zips {train,test}/<class>/NNNN.jpg, or torchvision's copy."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from . import locate
from .memory import MemoryDataset

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ADVICE = """Give --data a folder that holds one of
  cifar10-train.zip and cifar10-test.zip   (train/<class>/NNNN.jpg, test/<class>/NNNN.jpg)
  train/<class>/*.jpg and test/<class>/*.jpg
  cifar-10-batches-py                      (torchvision's download)
torchvision fetches it with
  python3 -c "import torchvision as t; t.datasets.CIFAR10('data', download=True)"
and then --data data."""


def decode(files):
    """[(path, bytes)] sorted by class and name -> uint8 images [N, 3, 32, 32], labels [N]."""
    files = sorted(files)
    images = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for _, data in files])
    labels = [CLASSES.index(Path(path).parent.name) for path, _ in files]
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def from_zip(path):
    with zipfile.ZipFile(path) as archive:
        return decode([(n, archive.read(n)) for n in archive.namelist() if n.endswith((".jpg", ".png"))])


def from_folder(path):
    return decode([(str(p.relative_to(path)), p.read_bytes()) for p in path.glob("*/*.??g")])


def from_batches(path, names):
    images, labels = [], []
    for name in names:
        with open(path / name, "rb") as stream:
            batch = pickle.load(stream, encoding="bytes")
        images.append(np.asarray(batch[b"data"]).reshape(-1, 3, 32, 32))
        labels += batch[b"labels"]
    return torch.from_numpy(np.concatenate(images)), torch.tensor(labels)


def load(path=None, limit=None):
    found = locate.find(path, ("cifar10-train.zip", "train", "cifar-10-batches-py"), ADVICE)
    if found.suffix == ".zip":
        train, test = from_zip(found), from_zip(found.with_name("cifar10-test.zip"))
    elif found.name == "train":
        train, test = from_folder(found), from_folder(found.with_name("test"))
    else:
        train = from_batches(found, [f"data_batch_{i}" for i in range(1, 6)])
        test = from_batches(found, ["test_batch"])
    return MemoryDataset("CIFAR-10", train, test, CLASSES, MEAN, STD, padding=4, limit=limit)
