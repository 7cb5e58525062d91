#!/usr/bin/env python3
"""Writes the golden files that tests/models, tests/layers and tests/split compare with.

  resnet_<kind>.safetensors         a tiny torchvision ResNet, Vision Transformer or ConvNeXt and what PyTorch computes
  vit.safetensors                   with it: golden.input, golden.<cut> for every cut, golden.logits (maps NCHW, tokens
  convnext.safetensors              NTC, all F32)
  yolov3_tiny.safetensors           the same of a YOLOv3-Tiny, but golden.layers.15 and golden.layers.22 for the outputs
  <name>.node.safetensors           a deployment pair of a tiny model for each kind of server,
  <name>-<method>.server.safetensors
  <name>.golden.safetensors         picture, input, map (or what an encoder makes of it) and bits at the cut;
                                    <method>.map and <method>.logits
  tiny-yolo.*                       the same of a detector, the whole model too; known is picture, and of the whole
                                    model and of the pair <method>.detections, rows (class, score, x0, y0, x1, y1)

Everything is seeded; the committed files came from torch 1.13.1 and torchvision 0.14.1 on x86-64. Run it only
to change them: python3 tests/golden/make.py
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "weights"))

from qcnet_train import models, safetensors  # noqa: E402
from qcnet_train.compensator import (CodeDequantizer, Dequantizer, LinearDequantizer,  # noqa: E402
                                     compensator, restorer, round_to_half)
from qcnet_train.components import Components  # noqa: E402
from qcnet_train.deployment import Deployment, write_model  # noqa: E402
from qcnet_train.detection.head import detect, heads  # noqa: E402
from qcnet_train.detection.letterbox import Letterbox  # noqa: E402
from qcnet_train.maps import each  # noqa: E402
from qcnet_train.quantizer import Quantizer, binarize, fit_each  # noqa: E402
from qcnet_train.sender import Codes, Comparison, ComponentCodes, Encoder  # noqa: E402


class TinyResNet(torchvision.models.ResNet):
    """torchvision's ResNet with few channels; forward, blocks and names are torchvision's own.

    `planes` and `depths` give the stages, fewer than four if need be. `kernel` 3 is the small-image stem.
    """

    def __init__(self, block, depths, planes, stem, kernel, channels=3, classes=7, groups=1, group_width=64):
        nn.Module.__init__(self)
        self._norm_layer = nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = stem, 1, groups, group_width
        self.conv1 = nn.Conv2d(channels, stem, kernel, stride=1 if kernel == 3 else 2, padding=kernel // 2,
                               bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if kernel == 3 else nn.MaxPool2d(3, 2, 1)
        for i in range(4):
            stage = self._make_layer(block, planes[i], depths[i], 1 if i == 0 else 2) if i < len(depths) else []
            setattr(self, f"layer{i + 1}", stage or nn.Sequential())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.inplanes, classes)
        self.spec = {"architecture": "resnet"}


@torch.no_grad()
def settle(module, inputs):
    """Random affine parameters, then running statistics that are those of `inputs`, as after training."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.3)
            norm.momentum = None
    module.train()(inputs)
    return module.eval()


def arrays(state, half):
    return {name: (value.half() if half and value.ndim >= 2 else value).numpy()
            for name, value in state.items() if not name.endswith("num_batches_tracked")}


@torch.no_grad()
def golden_resnet(kind, size, half, batch=1, **options):
    """The model's state_dict as it is (num_batches_tracked kept as torchvision has it) beside its features."""
    torch.manual_seed(sum(map(ord, kind)))
    model = settle(TinyResNet(**options), torch.randn(16, 3, *size))
    if half:
        round_to_half(model)
    image = torch.randn(batch, 3, *size)
    tensors = {**arrays(model.state_dict(), half), "golden.input": image, "golden.logits": model(image)}
    tensors["bn1.num_batches_tracked"] = model.state_dict()["bn1.num_batches_tracked"]
    for cut in models.cuts(model):
        if cut == "layer4" and not len(model.layer4):
            continue
        tensors["golden." + cut] = models.partition(model, cut)[0](image)
    safetensors.save(HERE / f"resnet_{kind}.safetensors", {k: np.asarray(v) for k, v in tensors.items()}, {})


def randomize(module):
    """No parameter stays at a zero or a one that a mistake could hide behind."""
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1 or name.endswith(("layer_scale", "class_token", "positions", "pos_embedding")):
            nn.init.normal_(parameter, 0, 0.3)
        elif name in ("heads.head.weight", "output.weight"):
            nn.init.normal_(parameter, 0, 0.2)
    return round_to_half(module)


def small_model(kind, **options):
    return randomize(models.build({"architecture": kind, "name": "small", **options}, 7, 3).eval())


