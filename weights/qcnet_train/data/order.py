"""The order in which an epoch visits the images, shared by all ranks."""

import torch


def random_seed(seed, epoch, rank):
    """Of what is drawn in an epoch on a rank, beside its order."""
    return (seed * 1009 + epoch) * 97 + rank


def epoch_batches(count, batch, shuffle, seed, epoch, rank=0, world=1):
    """Index tensors of this rank's batches; `batch` is the global size, split evenly among ranks.

    When shuffled (training), a last incomplete batch is dropped unless it is the only one.
    """
    if shuffle:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed * 100003 + epoch))
        order = order[:max(count - count % batch, min(count, batch))]
    else:
        order = torch.arange(count)
    order = order[rank:len(order) - len(order) % world if world > 1 and shuffle else None:world]
    return list(order.split(max(1, batch // world)))


def batch_count(count, batch):
    """Number of training batches in an epoch."""
    return max(1, count // batch)
