"""Training stages at a cut. Everywhere the head is frozen; the batch's bits come from it.

    reconstruct  QCNet alone, no labels: mean of ((z' - z) / S)^2
    distil       QCNet alone, no labels: 0.3 of that + distillation through the frozen tail
    finetune     the tail, or dequantizer or QCNet and tail: 0.5 cross-entropy + 0.5 distillation
"""

import math

import torch
import torch.nn.functional as F

from . import loop
from .data.order import batch_count
from .quantizer import binarize

TEMPERATURE = 2.0
CACHE_LIMIT = 200_000_000


class Teacher:
    """Logits of the unpartitioned model, kept for batches that other methods will see again.

    Batches depend on (seed, epoch) only, so the methods of one seed share the teacher's work.
    """

    def __init__(self, runtime, model, dataset):
        self.runtime, self.model, self.kept = runtime, model, {}
        self.keeps = dataset.count("train") * len(dataset.classes) < CACHE_LIMIT

    @torch.no_grad()
    def __call__(self, images, key):
        if key not in self.kept:
            with self.runtime.autocast():
                logits = self.model(images).float()
            if not self.keeps:
                return logits
            self.kept[key] = logits
        return self.kept[key]

    def forget(self):
        self.kept.clear()


def distillation(logits, teacher):
    """KL divergence at temperature T, times T^2 (Hinton et al., 2015)."""
    return F.kl_div(F.log_softmax(logits / TEMPERATURE, 1), F.softmax(teacher / TEMPERATURE, 1),
                    reduction="batchmean") * TEMPERATURE ** 2


def cosine(optimizer, steps, warmup=50):
    """A short linear warm-up, then cosine to zero."""
    warmup = min(warmup, steps // 10)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(
        1.0, (step + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps)))


class Stages:
    """The stages at one cut of one model, for one seed after the other."""

    def __init__(self, runtime, dataset, model, head, tail, quantizer, *, batch, resume):
        self.runtime, self.dataset, self.head, self.tail = runtime, dataset, head, tail
        self.batch, self.resume = batch, resume
        self.thresholds = quantizer.thresholds.to(runtime.device)
        scale = quantizer.scale.to(runtime.device).view(1, -1, 1, 1)
        self.weight = torch.where(scale > 0, 1 / scale.clamp_min(1e-12), torch.zeros_like(scale))
        self.teacher = Teacher(runtime, model, dataset)

    @torch.no_grad()
    def features(self, images):
        with self.runtime.autocast():
            return self.head(images).float()

    def bits(self, z):
        return binarize(z, self.thresholds)

    def run(self, module, loss, optimizer, *, epochs, seed, first_epoch=0, checkpoint, label):
        """`epochs` of a stage that is the epochs [first_epoch, ...) of its method."""
        steps = epochs * batch_count(self.dataset.count("train"), self.batch)
        schedule = cosine(optimizer, steps)
        saved = loop.Checkpoint(checkpoint, self.resume, module=module, optimizer=optimizer,
                                schedule=schedule)
        return loop.fit(self.runtime, self.dataset, loss, optimizer, schedule, saved, epochs=epochs,
                        batch=self.batch, seed=seed, first_epoch=first_epoch, label=label)

    def error(self, restored, z):
        return ((restored - z) * self.weight).square().mean()

    def reconstruct(self, compensator, *, epochs, seed, checkpoint, lr=3e-3):
        wrapped = self.runtime.distribute(compensator.train())

        def loss(images, labels, epoch, index):
            z = self.features(images)
            with self.runtime.autocast():
                restored = wrapped(self.bits(z))
            return self.error(restored, z)
        optimizer = torch.optim.Adam(compensator.parameters(), lr)
        return self.run(compensator, loss, optimizer, epochs=epochs, seed=seed, checkpoint=checkpoint,
                        label="reconstruct")

    def distil(self, compensator, *, epochs, seed, first_epoch, checkpoint, lr=2e-3):
        wrapped = self.runtime.distribute(compensator.train())
        self.tail.eval()

        def loss(images, labels, epoch, index):
            z = self.features(images)
            with self.runtime.autocast():
                restored = wrapped(self.bits(z))
                logits = self.tail(restored)
            return 0.3 * self.error(restored, z) + distillation(
                logits.float(), self.teacher(images, (seed, epoch, index)))
        optimizer = torch.optim.Adam(compensator.parameters(), lr)
        return self.run(compensator, loss, optimizer, epochs=epochs, seed=seed, first_epoch=first_epoch,
                        checkpoint=checkpoint, label="distil")

    def finetune(self, server, *, quantized, epochs, seed, first_epoch, checkpoint, label, lr=0.02,
                 weight_decay=5e-4):
        """`server` maps bits (or, for the control, the float map) to logits."""
        wrapped = self.runtime.distribute(server.train())

        def loss(images, labels, epoch, index):
            z = self.features(images)
            with self.runtime.autocast():
                logits = wrapped(self.bits(z) if quantized else z).float()
            return 0.5 * F.cross_entropy(logits, labels) + 0.5 * distillation(
                logits, self.teacher(images, (seed, epoch, index)))
        optimizer = torch.optim.SGD(server.parameters(), lr, momentum=0.9, nesterov=True,
                                    weight_decay=weight_decay)
        return self.run(server, loss, optimizer, epochs=epochs, seed=seed, first_epoch=first_epoch,
                        checkpoint=checkpoint, label=label)

