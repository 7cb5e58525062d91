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
from .quantizer import binarize, per_channel

TEMPERATURE = 2.0
KEPT_BYTES = 4 << 30


class Frozen:
    """What never changes while a cut is trained: the head's maps and the unpartitioned model's logits.

    Batches depend on (seed, epoch, index) only, so the methods of one seed see the same ones: results
    are kept, up to KEPT_BYTES, and computed once for all methods.
    """

    def __init__(self, runtime, model, head):
        self.runtime, self.model, self.head = runtime, model, head
        self.forget()

    def forget(self):
        self.kept, self.bytes = {}, 0

    @torch.no_grad()
    def keep(self, module, images, key, bf16):
        if key in self.kept:
            return self.kept[key].float()
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16):
            result = module(images)
        self.bytes += result.nelement() * result.element_size()
        if self.bytes <= KEPT_BYTES:
            self.kept[key] = result
        return result.float()

    def map(self, images, key):
        """The map of a training batch [N, C, H, W]."""
        return self.keep(self.head, images, ("map", *key), self.runtime.bf16)

    def logits(self, images, key):
        """The unpartitioned model's logits of a training batch [N, classes]."""
        return self.keep(self.model, images, ("logits", *key), self.runtime.bf16)

    def exact_map(self, images, key):
        """The map of an evaluation batch in fp32, as a node computes it."""
        return self.keep(self.head, images, ("exact", *key), False)


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
    """The stages at one cut of one model. Numbers of epochs may be fractions."""

    def __init__(self, runtime, dataset, frozen, tail, quantizer, *, batch, resume):
        self.runtime, self.dataset, self.frozen, self.tail = runtime, dataset, frozen, tail
        self.batch, self.resume = batch, resume
        self.thresholds = quantizer.thresholds.to(runtime.device)
        scale = quantizer.scale.to(runtime.device)
        self.weight = torch.where(scale > 0, 1 / scale.clamp_min(1e-12), torch.zeros_like(scale))

    def bits(self, z):
        return binarize(z, self.thresholds)

    def error(self, restored, z):
        return ((restored - z) * per_channel(self.weight, z)).square().mean()

    def run(self, module, loss, optimizer, *, epochs, seed, checkpoint, label):
        steps = max(1, round(epochs * batch_count(self.dataset.count("train"), self.batch)))
        schedule = cosine(optimizer, steps)
        saved = loop.Checkpoint(self.runtime, checkpoint, self.resume, module=module,
                                optimizer=optimizer, schedule=schedule)
        return loop.fit(self.runtime, self.dataset, loss, optimizer, schedule, saved, epochs=epochs,
                        batch=self.batch, seed=seed, label=label)

    def reconstruct(self, compensator, *, lr=3e-3, seed, **rest):
        wrapped = self.runtime.distribute(compensator.train())

        def loss(images, labels, *when):
            z = self.frozen.map(images, (seed, *when))
            with self.runtime.autocast():
                restored = wrapped(self.bits(z))
            return self.error(restored, z)
        optimizer = torch.optim.Adam(compensator.parameters(), lr)
        return self.run(compensator, loss, optimizer, seed=seed, label="reconstruct", **rest)

    def distil(self, compensator, *, lr=2e-3, seed, **rest):
        wrapped = self.runtime.distribute(compensator.train())
        self.tail.eval()

        def loss(images, labels, *when):
            z = self.frozen.map(images, (seed, *when))
            with self.runtime.autocast():
                restored = wrapped(self.bits(z))
                logits = self.tail(restored).float()
            return 0.3 * self.error(restored, z) + distillation(
                logits, self.frozen.logits(images, (seed, *when)))
        optimizer = torch.optim.Adam(compensator.parameters(), lr)
        return self.run(compensator, loss, optimizer, seed=seed, label="distil", **rest)

    def finetune(self, server, *, quantized, lr=0.02, weight_decay=5e-4, seed, label, **rest):
        """`server` maps bits (or, for the control, the float map) to logits."""
        wrapped = self.runtime.distribute(server.train())

        def loss(images, labels, *when):
            z = self.frozen.map(images, (seed, *when))
            with self.runtime.autocast():
                logits = wrapped(self.bits(z) if quantized else z).float()
            return 0.5 * F.cross_entropy(logits, labels) + 0.5 * distillation(
                logits, self.frozen.logits(images, (seed, *when)))
        optimizer = torch.optim.SGD(server.parameters(), lr, momentum=0.9, nesterov=True,
                                    weight_decay=weight_decay)
        return self.run(server, loss, optimizer, seed=seed, label=label, **rest)
