#!/usr/bin/env python3
"""Quantizes a base model's feature map at a cut to one bit per feature and trains the server's side.

Methods, each for every seed. Node and tail stay as they are, no labels:
  qcnet-mse             QCNet alone, reconstruction error
  qcnet                 the same, then distillation from the unpartitioned model (or --teacher) through the frozen tail
Fine-tuned, all with the same number of epochs (or fractions of one) over the training set:
  lloyd-max-finetuned   dequantization, fine-tuned tail
  qcnet-finetuned       QCNet (after the epochs of qcnet-mse, which count) and tail, fine-tuned together
  control               no quantization, fine-tuned tail
Writes one file for each method and seed, and results.json, to --out. --resume skips what is finished.
"""

import copy
import itertools
import json
from collections import OrderedDict
from pathlib import Path

import torch
from torch import nn

from qcnet_train import base, loop, models, optimizers, options, tasks
from qcnet_train.compensator import BLOCKS, Dequantizer, compensator, restorer, round_to_half
from qcnet_train.maps import each
from qcnet_train.quantizer import Quantizer, binarize
from qcnet_train.runtime import seed_everything, versions
from qcnet_train.stages import Frozen, Stages, calibrate

METHODS = ("qcnet-mse", "qcnet", "lloyd-max-finetuned", "qcnet-finetuned", "control")


def parse():
    parser = options.parser(__doc__)
    options.add_training(parser)
    parser.add_argument("--base", required=True, type=Path,
                        help="checkpoint of train.py, a whole model's file, or a node's beside its frozen server's")
    parser.add_argument("--teacher", type=Path, help="other base model to distil from: a binary head's float one")
    parser.add_argument("--cut", required=True, help="where to split, e.g. layer2 or layer2.1")
    parser.add_argument("--out", required=True, type=Path, help="folder for results")
    parser.add_argument("--width", type=int, help="QCNet channels (a quarter of the map's)")
    parser.add_argument("--blocks", type=int, default=1, help="QCNet residual blocks")
    parser.add_argument("--block", default="conv", choices=sorted(BLOCKS),
                        help="of 3x3 convolutions, or of depthwise 7x7 ones (tokens have transformer blocks)")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--reconstruction-epochs", type=float, default=1, help="epochs of qcnet-mse")
    parser.add_argument("--distillation-epochs", type=float, default=2, help="further epochs of qcnet")
    parser.add_argument("--epochs", type=float, default=5, help="epochs of each fine-tuned method")
    parser.add_argument("--optimizer", default="sgd", choices=optimizers.NAMES, help="of the fine-tuned methods")
    parser.add_argument("--lr", type=float, default=0.02, help="theirs")
    parser.add_argument("--weight-decay", type=float, default=5e-4, help="theirs")
    parser.add_argument("--calibration", type=int, default=2000, help="images for thresholds and levels")
    parser.add_argument("--no-test", action="store_true", help="only validation (to choose variants)")
    parser.add_argument("--resume", action="store_true", help="keep what is finished")
    return parser.parse_args()


