#!/usr/bin/env python3
"""Writes random detections and ground truths with their average precisions (see tests/vision/).

  average_precision.bin   for each case: u32 classes, pictures; for each picture u32 detections, then of each
                          label, score, x0, y0, x1, y1, then u32 truths, then of each label, x0, y0, x1, y1 (all float32);
                          float64 AP@0.5 and AP@0.5:0.95 of each class, then of all; -1 where there is none

The precisions are computed straight from COCO's definition. Coordinates are quarters of pixels and scores steps of
1/64, so that ties and IoUs exactly at a threshold occur and float32 holds everything. Needs Debian's python3-numpy.
"""
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
IOUS, RECALLS = np.linspace(0.5, 0.95, 10), np.linspace(0, 1, 101)


def overlap(a, b):
    """IoU of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    common = sides.prod()
    return common / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common)


def verdicts(pictures, label, threshold):
    """(score, right) of every counted detection of a class, best first, and the number of ground truths."""
    rows, total = [], 0
    for detections, truths in pictures:
        free = [t[1:] for t in truths if t[0] == label]
        total += len(free)
        mine = sorted((d for d in detections if d[0] == label), key=lambda d: -d[1])[:100]
        for _, score, *box in mine:
            overlaps = [overlap(np.array(box), np.array(t)) for t in free]
            best = max(range(len(free)), key=lambda i: (overlaps[i], i), default=None)
            right = best is not None and overlaps[best] >= threshold
            if right:
                del free[best]
            rows.append((score, right))
    return sorted(rows, key=lambda row: -row[0]), total


def average_precision(pictures, label, threshold):
    rows, total = verdicts(pictures, label, threshold)
    if total == 0:
        return -1.0
    right = np.cumsum([row[1] for row in rows])
    recall, precision = right / total, right / np.arange(1, len(rows) + 1)
    return float(np.mean([precision[recall >= r].max(initial=0) for r in RECALLS]))


def quarters(values):
    return [float(v) for v in np.round(np.asarray(values) * 4) / 4]


def random_box(rng, size=200):
    corner, sides = rng.uniform(0, size * 0.8, 2), rng.uniform(3, size * 0.4, 2)
    return quarters([*corner, *(corner + sides)])


def random_case(seed, classes, pictures, most_truths, most_noise, jitter, absent=()):
    """Truths of the classes that are not absent, most of them found (some twice), beside false alarms."""
    rng = np.random.default_rng(seed)
    case = []
    for _ in range(pictures):
        truths = [(int(rng.integers(classes)), *random_box(rng)) for _ in range(rng.integers(most_truths + 1))]
        truths = [t for t in truths if t[0] not in absent]
        score = lambda low: float(rng.integers(low, 65) / 64)  # noqa: E731
        detections = [(t[0], score(16), *quarters(np.array(t[1:]) + rng.normal(0, jitter, 4)))
                      for t in truths for _ in range(rng.integers(3))]
        detections += [(int(rng.integers(classes)), score(0), *random_box(rng))
                       for _ in range(rng.integers(most_noise + 1))]
        rng.shuffle(detections)
        case.append(([(int(d[0]), *map(float, d[1:])) for d in detections], truths))
    return classes, case


def on_thresholds():
    """Boxes whose IoU with the truth is k/20, which is each threshold exactly but for its rounding."""
    truth = (0, 0.0, 0.0, 20.0, 20.0)
    return 1, [([(0, k / 32, 0.0, 0.0, float(k), 20.0)], [truth]) for k in range(8, 21)]


def equal_overlaps():
    """Between two truths of the same IoU, and two detections of one score for one truth."""
    middle, sides = (0, 0.5, 2.0, 0.0, 12.0, 8.0), [(0, 0.0, 0.0, 10.0, 8.0), (0, 4.0, 0.0, 14.0, 8.0)]
    return 1, [([middle, (0, 0.25, 0.0, 0.0, 10.0, 8.0)], sides), ([middle, middle], [(0, *middle[2:])])]


CASES = [
    random_case(1, 3, 40, 12, 10, 2.0), random_case(2, 5, 7, 3, 30, 6.0, absent=(1, 4)),
    random_case(3, 1, 1, 150, 200, 3.0), random_case(4, 2, 3, 170, 500, 1.0), random_case(5, 4, 60, 1, 1, 3.0),
    random_case(6, 1, 5, 0, 4, 1.0), random_case(7, 2, 4, 3, 0, 0.0), (2, [([], []), ([], [])]),
    (1, [([], [(0, 1.0, 2.0, 3.0, 4.0)])]), (1, []), on_thresholds(), equal_overlaps(),
]


def main():
    with open(HERE / "average_precision.bin", "wb") as file:
        for classes, pictures in CASES:
            file.write(struct.pack("<2I", classes, len(pictures)))
            for detections, truths in pictures:
                for rows in detections, truths:
                    file.write(struct.pack("<I", len(rows)) + np.array(rows, "<f4").tobytes())
            table = np.array([[average_precision(pictures, k, t) for t in IOUS] for k in range(classes)])
            known = table[table[:, 0] >= 0]
            everything = [*table, known.mean(axis=0) if len(known) else np.full(len(IOUS), -1.0)]
            file.write(np.array([(row[0], row.mean()) for row in everything], "<f8").tobytes())


if __name__ == "__main__":
    main()