@torch.no_grad()
def lively(model):
    """ConvNeXt's weights start at 0.02: beside random biases nothing would be seen of what comes in."""
    for parameter in model.parameters():
        if parameter.ndim in (2, 4):
            nn.init.kaiming_normal_(parameter, nonlinearity="linear")
    return round_to_half(model)


@torch.no_grad()
def golden_transformer(kind, image_size, **options):
    """Like golden_resnet, for a ViT or a ConvNeXt; weights as float16."""
    torch.manual_seed(sum(map(ord, kind)))
    model = small_model(kind, **options)
    image = torch.randn(2, 3, *image_size)
    tensors = {**arrays(model.state_dict(), True), "golden.input": image, "golden.logits": model(image)}
    for cut in models.cuts(model):
        tensors["golden." + cut] = models.partition(model, cut)[0](image)
    safetensors.save(HERE / f"{kind}.safetensors", {k: np.asarray(v) for k, v in tensors.items()},
                     models.metadata(model))


@torch.no_grad()
def golden_yolov3_tiny(image_size):
    """A map that crosses a cut beside another, layer 8's, is stored once, as that of its own cut."""
    torch.manual_seed(3)
    spec = {"architecture": "yolov3-tiny", "name": "small", "width": 1, "masks": (2, 3, 0, 1),
            "anchors": (4.0, 7.0, 12.0, 9.0, 17.5, 30.0, 41.0, 38.0)}
    model = round_to_half(settle(models.build(spec, 7, 3), torch.randn(16, 3, *image_size)))
    image = torch.randn(1, 3, *image_size)
    coarse, fine = model(image)
    tensors = {**arrays(model.state_dict(), True), "golden.input": image, "golden.layers.15": coarse,
               "golden.layers.22": fine}
    for cut in models.cuts(model):
        maps = models.partition(model, cut)[0](image)
        tensors["golden." + cut] = maps[0] if isinstance(maps, tuple) else maps
    safetensors.save(HERE / "yolov3_tiny.safetensors", {k: np.asarray(v) for k, v in tensors.items()},
                     {"qcnet.architecture": "yolov3-tiny", **models.metadata(model)})


class Pictures:
    """What Deployment asks of a dataset."""

    name, classes = "random", ("one", "two", "three", "four", "five", "six", "seven")

    def __init__(self, size, channels, picture):
        self.size, self.channels, self.resize = size, channels, size[0]
        self.mean, self.std = (0.48, 0.45, 0.4)[:channels], (0.25, 0.22, 0.21)[:channels]
        self.picture = picture  # [H, W, C]; H equals the height and W is a little larger than the width
        left = round((picture.shape[1] - size[1]) / 2)
        crop = torch.from_numpy(picture[:, left:left + size[1]].astype(np.float32)).permute(2, 0, 1)[None]
        shape = (1, channels, 1, 1)
        self.input = (crop / 255 - torch.tensor(self.mean).view(shape)) / torch.tensor(self.std).view(shape)

    def batches(self, split, batch):
        yield self.input, torch.zeros(1), 0


@torch.no_grad()
def golden_deployment(name, cut, size, methods, build, channels=3, send=None, rate=None, patch=1):
    """`methods` maps a server's name to (width, blocks[, block]) of its QCNet, or to None for plain dequantization.

    `send(maps)` makes a node's sender; without it that compares with the quantizer's thresholds, or with a `rate` sends
    principal components.
    """
    torch.manual_seed(sum(map(ord, name)))
    pixels = np.random.default_rng(5).integers(0, 256, (size[0], size[1] + 5, channels), dtype=np.uint8)
    dataset = Pictures(size, channels, pixels)
    model = build(torch.randn(32, channels, *size))
    head, tail = models.partition(model, cut, patch)
    inputs = torch.randn(32, channels, *size)
    maps = head(inputs)
    quantizer = Quantizer.fit([maps])
    send, dequantizer = send(maps) if send else Comparison(quantizer.thresholds), Dequantizer(quantizer)
    if rate:
        components = Components.fit([maps], rate)
        send, dequantizer = ComponentCodes(components), LinearDequantizer(components)
        head, sent = models.in_basis(model, cut, patch, components.mix, send.sent)
        head, send = round_to_half(head), send.folded(sent)
        maps = head(inputs)
    target = Deployment(dataset, model, cut, quantizer, name, 0.5, head, send, patch)
    if cut == "relu":
        target.about["qcnet.stem"] = "7x7"  # this tail begins with a pooling, which has no weights to be known by
    target.write_node(HERE / f"{name}.node.safetensors", "{}")
    z = head(dataset.input)  # not the target's, whose input is rounded
    sent = send(z)
    known = {"picture": pixels.astype(np.int64), "input": dataset.input, "map": send.compared(z), "bits": sent}
    bits = send(maps)
    for method, shape in methods.items():
        restore = dequantizer
        if isinstance(send, Codes):
            restore = CodeDequantizer(Quantizer(None, send.low, send.high, None, None), send.bits)
        elif shape:
            restore = compensator(dequantizer, quantizer.scale, target.activation, maps.shape, *shape)
            if maps.ndim == 3:
                randomize(restore)
            else:
                nn.init.normal_(restore.output.weight, 0, 0.2)
                nn.init.normal_(restore.output.bias, 0, 0.2)
                round_to_half(settle(restore, bits))
        target.write_server(HERE / f"{name}-{method}.server.safetensors", method, restore.eval(), target.tail,
                            0.5, "{}")
        known[f"{method}.map"] = restore(sent)
        known[f"{method}.logits"] = target.tail(known[f"{method}.map"])
    safetensors.save(HERE / f"{name}.golden.safetensors",
                     {k: np.asarray(v, np.int64 if k == "picture" else np.float32) for k, v in known.items()}, {})