class Experiment:
    """All methods at one cut of one base model."""

    def __init__(self, runtime, dataset, arguments):
        self.runtime, self.dataset, self.arguments = runtime, dataset, arguments
        self.splits = ("validation",) if arguments.no_test else ("validation", "test")
        model = runtime.share(lambda: base.read(arguments.base, dataset))
        self.model = runtime.place(round_to_half(model)).eval().requires_grad_(False)
        self.head, self.tail = models.partition(self.model, arguments.cut)
        self.activation = models.cuts(self.model)[arguments.cut]
        self.task = tasks.of(self.model, dataset)
        self.quantizer = calibrate(runtime, dataset, self.head, arguments.calibration, min(250, self.task.batch))
        sample = next(dataset.batches("train", 1, shuffle=False))[0]
        self.shape = each(lambda z: tuple(z.shape), self.head(self.runtime.put(sample)))
        self.width = each(lambda q: arguments.width or max(8, q.thresholds.shape[-1] // 4 // 8 * 8), self.quantizer)
        teacher = arguments.teacher and runtime.share(lambda: base.read(arguments.teacher, dataset))
        self.frozen = Frozen(runtime, self.head, self.tail,
                             teacher and runtime.place(teacher).eval().requires_grad_(False))
        self.stages = Stages(runtime, dataset, self.frozen, self.tail, self.quantizer, self.task,
                             batch=arguments.batch, cutmix=arguments.cutmix, resume=arguments.resume)

    def measure(self, restore, tail, quantizer):
        """The task's metric on each split in fp32; without `quantizer` the float map goes to the tail."""
        figures = {}
        thresholds = quantizer and each(lambda q: q.thresholds.to(self.runtime.device), quantizer)
        for split in self.splits:
            index = itertools.count()

            def forward(images):
                z = self.frozen.exact_map(images, (split, next(index)))
                return tail(restore(each(binarize, z, thresholds)) if quantizer else z)
            answers = self.task.answers(self.runtime, self.dataset, split, forward)
            figures[split] = self.task.score(answers)
            if details := self.task.details(answers):
                figures[f"{split}_details"] = details
        return figures

    def baselines(self):
        """What needs no training: the whole model, uniform and Lloyd-Max dequantization."""
        uniform = each(Quantizer.uniform, self.quantizer)
        return {
            "unpartitioned": self.measure(None, self.tail, None),
            "uniform": self.measure(self.dequantizer(uniform), self.tail, uniform),
            "lloyd-max": self.measure(self.dequantizer(self.quantizer), self.tail, self.quantizer),
        }

    def dequantizer(self, quantizer):
        return self.runtime.place(restorer(Dequantizer, quantizer))

    def compensator(self):
        def make(quantizer, shape, width):
            return compensator(quantizer, self.activation, shape, width, self.arguments.blocks, self.arguments.block)
        return self.runtime.place(restorer(make, self.quantizer, self.shape, self.width))

    def path(self, method, seed):
        return self.arguments.out / f"{method}-seed{seed}.pt"

    def train(self, method, seed):
        """Trains one method; returns (reconstruction or None, tail, history)."""
        a = self.arguments
        common = {"seed": seed, "checkpoint": self.path(method, seed).with_suffix(".running")}
        seed_everything(seed)
        restore = self.compensator() if method.startswith("qcnet") else None
        if method == "qcnet-mse":
            return restore, self.tail, self.stages.reconstruct(
                restore, epochs=a.reconstruction_epochs, **common)
        if method.startswith("qcnet"):
            first_stage = self.path("qcnet-mse", seed)
            trained = self.runtime.share(lambda: torch.load(first_stage, map_location="cpu"))
            restore.load_state_dict(trained["compensator"])
        if method == "qcnet":
            return restore, self.tail, self.stages.distil(
                restore, epochs=a.distillation_epochs, **common)
        tail = copy.deepcopy(self.tail).requires_grad_(True)
        parts = OrderedDict(tail=tail)
        if method != "control":
            restore = restore or self.dequantizer(self.quantizer)
            parts = OrderedDict(restore=restore, tail=tail)
        done = a.reconstruction_epochs if method == "qcnet-finetuned" else 0
        history = self.stages.finetune(nn.Sequential(parts), quantized=method != "control", label=method,
                                       epochs=a.epochs - done, optimizer=a.optimizer, lr=a.lr,
                                       weight_decay=a.weight_decay, **common)
        return restore, tail, history

    def run(self, method, seed):
        path = self.path(method, seed)
        if self.runtime.share(lambda: self.arguments.resume and path.exists()):
            return
        restore, tail, history = self.train(method, seed)
        if self.runtime.is_main:
            # What is measured is what is deployed: weights as float16 holds them, inference in fp32.
            for part in (restore, tail):
                if part is not None:
                    round_to_half(part.eval())
            quantizer = None if method == "control" else self.quantizer
            figures = self.measure(restore, tail, quantizer)
            loop.save(path, {
                "compensator": restore.state_dict() if method.startswith("qcnet") else None,
                "tail": None if tail is self.tail else tail.state_dict(),
                "result": {"method": method, "seed": seed, **figures, "history": history}})
            path.with_suffix(".running").unlink()
            print(method, "seed", seed, figures, flush=True)
        self.runtime.barrier()

    def log(self, baselines):
        a = self.arguments
        found = [torch.load(p, map_location="cpu")["result"] for p in sorted(a.out.glob("*-seed*.pt"))]
        return {"cut": a.cut, **({"teacher": a.teacher.name} if a.teacher else {}),
                "metric": self.task.metric, "activation": self.activation,
                "width": self.width, "blocks": a.blocks, "block": a.block,
                "compensator_parameters": sum(p.numel() for p in self.compensator().parameters()),
                "reconstruction_epochs": a.reconstruction_epochs,
                "distillation_epochs": a.distillation_epochs, "epochs": a.epochs, "batch": a.batch, "cutmix": a.cutmix,
                "optimizer": a.optimizer, "lr": a.lr, "weight_decay": a.weight_decay,
                "calibration": a.calibration, "versions": versions(), "baselines": baselines, "runs": found}


def main():
    arguments = parse()
    runtime, dataset = options.open_run(arguments)
    experiment = Experiment(runtime, dataset, arguments)
    baselines = experiment.baselines()
    runtime.print(json.dumps(baselines))
    arguments.out.mkdir(parents=True, exist_ok=True)
    if runtime.is_main:
        loop.save(arguments.out / "quantizer.pt", each(vars, experiment.quantizer))
    for seed in arguments.seeds:
        for method in METHODS:
            if method in arguments.methods:
                experiment.run(method, seed)
                if runtime.is_main:
                    log = json.dumps(experiment.log(baselines), indent=1)
                    (arguments.out / "results.json").write_text(log + "\n")
        experiment.frozen.forget()
    runtime.close()


if __name__ == "__main__":
    main()
