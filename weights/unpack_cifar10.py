#!/usr/bin/env python3
"""Makes the pictures of CIFAR-10 that the figures here are of, from the published cifar-10-python.tar.gz.

Writes OUT/train/<class>/NNNN.jpg and OUT/test/<class>/NNNN.jpg, each class in the archive's order, as JPEG of quality 75 with
halved chroma; `--data OUT` names them to the other scripts. The archive: https://www.cs.toronto.edu/~kriz/cifar.html
"""

import argparse
import itertools
import tarfile
import tempfile
import zlib
from pathlib import Path

from PIL import Image

from qcnet_train import inputs
from qcnet_train.data.cifar10 import BATCHES, CLASSES, read_batch
from qcnet_train.outputs import out_folder

FOLDER = "cifar-10-batches-py"


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="cifar-10-python.tar.gz")
    parser.add_argument("out", type=out_folder, help="folder for train and test")
    return parser.parse_args()


def read(path):
    """{split: [(images, labels) of each batch]}."""
    try:
        with tarfile.open(path) as archive:
            return {split: [read_batch(archive.extractfile(f"{FOLDER}/{name}"), f"{path}, {name}") for name in names]
                    for split, names in BATCHES.items()}
    except KeyError as missing:
        raise SystemExit(f"{path}: {missing.args[0]}; it takes cifar-10-python.tar.gz") from None
    except (OSError, EOFError, tarfile.TarError, zlib.error) as wrong:
        reason = str(wrong).partition(":\n")[0]
        raise SystemExit(f"{path}: cannot be read ({reason}); it takes cifar-10-python.tar.gz") from None


def write(folder, batches):
    """The pictures of a split; returns how many."""
    counters = [itertools.count() for _ in CLASSES]
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for images, labels in batches:
        for image, label in zip(images, labels):
            picture = Image.fromarray(image.transpose(1, 2, 0).copy())
            picture.save(folder / CLASSES[label] / f"{next(counters[label]):04}.jpg", quality=75, subsampling="4:2:0")
    return sum(len(labels) for _, labels in batches)


def main():
    arguments = parse()
    for split in BATCHES:
        if (arguments.out / split).exists():
            raise SystemExit(f"{arguments.out / split} is there already; take another folder, or delete it")
    batches = read(arguments.archive)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out) as own:  # an interrupted run leaves no half of a data set
        for split in BATCHES:
            print(f"{write(Path(own, split), batches[split])} pictures in {arguments.out / split}")
        for split in BATCHES:
            Path(own, split).rename(arguments.out / split)


if __name__ == "__main__":
    inputs.run(main)
