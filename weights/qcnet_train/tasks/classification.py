"""One class for a whole picture."""

import numpy as np
import torch
import torch.nn.functional as F

from ..outputs import write_array

TEMPERATURE = 2.0
PIXELS = 1 << 21  # of an evaluation step, at most, and 500 pictures


class Classification:
    """Outputs are logits [N, classes], targets class numbers [N]."""

    metric = "accuracy"

    def __init__(self, model, dataset):
        height, width = dataset.size
        self.batch = max(1, min(500, PIXELS // (height * width)))

    @staticmethod
    def suggested(dataset):
        return {}

    def loss(self, logits, labels, smoothing=0.0):
        return F.cross_entropy(logits, labels, label_smoothing=smoothing)

    def distillation(self, logits, teacher):
        """KL divergence at temperature T, times T^2 (Hinton et al., 2015)."""
        return F.kl_div(F.log_softmax(logits / TEMPERATURE, 1), F.softmax(teacher / TEMPERATURE, 1),
                        reduction="batchmean") * TEMPERATURE ** 2

    @torch.no_grad()
    def answers(self, runtime, dataset, split, forward):
        """Predicted classes and labels of a whole split in its order, fp32, on this rank alone."""
        predicted, expected = [], []
        for images, labels, _ in dataset.batches(split, self.batch):
            predicted.append(forward(runtime.put(images)).argmax(1).cpu())
            expected.append(labels)
        return torch.cat(predicted), torch.cat(expected)

    def score(self, answers):
        """Share of correct answers."""
        predicted, expected = answers
        return float((predicted == expected).double().mean())

    def details(self, answers):
        return {}

    def save(self, answers, path):
        """Predicted classes, [N], of the smallest type that holds them."""
        predicted = answers[0].numpy()
        write_array(path, predicted.astype(np.min_scalar_type(int(predicted.max(initial=0)))))
