"""Training stages at a cut.

    reconstruct  what restores the map, no labels: mean of ((z' - z) / S)^2
    distil       the same module, no labels: 0.3 of that + distillation through the frozen tail
    finetune     what ends in the tail: 0.5 of the task's loss + 0.5 distillation

What is trained is fed the "bits" that a sender makes of the frozen head's maps, these float maps ("map"), of which it
makes bits of its own or none, or the "images", if the head is trained too.
Maps and outputs are tensors, or tuples of them where several cross the cut or leave the model.
"""

import math

import torch

from . import loop, optimizers
from .cutmix import CutMix
from .data.deferred import Deferred, made
from .data.order import batch_count
from .erasure import Erasure
from .maps import each, members
from .quantizer import fit_each, per_channel


@torch.no_grad()
def calibration_maps(runtime, dataset, head, count, batch):
    """The maps of `count` training images, a batch at a time, in fp32 as a node computes them, in the CPU's memory.

    Of fewer images, whole batches alone: 200 of 205, say.
    """
    found = []
    for images, _, i in dataset.batches("train", batch, augment=False, shuffle=True):
        if i * batch >= count:
            break
        found.append(each(lambda z: z[:count - i * batch].cpu(), head(runtime.put(images))))
    return found


def calibrate(*calibration):
    """The quantizers of calibration_maps(*calibration)."""
    return fit_each(calibration_maps(*calibration))


class Frozen:
    """What never changes while a cut is trained: the head's maps, and the unpartitioned model's or `teacher`'s outputs.

    Batches depend on (seed, epoch, index) only, so the methods of one seed see the same ones: results
    are kept, in up to a quarter of the memory while another quarter is in nobody's use, and computed once for all methods.
    """

    MAPS = 15 / 16  # of what may be kept, so that the outputs, which are small and cost a whole tail, are kept as well

    def __init__(self, runtime, head, tail, teacher=None):
        self.runtime, self.head, self.tail, self.teacher = runtime, head, tail, teacher
        self.most = runtime.memory() // 4
        self.forget()

    def forget(self):
        self.kept, self.bytes = {}, 0

    @torch.no_grad()
    def keep(self, module, inputs, key, bf16, share=1):
        if key in self.kept:
            return as_float(self.kept[key])
        inputs = made(inputs)
        with torch.autocast(members(inputs)[0].device.type, dtype=torch.bfloat16, enabled=bf16):
            result = module(inputs)
        size = sum(part.nelement() * part.element_size() for part in members(result))
        if self.bytes + size <= share * self.most and self.runtime.spare_memory() > self.most:
            self.kept[key] = result
            self.bytes += size
        return as_float(result)

    def map(self, images, key):
        """The map of a training batch [N, C, H, W], in fp32 as a node computes it.

        bf16 rounds what hardly varies, the background of a picture, to a few values, all on one side of a threshold: behind
        YOLOv3-Tiny's layers.3 a fifth of a channel's bits were others than a node's, and a QCNet learned to rely on them.
        """
        return self.keep(self.head, images, ("map", *key), False, self.MAPS)

    def outputs(self, images, z, key):
        """What there is to be learned for a training batch, of which `z` is the map."""
        module, inputs = (self.teacher, images) if self.teacher else (self.tail, z)
        return self.keep(module, inputs, ("outputs", *key), self.runtime.bf16)

    def exact_map(self, images, key):
        """The map of an evaluation batch in fp32, as a node computes it."""
        return self.keep(self.head, images, ("exact", *key), False, self.MAPS)


def as_float(maps):
    return each(torch.Tensor.float, maps)


def inverse(scale):
    """1 / scale, 0 for channels that never change."""
    return torch.where(scale > 0, 1 / scale.clamp_min(1e-12), torch.zeros_like(scale))


def cosine(optimizer, steps, warmup=50):
    """A short linear warm-up, then cosine to zero."""
    warmup = min(warmup, steps // 10)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(
        1.0, (step + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps)))


class Stages:
    """The stages at one cut of one model. Numbers of epochs may be fractions."""

    def __init__(self, runtime, dataset, frozen, tail, quantizer, task, *, batch, cutmix, resume, packet_loss=0):
        self.runtime, self.dataset, self.frozen, self.tail = runtime, dataset, frozen, tail
        self.task, self.batch, self.cutmix, self.resume = task, batch, cutmix, resume
        self.weights = each(lambda q: inverse(q.scale.to(runtime.device)), quantizer)
        self.erasure = Erasure(packet_loss, runtime.rank)

    def fed(self, feed, send, images, z, *when):
        if feed == "bits":
            return self.erasure(send(made(z)), *when)  # as they arrive
        return made(z if feed == "map" else images)

    def error(self, restored, z):
        """Of several maps the mean of their errors."""
        errors = members(each(lambda r, z, weight: ((r - z) * per_channel(weight, z)).square().mean(),
                              restored, z, self.weights))
        return sum(errors) / len(errors)

    def run(self, module, loss, optimizer, *, epochs, seed, checkpoint, label):
        steps = max(1, round(epochs * batch_count(self.dataset.count("train"), self.batch)))
        schedule = cosine(optimizer, steps)
        saved = loop.Checkpoint(self.runtime, checkpoint, self.resume, module=module,
                                optimizer=optimizer, schedule=schedule)
        mix = CutMix(self.cutmix, self.dataset, seed, self.runtime.rank)
        return loop.fit(self.runtime, self.dataset, loss, optimizer, schedule, saved, epochs=epochs,
                        batch=self.batch, seed=seed, mix=mix, label=label, deferred=True)

    def reconstruct(self, restorer, *, feed, send, lr=3e-3, seed, **rest):
        wrapped = self.runtime.distribute(restorer.train())

        def loss(images, targets, *when):
            z = self.frozen.map(images, (seed, *when))
            with self.runtime.autocast():
                restored = wrapped(self.fed(feed, send, images, z, seed, *when))
            return self.error(restored, z)
        optimizer = torch.optim.Adam(restorer.parameters(), lr)
        return self.run(restorer, loss, optimizer, seed=seed, **rest)

    def distil(self, restorer, *, feed, send, lr=2e-3, seed, **rest):
        wrapped = self.runtime.distribute(restorer.train())
        self.tail.eval()

        def loss(images, targets, *when):
            z = self.frozen.map(images, (seed, *when))
            with self.runtime.autocast():
                restored = wrapped(self.fed(feed, send, images, z, seed, *when))
                outputs = as_float(self.tail(restored))
            return 0.3 * self.error(restored, z) + self.task.distillation(
                outputs, self.frozen.outputs(images, z, (seed, *when)))
        optimizer = torch.optim.Adam(restorer.parameters(), lr)
        return self.run(restorer, loss, optimizer, seed=seed, **rest)

    def finetune(self, module, *, feed, send, optimizer, lr, weight_decay, seed, **rest):
        """`module` gives the model's outputs; `optimizer` is a name."""
        wrapped = self.runtime.distribute(module.train())

        def loss(images, targets, *when):
            z = Deferred(lambda: self.frozen.map(images, (seed, *when)))  # fed on images, with outputs kept, none is needed
            with self.runtime.autocast():
                outputs = as_float(wrapped(self.fed(feed, send, images, z, seed, *when)))
            return 0.5 * self.task.loss(outputs, targets) + 0.5 * self.task.distillation(
                outputs, self.frozen.outputs(images, z, (seed, *when)))
        return self.run(module, loss, optimizers.make(optimizer, module, lr, weight_decay), seed=seed, **rest)
