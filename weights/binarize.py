#!/usr/bin/env python3
"""Trains a binary head in the place of a base model's float one at a cut, for nodes that can do little.

Weights and activations between its first layer and the cut are one bit (qcnet_train/models/binary_head.py). It learns
the float head's map, and that the base model's frozen tail says behind this map, sent as one bit a feature, what it
says behind the float one: the map's reconstruction error + distillation + a share of the task's loss.

Writes, after each epoch, a checkpoint that is a base model of compensate.py and export.py, with this cut alone;
--resume continues it. A JSON log is beside it.
"""

from pathlib import Path

import torch

from qcnet_train import base, deployment, inputs, loop, models, optimizers, options, tasks
from qcnet_train.compensator import Dequantizer, round_to_half
from qcnet_train.cutmix import CutMix
from qcnet_train.data.order import batch_count
from qcnet_train.latent import LatentHead, fold, straight_through
from qcnet_train.outputs import write_json
from qcnet_train.quantizer import binarize
from qcnet_train.runtime import seed_everything, versions
from qcnet_train.stages import Frozen, Stages, calibrate, cosine

SIZES = {"channels": (64, 64, 64, 64, 80), "strides": (2, 1, 1, 2, 1), "kernels": (3, 3, 3, 3, 3)}
# What --resume needs to be the same, beside the base model and the head's sizes.
SETTINGS = ("dataset", "limit", "size", "resize", "flips", "batch", "fp32", "cutmix", "cut", "epochs", "optimizer", "lr",
            "weight_decay", "calibration", "seed")
DISTILLATION, LABELS = 1.0, 0.25  # shares of the losses, beside one of the reconstruction error


def parse():
    parser = options.parser(__doc__)
    options.add_training(parser)
    parser.add_argument("--base", required=True, type=Path, help="checkpoint of train.py, or file of a whole model")
    parser.add_argument("--cut", required=True, help="where the binary head ends, e.g. features.3")
    options.add_checkpoint(parser, "runs/model-binary.pt")
    parser.add_argument("--set", nargs="+", default=[], metavar="OPTION=VALUE",
                        help="the stem's and every layer's channels=64,64,80 strides=2,1,2 kernels=3,3,3")
    parser.add_argument("--epochs", type=options.count, default=20)
    parser.add_argument("--optimizer", default="adamw", choices=optimizers.NAMES)
    parser.add_argument("--lr", type=options.positive, default=3e-3, help="peak learning rate")
    parser.add_argument("--weight-decay", type=options.not_negative, default=0.0)
    parser.add_argument("--calibration", type=options.count, default=2000, help="images for thresholds and levels")
    parser.add_argument("--seed", type=options.seed, default=0)
    parser.add_argument("--validate-every", type=options.count, default=1, help="epochs between validations")
    return options.parse_checkpoint(parser)


class Folded:
    """The state of the model that is deployed, for a checkpoint; its own training goes on from the latent head's."""

    def __init__(self, latent, model):
        self.latent, self.model = latent, model

    def state_dict(self):
        return self.now().state_dict()

    def load_state_dict(self, state):
        pass

    def now(self):
        """The model with the head as it is trained so far."""
        self.model.binary.load_state_dict(fold(self.latent).state_dict())
        return self.model


