"""Datasets by name. Each has the splits "train", "validation" (held out of the train set) and "test".

    dataset.classes, .mean, .std, .size (H, W), .resize, .channels, .name
    dataset.count(split)
    dataset.batches(split, batch, augment, seed, epoch, rank, world)
        -> (images [N, C, H, W] normalized float, labels [N], index of the batch)

The batches of an epoch depend on (seed, epoch) only: order and augmentation can be repeated.
"""

from . import cifar10, fashion_mnist, folder

DATASETS = {
    "cifar10": cifar10.load,
    "fashion-mnist": fashion_mnist.load,
    "folder": folder.load,
}


def load(name, path=None, limit=None, resize=None, size=None):
    """Loads a dataset; `limit` keeps only that many images a split (for trials)."""
    if name not in DATASETS:
        raise SystemExit(f"unknown dataset '{name}' (known: {', '.join(DATASETS)})")
    options = {"resize": resize, "size": size} if name == "folder" else {}
    return DATASETS[name](path, limit=limit, **options)
