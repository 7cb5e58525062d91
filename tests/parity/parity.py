#!/usr/bin/env python3
"""Compares the library with PyTorch: parity.py PROGRAM, where PROGRAM is built from parity.cpp.

1. torchvision's resnet50, resnet18, vit_b_16 and convnext_tiny, and yolov3-tiny of 80 classes at 416 pixels, at full size,
   seeded weights and randomised normalizations, saved as safetensors unchanged: outputs, features at every cut, and outputs
   of the halves at every cut, within 1e-4 of the largest value.
2. Every deployment in weights/shipped, over the test images of its dataset, both sides fed the same tensors: the share
   of bits that flip next to their threshold, the logits where no bit did, and accuracy within 0.1 points.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torchvision

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

from qcnet_train import data, deployment, models, safetensors  # noqa: E402
from qcnet_train.quantizer import binarize  # noqa: E402

RELATIVE = 1e-4  # largest difference over largest value
FLIPS = 1e-4     # share of bits that may differ: features that lie within rounding of their threshold
POINTS = 0.001   # accuracy: 0.1 points


class Report:
    failed = False

    def check(self, ok, text):
        self.failed = self.failed or not ok
        print(("ok    " if ok else "FAILED ") + text, flush=True)


def relative(found, expected):
    """Largest difference over the largest expected value; infinite if anything is not a number."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max())


def nhwc(tensor):
    return (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor).contiguous().numpy()


def disturb_batch_norms(model):
    """Statistics of random images, then changed so that no two channels are alike."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0, 0.3)
        norm.momentum = None
    model.train()(torch.randn(4, 3, 96, 96))
    for norm in norms:
        norm.running_mean += 0.2 * torch.randn_like(norm.running_mean) * norm.running_var.sqrt()
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.4)


@torch.no_grad()
def torchvision_model(name):
    """Seeded; what torchvision initialises to 0, 1 or next to it gets values that a mistake would show in."""
    torch.manual_seed(1)
    model = getattr(torchvision.models, name)(weights=None)
    disturb_batch_norms(model)
    for key, parameter in model.named_parameters():
        if key.endswith("layer_scale"):
            torch.nn.init.uniform_(parameter, 0.1, 0.5)
        elif key == "class_token" or key.endswith("pos_embedding"):
            torch.nn.init.normal_(parameter, 0, 0.5)
        elif key.startswith("heads.head") or key.endswith("in_proj_bias"):
            torch.nn.init.normal_(parameter, 0, 0.1)
    for norm in model.modules():
        if isinstance(norm, torch.nn.LayerNorm):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0, 0.3)
    model.spec = {"architecture": next(f for f in models.FAMILIES if name.startswith(f))}
    return model.eval()


@torch.no_grad()
def yolov3_tiny():
    """The published network's size; weights as they are initialised, normalizations disturbed."""
    torch.manual_seed(1)
    model = models.build({"architecture": "yolov3-tiny", "name": "yolov3-tiny"}, 80, 3)
    disturb_batch_norms(model)
    return model.eval()


@torch.no_grad()
def check_model(program, name, model, size, report, scratch):
    image = torch.randn(1, 3, size, size)
    weights, pixels = scratch / f"{name}.safetensors", scratch / "input"
    safetensors.save(weights, {key: value.numpy() for key, value in model.state_dict().items()}, {})
    nhwc(image).tofile(pixels)
    command = [program, "model", weights, pixels, *image.shape[2:], 3, scratch]
    cuts = subprocess.run(list(map(str, command)), check=True, text=True, stdout=subprocess.PIPE).stdout.split()
    report.check(cuts == list(models.cuts(model)), f"{name}: {len(cuts)} cuts, the same as PyTorch's side")

    def several(maps):
        return [nhwc(map) for map in ((maps,) if isinstance(maps, torch.Tensor) else maps)]

    def read(file, like):
        return [np.fromfile(scratch / f"{file}.{i}", np.float32).reshape(map.shape) for i, map in enumerate(like)]

    def worst_of(file, expected):
        return max(map(relative, read(file, expected), expected))
    outputs = several(model(image))
    worst = worst_of("output", outputs)
    report.check(worst < RELATIVE, f"{name}: outputs differ by {worst:.1e}")
    features, at = {}, image
    family = models.FAMILIES[model.spec["architecture"]]
    chain, lengths = family.stages(model), {cut: n for cut, (n, _) in family.cuts(model).items()}
    for done, (_, module) in enumerate(chain, 1):
        at = module(at)
        features.update({cut: several(at) for cut, length in lengths.items() if length == done})
    worst = {cut: worst_of(f"features.{cut}", features[cut]) for cut in cuts}
    cut = max(worst, key=worst.get)
    report.check(worst[cut] < RELATIVE, f"{name}: features differ by at most {worst[cut]:.1e} (at {cut})")
    worst = max(worst_of(f"split.{cut}", outputs) for cut in cuts)
    report.check(worst < RELATIVE, f"{name}: split at every cut, outputs differ by at most {worst:.1e}")
    whole = read("output", outputs)
    same = all(np.array_equal(*pair) for cut in cuts for pair in zip(read(f"split.{cut}", outputs), whole))
    report.check(same, f"{name}: split and whole agree bit for bit")


