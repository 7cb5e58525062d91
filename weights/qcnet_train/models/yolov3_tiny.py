"""YOLOv3-Tiny: Darknet's yolov3-tiny.cfg with its layer numbers as names, at any width, for any classes.

Redmon & Farhadi, "YOLOv3: An Incremental Improvement", 2018.

The model maps pictures [N, C, H, W], H and W multiples of 32, to two raw detection maps: [N, A (5 + K), H/32, W/32] of
layer 15 and [N, A (5 + K), H/16, W/16] of layer 22; channels anchor by anchor, each x, y, w, h, objectness, classes.

Layer 20 reads layer 8's map once more, so behind layer 8 that map travels beside the running one: between the stages
there, and out of a head that is cut there and into its tail, goes a tuple (running map, layer 8's map). A picture, a
map that travels alone and a head cut at 0 to 8 are plain tensors as in every other family.
"""

import math
from collections import OrderedDict

import torch
from torch import nn

from .basis import mix_normalized

# The published model's, trained on COCO. Its weights need the masks 1 2 3, though both public cfgs say 0 1 2.
ANCHORS = (10., 14., 23., 27., 37., 58., 81., 82., 135., 169., 344., 319.)
MASKS = (3, 4, 5, 1, 2, 3)
TASK = "detection"
BEFORE_ACTIVATION = tuple(f"layers.{i}.bn" for i in range(0, 10, 2))  # cuts where one map crosses
PRIOR = 0.01  # what a fresh model takes the probability of an object to be: most candidates are none


class Layer(nn.Sequential):
    """Works on the running map; maps that travel beside it are passed on."""

    def forward(self, maps):
        running, *beside = (maps,) if isinstance(maps, torch.Tensor) else maps
        return self.send(running, super().forward(running), beside)

    def send(self, before, after, beside):
        return (after, *beside) if beside else after


class Fork(Layer):
    """A later layer needs this one's input too: it travels on beside the output."""

    def send(self, before, after, beside):
        return (after, before, *beside)


class Detection(Layer):
    """The output is the model's: it goes behind what still travels."""

    def send(self, before, after, beside):
        return (*beside, after)


class Route(nn.Module):
    """The running map and the one beside it, channels behind each other."""

    def forward(self, maps):
        running, skip, *beside = maps
        return (torch.cat([running, skip], 1), *beside)


class YoloV3Tiny(nn.Module):
    """`width` is the channel count of layer 0, 16 in the cfg; the others grow with it."""

    def __init__(self, classes, channels, width, anchors, masks):
        super().__init__()
        if len(anchors) % 2 or not masks or len(masks) % 2 or not all(0 <= m < len(anchors) // 2 for m in masks):
            raise SystemExit(f"anchors {anchors} must be pairs, masks {masks} two halves of numbers of such pairs")
        self.anchors, self.masks = tuple(anchors), tuple(masks)
        outputs = len(masks) // 2 * (5 + classes)
        layers = OrderedDict()
        for i in range(0, 10, 2):
            layers[str(i)] = Layer(convolution(channels if i == 0 else width << (i // 2 - 1), width << (i // 2), 3))
            # Where a side is odd the last window is cut off by the border, as in Darknet.
            layers[str(i + 1)] = (Fork if i == 8 else Layer)(nn.MaxPool2d(2, 2, ceil_mode=True))
        layers["10"] = Layer(convolution(16 * width, 32 * width, 3))
        layers["11"] = Layer(nn.ConstantPad2d((0, 1, 0, 1), -torch.inf), nn.MaxPool2d(2, 1))
        layers["12"] = Layer(convolution(32 * width, 64 * width, 3))
        layers["13"] = Layer(convolution(64 * width, 16 * width, 1))
        layers["14"] = Fork(convolution(16 * width, 32 * width, 3))
        layers["15"] = Detection(OrderedDict(conv=nn.Conv2d(32 * width, outputs, 1)))
        layers["18"] = Layer(convolution(16 * width, 8 * width, 1))
        layers["19"] = Layer(nn.Upsample(scale_factor=2, mode="nearest"))
        layers["20"] = Route()
        layers["21"] = Layer(convolution(24 * width, 16 * width, 3))
        layers["22"] = Detection(OrderedDict(conv=nn.Conv2d(16 * width, outputs, 1)))
        self.layers = nn.Sequential(layers)
        for i in ("15", "22"):
            with torch.no_grad():
                layers[i].conv.bias.view(len(masks) // 2, -1)[:, 4] = math.log(PRIOR / (1 - PRIOR))

    def forward(self, pictures):
        return self.layers(pictures)


def convolution(inputs, outputs, kernel):
    """Darknet's convolution: no bias, batch normalization (eps 1e-5), leaky ReLU of slope 0.1."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, a=0.1)
    return OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs), leaky=nn.LeakyReLU(0.1))


def build(classes, channels, name="small", width=16, anchors=ANCHORS, masks=MASKS):
    """`name` is "small" (then width, anchors and masks count) or "yolov3-tiny", the published one.

    anchors: w, h, w, h, ... in input pixels; masks: the numbers of the anchors of layer 15, then of layer 22.
    """
    if name == "small":
        return YoloV3Tiny(classes, channels, width, anchors, masks)
    if name != "yolov3-tiny":
        raise SystemExit(f"there is no YOLOv3-Tiny '{name}' (known: small, yolov3-tiny)")
    return YoloV3Tiny(classes, channels, 16, ANCHORS, MASKS)


def stages(model):
    """A convolution that can be cut before its activation is two stages, of which the second has no weights."""
    chain = []
    for i, layer in model.layers.named_children():
        if f"layers.{i}.bn" in BEFORE_ACTIVATION:
            conv, bn, leaky = layer
            chain += [(f"layers.{i}", Layer(OrderedDict(conv=conv, bn=bn))), (f"layers.{i}_leaky", Layer(leaky))]
        else:
            chain.append((f"layers.{i}", layer))
    return chain


def cuts(model):
    """Behind 8 and up to 13 two maps cross: the head gives, and the tail takes, (the cut's own map, layer 8's).

    `layers.<i>.bn` is layer i's map before its leaky ReLU.
    """
    names = [name for i in range(14) for name in (f"layers.{i}.bn", f"layers.{i}")
             if name in BEFORE_ACTIVATION or not name.endswith(".bn")]
    return {name: (i + 1, "identity") for i, name in enumerate(names)}


def in_basis(head, mix, sent, patch):
    """Before an activation, where the head ends in a convolution."""
    last = list(head.layers.children())[-1]
    if not hasattr(last, "bn") or hasattr(last, "leaky"):
        return None
    mix_normalized(last.conv, last.bn, mix[:sent], patch)
    return head, sent


def maps(model, cut):
    if cut is None:
        return ("layers.15", "layers.22")
    known = list(cuts(model))
    return (cut, "layers.8") if known.index(cut) > known.index("layers.8") else (cut,)


def metadata(model):
    return {"qcnet.anchors": " ".join(f"{size:g}" for size in model.anchors),
            "qcnet.masks": " ".join(map(str, model.masks))}