def random_encoder(maps):
    """Mixes all channels; half of its bits are set."""
    channels = maps.shape[2 if maps.ndim == 3 else 1]
    weight = torch.randn(channels, channels, *(() if maps.ndim == 3 else (1, 1))).half().float()
    encoder = Encoder(torch.zeros(1), weight)
    encoder.thresholds = nn.Parameter(Quantizer.fit([encoder.compared(maps)]).thresholds)
    return encoder.eval()


def even_codes(bits):
    def make(maps):
        levels = Quantizer.fit([maps]).even([maps], bits)
        return Codes(levels.low, levels.high, bits)
    return make


class LetterboxedPicture:
    """What Deployment asks of a detector's dataset."""

    name, classes, channels, resize, letterbox = "random", ("round", "square", "long"), 3, 0, True
    mean, std = (0.0,) * 3, (1.0,) * 3

    def __init__(self, size, picture):
        self.size, self.place = size, Letterbox(picture.shape[1], picture.shape[0], size)
        drawn = torch.from_numpy(self.place.draw(Image.fromarray(picture)))
        self.input = drawn.permute(2, 0, 1)[None].float() / 255

    def batches(self, split, batch):
        yield self.input, torch.zeros(1), 0


@torch.no_grad()
def golden_detector(name, cut, size):
    """A pair that two maps cross, whose random weights find things of all classes nearly everywhere."""
    torch.manual_seed(sum(map(ord, name)))
    pixels = np.random.default_rng(6).integers(0, 256, (50, 90, 3), dtype=np.uint8)
    dataset = LetterboxedPicture(size, pixels)
    spec = {"architecture": "yolov3-tiny", "name": "small", "width": 1, "masks": (2, 3, 0, 1),
            "anchors": (9.0, 12.0, 20.0, 11.0, 24.0, 33.0, 41.0, 38.0)}
    inputs = torch.rand(32, 3, *size)
    model = settle(models.build(spec, len(dataset.classes), 3), inputs)
    for layer in ("15", "22"):
        nn.init.normal_(model.layers.get_submodule(layer).conv.bias, 0, 1)
    round_to_half(model)
    head, tail = models.partition(model, cut)
    maps = head(inputs)
    quantizer = fit_each([maps])
    target = Deployment(dataset, model, cut, quantizer, name, 0.5)
    target.write_node(HERE / f"{name}.node.safetensors", "{}")
    restore = restorer(lambda q, shape, width: compensator(Dequantizer(q), q.scale, target.activation, shape, width, 1),
                       quantizer,
                       each(lambda z: tuple(z.shape), maps), each(lambda q: 6, quantizer))
    for one in restore:
        nn.init.normal_(one.output.weight, 0, 0.2)
        nn.init.normal_(one.output.bias, 0, 0.2)
    round_to_half(settle(restore, each(lambda z, q: binarize(z, q.thresholds), maps, quantizer)))
    target.write_server(HERE / f"{name}-qcnet.server.safetensors", "qcnet", restore.eval(), tail, 0.5, "{}")
    write_model(HERE / f"{name}.safetensors", dataset, model, name, 0.5)

    def found(outputs):
        rows, = detect(outputs, heads(spec["anchors"], spec["masks"]), [dataset.place], score=0.25)
        return rows.astype(np.float32)
    sent = each(lambda z, q: binarize(z, q.thresholds), head(dataset.input), quantizer)
    safetensors.save(HERE / f"{name}.golden.safetensors",
                     {"picture": pixels.astype(np.int64), "whole.detections": found(model(dataset.input)),
                      "qcnet.detections": found(tail(restore(sent)))}, {})


