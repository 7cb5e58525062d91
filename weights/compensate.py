#!/usr/bin/env python3
"""Quantizes a base model's feature map at a cut to bits and trains the server's side, or what else a method trains.

Methods, each for every seed. Node and tail stay as they are, no labels:
  qcnet-mse             QCNet alone, reconstruction error
  qcnet                 the same, then distillation from the unpartitioned model (or --teacher) through the frozen tail
Fine-tuned, all with the same number of epochs (or fractions of one) over the training set:
  lloyd-max-finetuned   dequantization, fine-tuned tail
  qcnet-finetuned       QCNet (after the epochs of qcnet-mse, which count) and tail, fine-tuned together
  control               no quantization, fine-tuned tail
To compare with, if named in --methods; each has a node of its own:
  autoencoder-mse, autoencoder, autoencoder-finetuned
                        as the QCNet's three, with an encoder on the node that is trained together with the decoder
  qat                   head, thresholds, levels and tail, fine-tuned as the others
  2-bit, 4-bit, 8-bit   evenly spaced levels, as many bits a feature; nothing is trained
  2-bit-finetuned, ...  the same, fine-tuned tail
Of principal components instead of features, one bit a feature on average, if named; a node does what it did. Only where a
head ends in something linear: a ViT's blocks, a ConvNeXt's downsamplings, a ResNet's layer2.0.add, YOLOv3-Tiny's layers.8.bn:
  klt                   linear dequantization; nothing is trained
  klt-finetuned         the same, fine-tuned tail
  klt-qcnet-mse, klt-qcnet, klt-qcnet-finetuned
                        as the QCNet's three
With --patch they are components of patches of pixels.
What a method goes on from is trained first if it is not there. Writes one file for each method and seed, and
results.json, to --out. --resume skips what is finished. One folder is for one model and one set of options.
"""

import functools
import itertools
import json
from dataclasses import replace
from pathlib import Path

import torch

from qcnet_train import base, components, inputs, loop, methods, models, optimizers, options, tasks
from qcnet_train.compensator import BLOCKS, round_to_half
from qcnet_train.components import MOST_BITS, Components
from qcnet_train.erasure import Erasure
from qcnet_train.maps import each, members
from qcnet_train.methods import METHODS, Cut, Parts
from qcnet_train.models.binary_head import BinaryHeaded
from qcnet_train.outputs import out_folder, write_json
from qcnet_train.quantizer import Quantizer, fit_each, read_quantizer
from qcnet_train.runtime import seed_everything, versions
from qcnet_train.stages import Frozen, Stages, calibration_maps