@torch.no_grad()
def check_deployment(program, node, servers, images, labels, report, scratch):
    """`images` is the normalized test set [N, C, H, W]."""
    nhwc(images).tofile(scratch / "inputs")
    subprocess.run(list(map(str, [program, "deployment", node, scratch / "inputs", scratch, *servers])), check=True)
    sent = None
    for i, server in enumerate(servers):
        about = safetensors.load(node)[1]
        head, tail = models.partition(deployment.build_as(about), about["qcnet.cut"])
        own, _ = deployment.read_part(node, head)
        kept, about = deployment.read_part(server, tail)
        restore = deployment.read_restore(kept, about)
        if sent is None:
            sent = torch.cat([binarize(head(batch), own["qcnet.thresholds"]) for batch in images.split(250)]).bool()
            expected = np.packbits(nhwc(sent), axis=-1, bitorder="little")
            bits = np.fromfile(scratch / "bits", np.uint8).reshape(expected.shape)
            flips = np.unpackbits(bits ^ expected, axis=-1).reshape(len(images), -1).sum(axis=1)
            share = flips.sum() / sent.numel()
            report.check(share < FLIPS, f"{node.name}: {flips.sum()} of {sent.numel()} bits differ ({share:.1e}), "
                                        f"in {np.count_nonzero(flips)} of {len(images)} images")
        logits = np.concatenate([tail(restore(batch.float())).numpy() for batch in sent.split(250)])
        found = np.fromfile(scratch / f"logits.{i}", np.float32).reshape(logits.shape)
        worst = relative(found[flips == 0], logits[flips == 0])
        accuracy = [(answer.argmax(1) == labels.numpy()).mean() for answer in (found, logits)]
        report.check(worst < RELATIVE, f"{server.name}: logits of equal bits differ by {worst:.1e}")
        report.check(abs(accuracy[0] - accuracy[1]) <= POINTS,
                     f"{server.name}: {accuracy[0]:.4f} of {len(images)} images right, in PyTorch {accuracy[1]:.4f}")


def check_shipped(program, folder, limit, report, scratch):
    nodes = sorted(folder.glob("*.node.safetensors"))
    if not nodes:
        print(f"skipped: there are no deployments in {folder}")
    loaded = {}
    for node in nodes:
        name = safetensors.load(node)[1]["qcnet.dataset"]
        key = {"Fashion-MNIST": "fashion-mnist", "CIFAR-10": "cifar10"}.get(name)
        if name not in loaded:
            try:
                dataset = data.load(key)
            except SystemExit as reason:
                dataset = None
                print(f"skipped: deployments for {name}: {reason}")
            if dataset:
                images, labels = dataset.splits["test"]
                step = 1 if name == "Fashion-MNIST" else max(1, len(images) // limit)
                dataset = dataset.normalize(images[::step]), labels[::step]
            loaded[name] = dataset
        servers = sorted(folder.glob(node.name.replace(".node.safetensors", "-*.server.safetensors")))
        if loaded[name] and servers:
            check_deployment(program, node, servers, *loaded[name], report, scratch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="what parity.cpp was built to")
    parser.add_argument("--shipped", type=Path, default=ROOT / "weights" / "shipped", help="folder of deployments")
    parser.add_argument("--limit", type=int, default=2000,
                        help="test images of datasets other than Fashion-MNIST, which is always whole (2000)")
    arguments = parser.parse_args()
    report = Report()
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("resnet50", "resnet18", "vit_b_16", "convnext_tiny"):
            check_model(arguments.program, name, torchvision_model(name), 224, report, Path(scratch))
        check_model(arguments.program, "yolov3-tiny", yolov3_tiny(), 416, report, Path(scratch))
        check_shipped(arguments.program, arguments.shipped, arguments.limit, report, Path(scratch))
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
