"""Mean average precision as COCO defines it (101 recall points, at most 100 detections a class and image), in numpy.

Areas, crowds and difficult truths are not told apart. Agrees with pycocotools' COCOeval.
"""

import numpy as np

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100


def iou(a, b):
    """Boxes [M, 4], [N, 4] -> [M, N]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(0).prod(2)
    total = (a[:, 2:] - a[:, :2]).prod(1)[:, None] + (b[:, 2:] - b[:, :2]).prod(1)[None] - common
    return np.divide(common, total, out=np.zeros_like(common), where=total > 0)


def match(detections, truths):
    """One image, one class: hits [10, D] at each of OVERLAPS, detections [D, 4] from the highest score down.

    Each takes the truth that it overlaps most among those that no better detection has taken.
    """
    overlaps = iou(detections, truths)
    hits = np.zeros((len(OVERLAPS), len(detections)), bool)
    for t, least in enumerate(OVERLAPS):
        free = np.ones(len(truths), bool)
        for d, row in enumerate(overlaps):
            best = max(free.nonzero()[0], key=lambda i: (row[i], i), default=None)
            if best is not None and row[best] >= least:
                hits[t, d], free[best] = True, False
    return hits


def average_precision(scores, hits, truths):
    """The area under precision over recall: scores [D] in any order, their hits [..., D], how many truths there are."""
    hits = hits[..., np.argsort(-scores, kind="stable")]
    right = hits.cumsum(-1)
    recall, precision = right / truths, right / np.arange(1, len(scores) + 1)
    precision = np.maximum.accumulate(precision[..., ::-1], -1)[..., ::-1]
    padded = np.concatenate([precision, np.zeros((*precision.shape[:-1], 1))], -1)
    at = (recall[..., None, :] < RECALLS[:, None]).sum(-1)
    return np.take_along_axis(padded, at, -1).mean(-1)


class Evaluation:
    """Detections [D, 6] and truths [M, 5] of each image, matched; then any selection of the images can be measured."""

    def __init__(self, detections, truths, classes):
        self.classes, self.images = classes, []
        for found, true in zip(detections, truths):
            rows = []
            for c in range(len(classes)):
                ours, theirs = found[found[:, 0] == c], true[true[:, 0] == c]
                ours = ours[np.argsort(-ours[:, 1], kind="stable")][:MOST]
                rows.append((ours[:, 1], match(ours[:, 2:], theirs[:, 1:]), len(theirs)))
            self.images.append(rows)

    def precisions(self, chosen=None, overlaps=slice(None)):
        """Average precision [overlaps, classes] over all images or those `chosen`; NaN for a class without truths."""
        images = self.images if chosen is None else [self.images[i] for i in chosen]
        columns = []
        for c in range(len(self.classes)):
            truths = sum(image[c][2] for image in images)
            scores = np.concatenate([image[c][0] for image in images])
            hits = np.concatenate([image[c][1][overlaps] for image in images], -1)
            columns.append(average_precision(scores, hits, truths) if truths else np.full(len(hits), np.nan))
        return np.stack(columns, -1)

    def interval(self, resamples=1000, seed=0):
        """95 % bootstrap interval of mAP@0.5 over the choice of images."""
        generator = np.random.default_rng(seed)
        count = len(self.images)
        values = [mean(self.precisions(generator.integers(count, size=count), slice(1))) for _ in range(resamples)]
        return [float(v) for v in np.quantile(values, [0.025, 0.975])]


def mean(precisions):
    """Over what is known: 0 if no class has a truth."""
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if known.size else 0.0