def parse():
    parser = options.parser(__doc__)
    options.add_training(parser)
    parser.add_argument("--base", required=True, type=Path,
                        help="checkpoint of train.py, a whole model's file, or a node's beside its frozen server's")
    parser.add_argument("--teacher", type=Path, help="other base model to distil from: a binary head's float one")
    parser.add_argument("--cut", required=True, help="where to split, e.g. layer2, layer2.1 or layer2.0.add")
    parser.add_argument("--out", required=True, type=out_folder, help="folder for results")
    parser.add_argument("--width", type=options.count, help="QCNet channels (a quarter of the map's)")
    parser.add_argument("--blocks", type=options.whole, default=1, help="QCNet residual blocks")
    parser.add_argument("--block", default="conv", choices=sorted(BLOCKS),
                        help="of 3x3 convolutions, or of depthwise 7x7 ones (tokens have transformer blocks)")
    parser.add_argument("--methods", nargs="+", default=methods.DEFAULT, choices=METHODS, metavar="METHOD",
                        help=f"of those above ({' '.join(methods.DEFAULT)})")
    parser.add_argument("--seeds", type=options.seed, nargs="+", default=[0])
    parser.add_argument("--reconstruction-epochs", type=options.not_negative, default=1, help="epochs of qcnet-mse, autoencoder-mse")
    parser.add_argument("--distillation-epochs", type=options.not_negative, default=2, help="further epochs of qcnet, autoencoder")
    parser.add_argument("--epochs", type=options.not_negative, default=5, help="epochs of each fine-tuned method")
    parser.add_argument("--optimizer", default="sgd", choices=optimizers.NAMES, help="of the fine-tuned methods")
    parser.add_argument("--lr", type=options.positive, default=0.02, help="theirs")
    parser.add_argument("--weight-decay", type=options.not_negative, default=5e-4, help="theirs")
    parser.add_argument("--packet-loss", type=float, default=0, metavar="RATE",
                        help="train for lost packets: of each picture's bits 0 to 2 RATE are erased, RATE in the mean")
    parser.add_argument("--rate", type=float, default=1,
                        help="bits a feature of the klt methods, on average; they need not be whole")
    parser.add_argument("--patch", type=int, default=1, metavar="P",
                        help="the klt methods take components of P x P pixels' features, not of one's")
    parser.add_argument("--calibration", type=options.count, default=2000, help="images for thresholds and levels")
    parser.add_argument("--no-test", action="store_true", help="only validation (to choose variants)")
    parser.add_argument("--resume", action="store_true", help="keep what is finished")
    arguments = parser.parse_args()
    own = [name for name in arguments.methods if "send" in METHODS[name].trains]
    if arguments.packet_loss and own:
        parser.error(f"--packet-loss is for methods of bits that are given, not for {', '.join(own)}, which train what is sent")
    Erasure(arguments.packet_loss)  # exits now if there is no such rate, not after calibration
    if not 1 <= arguments.patch <= 8:  # what the library takes
        parser.error(f"--patch is a number of pixels from 1 to 8, not {arguments.patch}")
    if not 0 < arguments.rate <= MOST_BITS:
        parser.error(f"--rate is a number of bits a feature, more than 0 and at most {MOST_BITS}, not {arguments.rate:g}")
    others = [name for name in arguments.methods if METHODS[name].send not in (methods.component_codes, None)]
    for option in ("patch", "rate"):
        if getattr(arguments, option) != 1 and others:
            parser.error(f"--{option} is for methods of principal components (klt...), not for {', '.join(others)}")
    later = [name for name in arguments.methods if METHODS[name].stage == "finetune" and METHODS[name].start]
    if arguments.epochs < arguments.reconstruction_epochs and later:
        parser.error(f"--epochs {arguments.epochs:g} are fewer than --reconstruction-epochs {arguments.reconstruction_epochs:g}, "
                     f"which count among those of {', '.join(later)}")
    return arguments


# What a folder of results is about: with other ones nothing in it can go on.
SETTINGS = ("dataset", "limit", "size", "resize", "flips", "batch", "fp32", "cutmix", "cut", "width", "blocks", "block",
            "reconstruction_epochs", "distillation_epochs", "epochs", "optimizer", "lr", "weight_decay", "packet_loss",
            "rate", "patch", "calibration")


def keep_settings(a, found):
    """Notes in --out the settings and, {"base": fingerprint, ...}, what was read. Exits if it holds results of others.

    Without --resume too: what a method goes on from is taken from there, and so is what results.json says.
    """
    settings, path = {**{key: getattr(a, key) for key in SETTINGS}, **found}, a.out / "settings.json"
    if not any(a.out.glob("*-seed*")):
        for fitted in ("quantizer.pt", "components.pt"):  # for other settings, perhaps
            (a.out / fitted).unlink(missing_ok=True)
    elif path.exists():
        before = {**found, **inputs.read_json(path)}  # files of before do not say what was read
        loop.check_settings(a.out, settings, before, "take another --out, or empty it")
    write_json(path, settings)


def quantizer_of_before(out):
    """That of the results in `out`, None if there are none: on another machine a fit would differ in the last digits."""
    path = out / "quantizer.pt"
    return read_quantizer(path) if path.exists() else None


def components_of_before(out):
    """The same of principal components; those of results from before they had a file are in these."""
    path = out / "components.pt"
    if path.exists():
        return components.read(path)
    found = next(iter(sorted(out.glob("klt*-seed*.pt"))), None)
    return found and components.of_result(inputs.checkpoint(found, "send", "compensator"))


