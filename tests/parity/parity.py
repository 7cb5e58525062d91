#!/usr/bin/env python3
"""Compares the library with PyTorch: parity.py PROGRAM, where PROGRAM is built from parity.cpp.

1. torchvision's resnet50, resnet18, vit_b_16 and convnext_tiny, and yolov3-tiny of 80 classes at 416 pixels, at full size,
   seeded weights and randomised normalizations, saved as safetensors unchanged: outputs, features at every cut, and outputs
   of the halves at every cut, within 1e-4 of the largest value.
2. Every deployment in weights/shipped, over the test images of its dataset, both sides fed the same tensors: the share
   of bits that flip next to their threshold, the outputs where no bit did, and accuracy within 0.1 points (a
   detector's mAP@0.5 within 0.5: one box of a small class is worth more than 0.1).
"""

import argparse
import functools
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torchvision

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "weights"))

from qcnet_train import data, deployment, models, safetensors, tasks  # noqa: E402
from qcnet_train.data import locate  # noqa: E402
from qcnet_train.detection.head import detect  # noqa: E402
from qcnet_train.maps import each, members  # noqa: E402
from qcnet_train.sender import Comparison  # noqa: E402
from full_size import torchvision_model, yolov3_tiny  # noqa: E402

RELATIVE = 1e-4  # largest difference over largest value
FLIPS = 1e-4     # share of bits that may differ: features that lie within rounding of their threshold
POINTS = {"accuracy": 0.001, "mAP@0.5": 0.005}  # one platelet of the 72 pictures that hold few moves mAP by more than 0.1


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


class Pictures:
    """Test images [N, C, H, W], normalized, and how good the answers to them are."""

    def __init__(self, dataset, limit):
        self.dataset = dataset
        if dataset.task == "classification":
            step = 1 if dataset.name == "Fashion-MNIST" else max(1, dataset.count("test") // limit)
            images, self.labels = (part[::step] for part in dataset.splits["test"])
            self.images = dataset.normalize(images)
        else:
            self.images = torch.cat([images for images, _, _ in dataset.batches("test", 25)])

    def score(self, outputs, model):
        """`outputs` of all images, a tuple of [N, ...]."""
        if self.dataset.task == "classification":
            return float((outputs[0].argmax(1) == self.labels).float().mean())
        task = tasks.of(model, self.dataset)
        found = detect(outputs, task.heads, self.dataset.letterboxes("test"))
        return task.score((found, self.dataset.truths("test")))


def differing(bits, file):
    """For each image how many bits differ from those in a file: bits [N, C, H, W] or [N, T, C] as booleans."""
    expected = np.packbits(nhwc(bits), axis=-1, bitorder="little")
    found = np.fromfile(file, np.uint8).reshape(expected.shape)
    return np.unpackbits(found ^ expected, axis=-1).reshape(len(bits), -1).sum(axis=1)


@torch.no_grad()
def check_deployment(program, node, servers, pictures, report, scratch):
    images = pictures.images
    nhwc(images).tofile(scratch / "inputs")
    subprocess.run(list(map(str, [program, "deployment", node, scratch / "inputs", scratch, *servers])), check=True)
    about = safetensors.load(node)[1]
    model = deployment.build_as(about)
    head, _ = deployment.parts_of(model, about)
    own, _ = deployment.read_part(node, head)
    send = deployment.read_sender(own, about)
    sent = [each(torch.Tensor.bool, send(head(batch))) for batch in images.split(250)]
    whole = [torch.cat(parts) for parts in zip(*map(members, sent))]
    flips = sum(differing(bits, scratch / f"bits.{i}") for i, bits in enumerate(whole))
    total = sum(bits.numel() for bits in whole)
    exact = "qcnet.binary.strides" in about and isinstance(send, Comparison)  # a binary head is
    most = 0 if exact else FLIPS * total
    report.check(flips.sum() <= most, f"{node.name}: {flips.sum()} of {total} bits differ "
                 f"({flips.sum() / total:.1e}), in {np.count_nonzero(flips)} of {len(images)} images")
    for i, server in enumerate(servers):
        _, tail = deployment.parts_of(deployment.build_as(about), about)
        kept, theirs = deployment.read_part(server, tail)
        restore = deployment.read_restore(kept, theirs)
        answers = [members(tail(restore(each(torch.Tensor.float, bits)))) for bits in sent]
        expected = [torch.cat(parts) for parts in zip(*answers)]
        found = []
        for o, output in enumerate(expected):
            like = nhwc(output)
            raw = np.fromfile(scratch / f"outputs.{i}.{o}", np.float32).reshape(like.shape)
            found.append(torch.from_numpy(raw).movedim(-1, 1) if output.ndim == 4 else torch.from_numpy(raw))
        worst = max(relative(f.numpy()[flips == 0], e.numpy()[flips == 0]) for f, e in zip(found, expected))
        metric = theirs.get("qcnet.metric", "accuracy")
        score = [pictures.score(outputs, model) for outputs in (found, expected)]
        report.check(worst < RELATIVE, f"{server.name}: outputs of equal bits differ by {worst:.1e}")
        report.check(abs(score[0] - score[1]) <= POINTS[metric],
                     f"{server.name}: {metric} {score[0]:.4f} of {len(images)} images, in PyTorch {score[1]:.4f}")


@functools.cache
def pictures_of(name, size, limit):
    """The test pictures of a dataset, or None where it is not on this machine; any other fault of it fails."""
    key = {"Fashion-MNIST": "fashion-mnist", "CIFAR-10": "cifar10", "BCCD": "bccd"}.get(name)
    try:
        return Pictures(data.load(key, size=size if "size" in data.OPTIONS.get(key, ()) else None), limit)
    except locate.NotFound as reason:
        print(f"skipped: deployments for {name}: {reason}")


def check_shipped(program, folder, limit, report, scratch):
    nodes = sorted(folder.glob("*.node.safetensors"))
    report.check(nodes, f"{folder}: {len(nodes)} nodes of deployments")
    served = set()
    for node in nodes:
        about = safetensors.load(node)[1]
        pictures = pictures_of(about["qcnet.dataset"], int(about["qcnet.input"].split()[0]), limit)
        servers = sorted(path for pattern in ("-*.server", ".server")  # methods that share a node, a node's own
                         for path in folder.glob(node.name.replace(".node", pattern)))
        report.check(servers, f"{node.name}: {len(servers)} servers")
        served.update(servers)
        if pictures:
            check_deployment(program, node, servers, pictures, report, scratch)
    rest = [path.name for path in sorted(set(folder.glob("*.server.safetensors")) - served)]
    report.check(not rest, f"servers without a node: {', '.join(rest) or 'none'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="what parity.cpp was built to")
    parser.add_argument("--shipped", type=Path, default=ROOT / "weights" / "shipped", help="folder of deployments")
    parser.add_argument("--limit", type=int, default=2000,
                        help="test images of CIFAR-10 (2000); Fashion-MNIST's and a detector's are always all")
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
