"""CutMix (Yun et al., ICCV 2019): one rectangle of every image comes from another image of the batch."""

import math

import torch


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
