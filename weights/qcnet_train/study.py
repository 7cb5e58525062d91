"""What the study consists of: model families, their cuts, and the options that their training takes.

A cell is one cut of one family with one seed, for principal components also with one rate and one size of patches. Bases are
those that are shipped: a node's file beside its frozen server's.
"""

from dataclasses import dataclass
from pathlib import Path

SEEDS = (0, 1, 2)
METHODS = ("qcnet", "lloyd-max-finetuned", "qcnet-finetuned", "control", "autoencoder", "autoencoder-finetuned", "qat",
           "2-bit", "4-bit", "8-bit")
OF_COMPONENTS = ("klt", "klt-qcnet", "klt-finetuned", "klt-qcnet-finetuned")
VIT_CUTS = tuple(f"encoder.layers.encoder_layer_{i}" for i in range(3))
ADAMW = "--optimizer adamw --lr 5e-4 --weight-decay 0.05"


@dataclass(frozen=True)
class Family:
    name: str
    dataset: str   # options of all scripts
    base: str      # in shipped/, without ".node.safetensors"
    budget: str    # options of compensate.py
    cuts: dict                      # cut -> further options of compensate.py
    quick: str                      # the cut that study.py --quick trains a QCNet at
    components: dict                # (cut whose map can be had in another basis, patch) -> the same

    @property
    def data(self):
        return self.dataset.split()[1]

    def cells(self, seed, rate=1):
        whole = [Cell(self, cut, seed) for cut in self.cuts] if rate == 1 else []
        return [*whole, *(cell for cut, patch in self.components
                          if (cell := Cell(self, cut, seed, rate, patch)) not in whole)]


@dataclass(frozen=True)
class Cell:
    family: Family
    cut: str
    seed: int
    rate: float = 1  # bits a feature; with others than 1, and with patches, there are principal components alone
    patch: int = 1

    @property
    def name(self):
        patch = "" if self.patch == 1 else f"-patch{self.patch}"
        rate = "" if self.rate == 1 else f"-rate{self.rate:g}"
        return f"{self.family.name}-{self.cut}{patch}{rate}-seed{self.seed}"

    @property
    def methods(self):
        if self.patch != 1 or self.rate != 1:  # the control is the same with any patch and rate
            return (*OF_COMPONENTS, *(("control",) if self.rate == 1 and self.cut not in self.family.cuts else ()))
        return METHODS + (OF_COMPONENTS if (self.cut, 1) in self.family.components else ())

    def base(self, weights):
        return Path(weights) / "shipped" / f"{self.family.base}.node.safetensors"

    def options(self):
        """Of compensate.py, but for files, seeds and methods."""
        own = self.family.cuts[self.cut] if self.patch == 1 else self.family.components[self.cut, self.patch]
        return [*self.family.dataset.split(), "--cut", self.cut, *self.family.budget.split(), *own.split(),
                *(() if self.rate == 1 else ("--rate", f"{self.rate:g}")),
                *(() if self.patch == 1 else ("--patch", str(self.patch)))]


FAMILIES = {family.name: family for family in (
    Family("resnet-cifar10", "--dataset cifar10", "resnet-cifar10-layer1",
           "--blocks 2 --reconstruction-epochs 1 --distillation-epochs 3 --epochs 6",
           {"layer1": "--width 16", "layer2": "--width 32", "layer3": "--width 64"}, "layer1",
           {("layer2.0.add", 2): "--width 64", ("layer3.0.add", 2): "--width 128"}),
    Family("vit-cifar10", "--dataset cifar10", "vit-cifar10-encoder.layers.encoder_layer_1",
           "--width 96 --blocks 2 --batch 128 --reconstruction-epochs 1 --distillation-epochs 2 --epochs 6 " + ADAMW,
           {cut: "" for cut in VIT_CUTS}, "encoder.layers.encoder_layer_1", {(cut, 1): "" for cut in VIT_CUTS}),
    Family("convnext-cifar10", "--dataset cifar10", "convnext-cifar10-features.2",
           "--block depthwise --blocks 2 --batch 128 --reconstruction-epochs 1 --epochs 4 " + ADAMW,
           {"features.2": "--width 80 --distillation-epochs 3", "features.3": "--width 64 --distillation-epochs 2",
            "features.4": "--width 80 --distillation-epochs 3"}, "features.2",
           {("features.2", 1): "", ("features.4", 1): "", ("features.2", 2): "--width 160 --distillation-epochs 3"}),
    Family("yolo-bccd", "--dataset bccd --size 416", "yolo-bccd-layers.7",
           "--batch 16 --width 32 --blocks 2 --reconstruction-epochs 40 --distillation-epochs 100 --epochs 140 "
           "--optimizer adamw --lr 1e-3 --weight-decay 0.05",
           {"layers.3": "", "layers.5": "", "layers.7": ""}, "layers.7",
           {("layers.6.bn", 2): "", ("layers.8.bn", 2): "--width 64"}))}


def percent(row):
    """The metric of a row of `evaluate --json`."""
    return row["accuracy"] if "accuracy" in row else row["mAP@0.5"]
