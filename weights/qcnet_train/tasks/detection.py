"""A box and a class for each thing in a picture."""

import numpy as np
import torch

from ..detection import anchors
from ..detection.average_precision import Evaluation, mean
from ..detection.head import detect, heads
from ..detection.loss import detection_distillation, detection_loss
from ..outputs import write_array


class Detection:
    """Outputs are the two raw detection maps, targets truths [N, M, 5] in input pixels, filled with class -1."""

    metric, batch = "mAP@0.5", 25

    def __init__(self, model, dataset):
        self.heads = heads(model.anchors, model.masks)
        self.size, self.classes = dataset.size, dataset.classes

    @staticmethod
    def suggested(dataset):
        """Six anchors by k-means on the training split, the three large ones for the coarse map."""
        shapes = np.concatenate([letterbox.place(rows[:, 1:]) for rows, letterbox in
                                 zip(dataset.truths("train"), dataset.letterboxes("train"))])
        found = anchors.k_means(shapes[:, 2:] - shapes[:, :2], 6)
        return {"anchors": tuple(map(float, found.flatten())), "masks": (3, 4, 5, 0, 1, 2)}

    def loss(self, outputs, truths, smoothing=0.0):
        return detection_loss(outputs, truths, self.heads, self.size, smoothing)

    def distillation(self, outputs, teacher):
        return detection_distillation(outputs, teacher, self.heads, self.size)

    @torch.no_grad()
    def answers(self, runtime, dataset, split, forward):
        """Detections and truths of each picture in its own pixels, fp32, on this rank alone."""
        letterboxes, found = dataset.letterboxes(split), []
        for images, _, _ in dataset.batches(split, self.batch):
            here = letterboxes[len(found):len(found) + len(images)]
            found += detect(forward(runtime.put(images)), self.heads, here)
        return found, dataset.truths(split)

    def score(self, answers):
        return mean(Evaluation(*answers, self.classes).precisions(overlaps=slice(1)))

    def details(self, answers):
        evaluation = Evaluation(*answers, self.classes)
        precisions = evaluation.precisions()
        return {"mAP@0.5:0.95": mean(precisions), "mAP@0.5, 95 % bootstrap interval": evaluation.interval(),
                "AP@0.5": {name: None if np.isnan(value) else float(value)
                           for name, value in zip(self.classes, precisions[0])}}

    def save(self, answers, path):
        """Rows (picture, class, score, x0, y0, x1, y1), pictures counted from 0 in the order of the split."""
        write_array(path, np.concatenate([np.concatenate([np.full((len(rows), 1), i), rows], 1)
                                          for i, rows in enumerate(answers[0])]))