def main():
    torch.set_num_threads(1)
    golden_resnet("basic", (11, 9), half=False, batch=2, block=BasicBlock, depths=(2, 1, 2, 1),
                  planes=(4, 5, 8, 12), stem=4, kernel=3)
    golden_resnet("bottleneck", (37, 45), half=True, block=Bottleneck, depths=(1, 2, 1, 1),
                  planes=(3, 5, 6, 8), stem=9, kernel=7)
    golden_resnet("grouped", (9, 10), half=True, block=Bottleneck, depths=(2, 2, 1), planes=(4, 8, 16), stem=8,
                  kernel=3, groups=4, group_width=16)
    golden_transformer("vit", (12, 12), size=12, patch=3, depth=2, heads=3, width=24)
    golden_transformer("convnext", (33, 30), patch=4, depths=(1, 2, 1), width=8)
    golden_yolov3_tiny((96, 64))

    def resnet(**options):
        return lambda inputs: round_to_half(settle(TinyResNet(**options), inputs))
    golden_deployment("tiny-layer2", "layer2", (16, 14), {"lloyd-max": None, "qcnet0": (5, 0), "qcnet1": (6, 1),
                                                         "qcnet2": (12, 2), "depthwise": (7, 2, "depthwise")},
                      resnet(block=BasicBlock, depths=(1, 2, 1), planes=(6, 12, 16), stem=6, kernel=3))
    golden_deployment("tiny-relu", "relu", (16, 22), {"qcnet": (7, 1)},
                      resnet(block=Bottleneck, depths=(1, 1), planes=(4, 6), stem=20, kernel=7, channels=1), channels=1)
    golden_deployment("tiny-vit", "encoder.layers.encoder_layer_0", (12, 12),
                      {"lloyd-max": None, "qcnet1": (16, 1), "qcnet2": (64, 2)},
                      lambda _: small_model("vit", size=12, patch=3, depth=2, heads=3, width=24))
    golden_deployment("tiny-conv_proj", "conv_proj", (10, 10), {"qcnet": (9, 1)},
                      lambda _: small_model("vit", size=10, patch=2, depth=1, heads=2, width=20))
    golden_deployment("tiny-convnext", "features.1", (20, 18), {"lloyd-max": None, "qcnet": (10, 2, "depthwise")},
                      lambda _: lively(small_model("convnext", depths=(1, 1), width=12)))
    golden_deployment("tiny-encoder", "layer1", (8, 10), {"autoencoder": (6, 1)},
                      resnet(block=BasicBlock, depths=(1,), planes=(7,), stem=7, kernel=3), send=random_encoder)
    golden_deployment("tiny-token-encoder", "encoder.layers.encoder_layer_0", (8, 8), {"autoencoder": (8, 1)},
                      lambda _: small_model("vit", size=8, patch=4, depth=1, heads=2, width=10), send=random_encoder)
    golden_deployment("tiny-codes", "layer1", (8, 10), {"3-bit": None},
                      resnet(block=BasicBlock, depths=(1,), planes=(7,), stem=7, kernel=3), send=even_codes(3))
    golden_deployment("tiny-token-codes", "encoder.layers.encoder_layer_0", (8, 8), {"4-bit": None},
                      lambda _: small_model("vit", size=8, patch=4, depth=1, heads=2, width=10), send=even_codes(4))
    golden_deployment("tiny-components", "features.2", (16, 20), {"klt": None, "klt-qcnet": (9, 1, "depthwise")},
                      lambda _: lively(small_model("convnext", depths=(1, 1), width=6)), rate=1)
    golden_deployment("tiny-token-components", "encoder.layers.encoder_layer_0", (8, 8), {"klt": None, "klt-qcnet": (8, 1)},
                      lambda _: small_model("vit", size=8, patch=4, depth=2, heads=2, width=10), rate=1.5)
    golden_deployment("tiny-sum", "layer2.0.add", (16, 12), {"klt": None, "klt-qcnet": (8, 1)},
                      resnet(block=BasicBlock, depths=(1, 2), planes=(6, 14), stem=6, kernel=3), rate=1)
    golden_deployment("tiny-patches", "layer2.0.add", (16, 24), {"klt": None, "klt-qcnet": (8, 1)},
                      resnet(block=BasicBlock, depths=(1, 1), planes=(6, 7), stem=6, kernel=3), rate=0.5, patch=2)
    golden_deployment("tiny-patches-convnext", "features.2", (16, 24), {"klt": None},
                      lambda _: lively(small_model("convnext", depths=(1, 1), width=5)), rate=0.3, patch=2)
    golden_detector("tiny-yolo", "layers.9", (64, 96))


if __name__ == "__main__":
    main()
