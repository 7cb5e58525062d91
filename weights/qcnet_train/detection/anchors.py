"""Anchors: the k box shapes that stand for all boxes of a training set.

Redmon and Farhadi, "YOLO9000", CVPR 2017: k-means on (width, height) with the distance 1 - IoU.
"""

import numpy as np


def shape_iou(a, b):
    """IoU of shapes (w, h) laid on one another: [M, 2], [k, 2] -> [M, k]."""
    common = np.minimum(a[:, None], b[None]).prod(2)
    return common / (a.prod(1)[:, None] + b.prod(1)[None] - common)


def cluster(shapes, centres, iterations=300):
    """Lloyd's iteration from these centres; a centre without shapes stays where it is."""
    previous = None
    for _ in range(iterations):
        nearest = shape_iou(shapes, centres).argmax(1)
        if previous is not None and (nearest == previous).all():
            break
        previous = nearest
        centres = np.stack([shapes[nearest == i].mean(0) if (nearest == i).any() else centre
                            for i, centre in enumerate(centres)])
    return centres


def k_means(shapes, k, restarts=20, seed=0):
    """Shapes [M, 2] in pixels -> k anchors [k, 2] as whole pixels, rising in area: the best of some random starts."""
    if len(shapes) < k:
        raise SystemExit(f"{k} anchors need at least {k} boxes in the training split, it has {len(shapes)}")
    generator = np.random.default_rng(seed)
    found = [cluster(shapes, shapes[generator.choice(len(shapes), k, replace=False)]) for _ in range(restarts)]
    best = max(found, key=lambda centres: shape_iou(shapes, centres).max(1).mean())
    return best[best.prod(1).argsort()].round().clip(1).astype(int)