class Binarization:
    """One base model, its cut and the head that is trained for it."""

    def __init__(self, runtime, dataset, arguments):
        self.runtime, self.dataset, self.arguments = runtime, dataset, arguments
        self.chosen = {key: getattr(arguments, key) for key in SETTINGS}
        model = runtime.share(lambda: base.read(arguments.base, dataset))
        self.model = runtime.place(round_to_half(model)).eval().requires_grad_(False)
        self.head, self.tail = models.partition(self.model, arguments.cut)
        self.task = tasks.of(self.model, dataset)
        sizes = models.set_options("a binary head", SIZES, arguments.set)
        self.latent = runtime.place(LatentHead(dataset.channels, dataset.mean, dataset.std, **sizes))
        self.folded = Folded(self.latent, runtime.place(
            models.with_binary_head(self.model, arguments.cut, fold(self.latent))).eval())
        self.same_shape()
        self.quantizer = self.calibrate(self.head)
        self.stages = Stages(runtime, dataset, Frozen(runtime, self.head, self.tail), self.tail, self.quantizer,
                             self.task, batch=arguments.batch, cutmix=arguments.cutmix, resume=arguments.resume)

    def same_shape(self):
        sample = self.runtime.put(next(self.dataset.batches("train", 1, shuffle=False))[0])
        try:
            with torch.no_grad():
                wanted, given = (tuple(head(sample).shape[1:]) for head in (self.head, self.latent.eval()))
        except RuntimeError as error:
            height, width = self.dataset.size
            raise SystemExit(f"a binary head of strides {self.latent.sizes['strides']} is none for pictures of {height} x {width} pixels, as a "
                             f"layer of stride 2 needs a map of even height and width: --set strides otherwise ({error})") from None
        if wanted != given:
            raise SystemExit(f"the map behind {self.arguments.cut} is {wanted}, the binary head's {given}: --set "
                             "channels and strides otherwise")

    def calibrate(self, head):
        return calibrate(self.runtime, self.dataset, head, self.arguments.calibration, min(250, self.task.batch))

    def train(self):
        a = self.arguments
        optimizer = optimizers.make(a.optimizer, self.latent, a.lr, a.weight_decay)
        schedule = cosine(optimizer, a.epochs * batch_count(self.dataset.count("train"), a.batch))
        spec = self.folded.model.spec
        settings = {**self.chosen, "base": base.fingerprint(self.model), "set": self.latent.sizes}
        checkpoint = loop.Checkpoint(
            self.runtime, a.out, a.resume, {"spec": spec, "size": self.dataset.size, "classes": list(self.dataset.classes),
                                            "settings": settings},
            model=self.folded, latent=self.latent, optimizer=optimizer, schedule=schedule)
        wrapped = self.runtime.distribute(self.latent.train())

        def loss(images, targets, *when):
            with torch.no_grad(), self.runtime.autocast():
                z = self.head(images)
                teacher = self.tail(z).float()
            with self.runtime.autocast():
                learned = wrapped(images)
                outputs = self.tail(straight_through(learned, self.quantizer)).float()
            return (self.stages.error(learned, z.float()) + DISTILLATION * self.task.distillation(outputs, teacher)
                    + LABELS * self.task.loss(outputs, targets))
        mix = CutMix(a.cutmix, self.dataset, a.seed, self.runtime.rank)
        return loop.fit(self.runtime, self.dataset, loss, optimizer, schedule, checkpoint, epochs=a.epochs,
                        batch=a.batch, seed=a.seed, mix=mix, label="binarize", validate=self.validate)

    def validate(self, epoch):
        if epoch % self.arguments.validate_every and epoch != self.arguments.epochs:
            return {}
        model = self.folded.now()
        return {"validation": self.measure(model, "validation", None),
                "validation_bits": self.measure(model, "validation", self.quantizer)}

    def measure(self, model, split, quantizer):
        """The task's metric, with the float map or with dequantized bits before the tail."""
        head, tail = models.partition(model, self.arguments.cut)
        if quantizer:
            restore = self.runtime.place(Dequantizer(quantizer))
            thresholds = quantizer.thresholds.to(self.runtime.device)

        def forward(images):
            z = head(images)
            return tail(restore(binarize(z, thresholds)) if quantizer else z)
        return self.task.score(self.task.answers(self.runtime, self.dataset, split, forward))

    def figures(self):
        """What the deployed head is worth, behind it the tail of the base model as it was."""
        model = self.folded.now()
        for images, _, _ in self.dataset.batches("validation", self.task.batch):
            images = self.runtime.put(images)
            try:
                model.binary.check_exact(images)
            except ValueError as error:
                raise SystemExit(f"{self.arguments.out}: a node would compute something else than this head, as {error}; train another, "
                                 "with a smaller --lr or other --set") from None
        quantizer = self.calibrate(model.binary)
        return {split: {"base": self.measure(self.model, split, None), "map": self.measure(model, split, None),
                        "lloyd-max": self.measure(model, split, quantizer)} for split in ("validation", "test")}


def main():
    arguments = parse()
    runtime, dataset = options.open_run(arguments)
    seed_everything(arguments.seed)
    binarization = Binarization(runtime, dataset, arguments)
    history = binarization.train()
    if runtime.is_main:
        figures = binarization.figures()
        stored = deployment.as_arrays(models.partition(binarization.folded.model, arguments.cut)[0].state_dict())
        bytes_of = {"float_head": 4 * sum(p.numel() for p in binarization.head.parameters()),
                    "binary_head": sum(array.nbytes for array in stored.values())}
        print(figures, bytes_of, flush=True)
        write_json(arguments.out.with_suffix(".json"), {
            "spec": binarization.folded.model.spec, **binarization.chosen, "dataset": dataset.name, "input": list(dataset.size),
            "base": arguments.base.name, "bytes": bytes_of, "distillation": DISTILLATION, "labels": LABELS,
            "ranks": runtime.world, "metric": binarization.task.metric,
            "test": figures["test"]["map"], "figures": figures, "versions": versions(), "history": history})
    runtime.close()


if __name__ == "__main__":
    inputs.run(main)