class Experiment:
    """All methods at one cut of one base model."""

    def __init__(self, runtime, dataset, arguments, model, teacher):
        self.runtime, self.dataset, self.arguments = runtime, dataset, arguments
        self.splits = ("validation",) if arguments.no_test else ("validation", "test")
        model = runtime.place(round_to_half(model)).eval().requires_grad_(False)
        if isinstance(model, BinaryHeaded) and "qat" in arguments.methods:
            raise SystemExit("qat trains a float head; a binary one is trained by binarize.py")
        self.task = tasks.of(model, dataset)
        self.cut = self.calibrated(model)
        self.of_components = any(METHODS[name].send is methods.component_codes for name in arguments.methods)
        if self.of_components:
            self.cut.components()  # exits now where there are none, not after hours
        self.frozen = Frozen(runtime, self.cut.head, self.cut.tail,
                             teacher and runtime.place(teacher).eval().requires_grad_(False))
        self.stages = Stages(runtime, dataset, self.frozen, self.cut.tail, self.cut.quantizer, self.task,
                             batch=arguments.batch, cutmix=arguments.cutmix, resume=arguments.resume,
                             packet_loss=arguments.packet_loss)

    def calibrated(self, model):
        a = self.arguments
        head, tail = models.partition(model, a.cut, a.patch)

        def maps():
            return calibration_maps(self.runtime, self.dataset, head, a.calibration, min(250, self.task.batch))

        @functools.cache
        def even(bits):
            return each(lambda q, *of_one: q.even(of_one, bits), quantizer, *maps())
        found = maps()
        self.calibration = sum(len(members(z)[0]) for z in found)
        quantizer = self.runtime.share(lambda: quantizer_of_before(a.out)) or fit_each(found)
        shape = each(lambda z: (1, *z.shape[1:]), found[0])
        width = each(lambda q: a.width or max(8, q.thresholds.shape[-1] // 4 // 8 * 8), quantizer)

        @functools.cache
        def fitted():
            if isinstance(quantizer, tuple):
                raise SystemExit(f"cut '{a.cut}': principal components are for cuts that one map crosses")
            channels = shape[1 if len(shape) == 4 else 2]
            any_basis = torch.eye(channels, device=self.runtime.device)
            models.in_basis(model, a.cut, a.patch, any_basis, channels)
            return self.runtime.share(lambda: components_of_before(a.out) or Components.fit(maps(), a.rate))
        return Cut(head, tail, quantizer, models.cuts(model)[a.cut], shape, width, a.blocks, a.block, even, fitted,
                   a.rate, functools.partial(models.in_basis, model, a.cut, a.patch))

    def measure(self, parts):
        """The task's metric on each split, inference in fp32."""
        figures = {}
        for split in self.splits:
            index = itertools.count()

            def forward(images):
                if parts.head is not self.cut.head:
                    return parts(images)
                return parts.after_head(self.frozen.exact_map(images, (split, next(index))))
            answers = self.task.answers(self.runtime, self.dataset, split, forward)
            figures[split] = self.task.score(answers)
            if details := self.task.details(answers):
                figures[f"{split}_details"] = details
        return figures

    def baselines(self):
        """What needs no training: the whole model, uniform and Lloyd-Max dequantization."""
        def dequantized(quantizer):
            cut = replace(self.cut, quantizer=quantizer)
            send, restore = methods.comparison(cut), methods.dequantizer(cut)
            return self.measure(self.placed(Parts(cut.head, send, restore, cut.tail)))
        return {
            "unpartitioned": self.measure(Parts(self.cut.head, None, None, self.cut.tail)),
            "uniform": dequantized(each(Quantizer.uniform, self.cut.quantizer)),
            "lloyd-max": dequantized(self.cut.quantizer),
        }

    def placed(self, parts):
        for part in (parts.send, parts.restore):
            if part is not None:
                self.runtime.place(part)
        return parts

    def path(self, name, seed):
        return self.arguments.out / f"{name}-seed{seed}.pt"

    def train(self, name, seed):
        """Trains one method; returns (parts, history)."""
        a, method = self.arguments, METHODS[name]
        seed_everything(seed)
        parts = self.placed(methods.assemble(method, self.cut))
        if method.start:
            first_stage = self.path(method.start, seed)
            saved = self.runtime.share(lambda: inputs.checkpoint(first_stage, "result"))
            methods.load(parts, saved, ("send", "restore"))
        if method.stage is None:
            return parts, []
        settings = {
            "reconstruct": {"epochs": a.reconstruction_epochs, "label": "reconstruct"},
            "distil": {"epochs": a.distillation_epochs, "label": "distil"},
            "finetune": {"epochs": a.epochs - (a.reconstruction_epochs if method.start else 0), "label": name,
                         "optimizer": a.optimizer, "lr": a.lr, "weight_decay": a.weight_decay}}[method.stage]
        history = getattr(self.stages, method.stage)(
            parts.chain(method.feed, method.stage), feed=method.feed, send=parts.send, seed=seed,
            checkpoint=self.path(name, seed).with_suffix(".running"), **settings)
        return parts, history

    def is_there(self, name, seed):
        return self.runtime.share(self.path(name, seed).exists)

    def run(self, name, seed):
        path, method = self.path(name, seed), METHODS[name]
        parts, history = self.train(name, seed)
        if self.runtime.is_main:
            # What is measured is what is deployed: weights as float16 holds them, inference in fp32.
            for part in ("head", "send", "restore", "tail"):
                if part in method.trains:
                    round_to_half(getattr(parts, part))
            figures = self.measure(methods.deployed(self.cut, parts.eval()))
            loop.save(path, {**methods.state(method, parts),
                             "result": {"method": name, "seed": seed, **figures, "versions": versions(), "history": history}})
            path.with_suffix(".running").unlink(missing_ok=True)
            print(name, "seed", seed, figures, flush=True)
        self.runtime.barrier()

    def order(self, seed):
        """The methods to train: those asked for, and before them those they go on from that are not there yet."""
        asked = {name for name in self.arguments.methods if not (self.arguments.resume and self.is_there(name, seed))}
        starts = {METHODS[name].start for name in asked} - {None}
        missing = {name for name in sorted(starts) if not self.is_there(name, seed)}  # all ranks ask in one order
        return [name for name in METHODS if name in asked | missing]

    def write_log(self, baselines):
        if self.runtime.is_main:
            write_json(self.arguments.out / "results.json", self.log(baselines))

    def log(self, baselines):
        a = self.arguments
        found = [inputs.checkpoint(p, "result")["result"] for p in sorted(a.out.glob("*-seed*.pt"))]
        return {"cut": a.cut, **({"teacher": a.teacher.name} if a.teacher else {}),
                "metric": self.task.metric, "activation": self.cut.activation,
                "width": self.cut.width, "blocks": a.blocks, "block": a.block,
                "compensator_parameters": sum(p.numel() for p in methods.qcnet(self.cut).parameters()),
                "reconstruction_epochs": a.reconstruction_epochs,
                "distillation_epochs": a.distillation_epochs, "epochs": a.epochs, "batch": a.batch, "cutmix": a.cutmix,
                "optimizer": a.optimizer, "lr": a.lr, "weight_decay": a.weight_decay,
                **({"packet_loss": a.packet_loss} if a.packet_loss else {}),
                **{key: getattr(a, key) for key in ("rate", "patch") if getattr(a, key) != 1},
                "calibration": self.calibration, "versions": versions(), "baselines": baselines, "runs": found}


def main():
    arguments = parse()
    runtime, dataset = options.open_run(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    read = {name: path and runtime.share(lambda: base.read(path, dataset))
            for name, path in (("base", arguments.base), ("teacher", arguments.teacher))}
    if runtime.is_main:
        keep_settings(arguments, {"data": [dataset.count(split) for split in ("train", "validation", "test")],
                                  **{name: model and base.fingerprint(model) for name, model in read.items()}})
    experiment = Experiment(runtime, dataset, arguments, read["base"], read["teacher"])
    baselines = experiment.baselines()
    runtime.print(json.dumps(baselines))
    if runtime.is_main:
        loop.save(arguments.out / "quantizer.pt", each(vars, experiment.cut.quantizer))
        if experiment.of_components:
            loop.save(arguments.out / "components.pt", vars(experiment.cut.components()))
    experiment.write_log(baselines)
    for seed in arguments.seeds:
        for name in experiment.order(seed):
            experiment.run(name, seed)
            experiment.write_log(baselines)
        experiment.frozen.forget()
    runtime.close()


if __name__ == "__main__":
    inputs.run(main)
