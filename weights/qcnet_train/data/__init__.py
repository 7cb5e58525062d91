"""Datasets by name. Each has the splits "train", "validation" (held out of the train set) and "test".

    dataset.task, .classes, .mean, .std, .size (H, W), .resize, .channels, .name
    dataset.count(split)
    dataset.batches(split, batch, augment, seed, epoch, rank, world, deferred)
        -> (images [N, C, H, W] normalized float, labels [N], index of the batch)
           if asked for, images may be Deferred, where an augmented batch is made again: made(images) is the tensor

The batches of an epoch depend on (seed, epoch) only: order and augmentation can be repeated. Where the task is
"detection" labels are [N, M, 5], and the dataset has .truths and .letterboxes too: see detection.py.
"""

from . import cifar10, detection, fashion_mnist, folder

DATASETS = {
    "cifar10": cifar10.load,
    "fashion-mnist": fashion_mnist.load,
    "folder": folder.load,
    "bccd": detection.load_bccd,
    "detection-folder": detection.load_folder,
}
# Those that a dataset has, as they are if nothing is said; flips: the loader's.
OPTIONS = {"folder": {"resize": 256, "size": 224}, "bccd": {"size": 416, "flips": None}, "detection-folder": {"size": 416, "flips": None}}


def options(name, given):
    """{option: value} of a dataset, as `given` or not."""
    return {key: usual if given.get(key) is None else given[key] for key, usual in OPTIONS.get(name, {}).items()}


def load(name, path=None, limit=None, **given):
    """Loads a dataset; `limit` keeps only that many images a split (for trials)."""
    if name not in DATASETS:
        raise SystemExit(f"unknown dataset '{name}' (known: {', '.join(DATASETS)})")
    if unused := [key for key, value in given.items() if value is not None and key not in OPTIONS.get(name, {})]:
        raise SystemExit(f"--dataset {name} has no {', '.join(f'--{key}' for key in unused)}; leave it out")
    return DATASETS[name](path, limit=limit, **options(name, given))
