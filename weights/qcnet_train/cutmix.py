"""CutMix (Yun et al., ICCV 2019): one rectangle of every image comes from another image of the batch."""

import math

import torch
import torch.nn.functional as F


class CutMix:
    """Mixes a `share` of the batches of a classifier's training, which depend on (seed, epoch, index, rank) only."""

    def __init__(self, share, dataset, seed, rank=0):
        if share and dataset.task != "classification":
            raise SystemExit("--cutmix is for classification: boxes that are cut would have to be found again")
        self.share, self.classes, self.seed, self.rank = share, len(getattr(dataset, "classes", ())), seed, rank

    def __call__(self, images, labels, epoch, index):
        """Images [N, C, H, W] and labels [N] -> the same, or mixed and each class's share [N, classes]."""
        generator = torch.Generator().manual_seed(
            (((self.seed * 1009 + epoch) * 100003 + index) * 97 + self.rank) % 2 ** 63)
        if float(torch.rand((), generator=generator)) >= self.share:
            return images, labels
        mixed, source, kept = cutmix(images, generator)
        labels = F.one_hot(labels, self.classes).float()
        return mixed, kept * labels + (1 - kept) * labels[source]


def cutmix(images, generator):
    """Images [N, C, H, W] -> (mixed images, where each rectangle is from [N], share of the pixels that stayed).

    The share is uniform between 0 and 1, but for rectangles that reach over the edge.
    """
    count, _, height, width = images.shape
    source = torch.randperm(count, generator=generator).to(images.device)
    share, *centre = torch.rand(3, generator=generator).tolist()
    (top, bottom), (left, right) = (
        (max(0, round(size * (at - side / 2))), min(size, round(size * (at + side / 2))))
        for size, at, side in zip((height, width), centre, (math.sqrt(1 - share),) * 2))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[source, :, top:bottom, left:right]
    return mixed, source, 1 - (bottom - top) * (right - left) / (height * width)
