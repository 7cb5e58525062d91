"""A head whose layers between the first and the cut are binary, as a node runs it: weights and activations of one bit.

It takes the place of a base model's float head at one cut. Every binary convolution has a float shortcut around it, and
sign is the only non-linearity (Bi-Real Net, Liu et al., ECCV 2018). With q the picture's pixels as integers:

    x0 = conv(q) + bias                                               the stem, 3x3 of small integers times 2^k
    x  = scale conv(x > threshold ? 1 : -1) + bias + shortcut(x)      each layer, weights of +-1, padding adds nothing

Scales and biases are multiples of 2^-12, every value is one of 2^-17 below 2^7: all sums are exact in fp32, in any
order, so that a node's bits are those of this module. How it is trained: qcnet_train/latent.py.
"""

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

FINEST, LARGEST = 2.0 ** -17, 2.0 ** 7


def shortcut(x, channels, stride):
    """What goes around a layer: x [N, C, H, W], a 2x2 max pool of it, that twice for twice the channels, or 0."""
    if stride == 1 and channels == x.shape[1]:
        return x
    if stride == 2 and channels in (x.shape[1], 2 * x.shape[1]):
        pooled = F.max_pool2d(x, 2)
        return pooled if channels == x.shape[1] else torch.cat([pooled, pooled], 1)
    return 0


class Stem(nn.Module):
    """y = conv(q) + bias; weight [C0, C, 3, 3] of integers of [-127, 127] times a power of two for each output."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.stride = stride
        self.register_buffer("weight", torch.zeros(outputs, inputs, 3, 3))
        self.register_buffer("bias", torch.zeros(outputs))

    def forward(self, q):
        return F.conv2d(q, self.weight, self.bias, self.stride, 1)


class BinaryLayer(nn.Module):
    """y = scale conv(x > threshold ? 1 : -1) + bias + shortcut(x); weight [Cout, Cin, K, K] of +-1."""

    def __init__(self, inputs, outputs, kernel, stride):
        super().__init__()
        self.stride = stride
        self.register_buffer("threshold", torch.zeros(inputs))
        self.register_buffer("weight", torch.ones(outputs, inputs, kernel, kernel))
        self.register_buffer("scale", torch.zeros(outputs))
        self.register_buffer("bias", torch.zeros(outputs))

    def scaled(self, x):
        """scale conv(sign), without what is added to it."""
        signs = torch.where(x > self.threshold.view(-1, 1, 1), 1.0, -1.0)
        count = F.conv2d(signs, self.weight, stride=self.stride, padding=self.weight.shape[2] // 2)
        return self.scale.view(-1, 1, 1) * count

    def forward(self, x):
        return self.scaled(x) + self.bias.view(-1, 1, 1) + shortcut(x, len(self.bias), self.stride)


class BinaryHead(nn.Module):
    """Normalized pictures [N, C, H, W] -> the map at the cut; in fp32 whatever autocast says, as a node computes it.

    `channels`, `strides` and `kernels` are those of the stem, then of each layer.
    """

    def __init__(self, inputs, channels, strides, kernels):
        super().__init__()
        if not len(channels) == len(strides) == len(kernels) or kernels[0] != 3 or not all(k % 2 for k in kernels):
            raise SystemExit(f"channels {channels}, strides {strides} and kernels {kernels} must be as many, kernels "
                             "odd and the stem's 3")
        self.sizes = {"channels": tuple(channels), "strides": tuple(strides), "kernels": tuple(kernels)}
        self.input = nn.Module()
        self.input.register_buffer("scale", torch.ones(inputs))
        self.input.register_buffer("shift", torch.zeros(inputs))
        self.stem = Stem(inputs, channels[0], strides[0])
        self.layers = nn.ModuleList(BinaryLayer(*shape) for shape in
                                    zip(channels, channels[1:], kernels[1:], strides[1:]))

    def pixels(self, images):
        """What was 0 to 255 before its normalization, as such integers."""
        return torch.round(images.float() * self.input.scale.view(-1, 1, 1) + self.input.shift.view(-1, 1, 1))

    def forward(self, images):
        with torch.autocast(images.device.type, enabled=False):
            x = self.stem(self.pixels(images))
            for layer in self.layers:
                x = layer(x)
            return x

    @torch.no_grad()
    def check_exact(self, images):
        """Raises ValueError unless all values over these images, and partial sums, are multiples of 2^-17 below 2^7."""
        q = self.pixels(images)
        largest = 255 * self.stem.weight.abs().sum((1, 2, 3)) + self.stem.bias.abs()
        exact("a stem's sum", largest, 1)
        exact("a stem's weight", self.stem.weight, 1)
        x = self.stem(q)
        exact("the stem's map", x, 1)
        for i, layer in enumerate(self.layers):
            exact(f"scale or bias of layer {i}", torch.cat([layer.scale, layer.bias]), 2.0 ** 5)
            if layer.scale.abs().max() >= 1:
                raise ValueError(f"a scale of layer {i} is {float(layer.scale.abs().max())}, not below 1")
            around = shortcut(x, len(layer.bias), layer.stride)
            sizes = layer.scaled(x).abs() + layer.bias.abs().view(-1, 1, 1) + abs(around)
            exact(f"a sum of layer {i}", sizes, 1)
            x = layer(x)


def exact(what, values, steps):
    """Refuses what is no multiple of `steps` times 2^-17 below 2^7."""
    units = values.double() / (FINEST * steps)
    if (units != units.round()).any() or values.abs().max() >= LARGEST:
        raise ValueError(f"{what} is no multiple of {FINEST * steps} below {LARGEST}: the largest is "
                         f"{float(values.abs().max())}")


class BinaryHeaded(nn.Module):
    """A binary head and a base model's tail, whose modules keep their names. `cuts`: {cut: activation}, of this one."""

    def __init__(self, binary, tail, cuts):
        super().__init__()
        self.binary, self.cuts = binary, cuts
        for name, module in tail.named_children():
            self.add_module(name, module)

    def parts(self):
        """(head, tail), Sequentials whose submodules sit at their names here."""
        children = OrderedDict(self.named_children())
        return nn.Sequential(OrderedDict(binary=children.pop("binary"))), nn.Sequential(children)

    def forward(self, images):
        head, tail = self.parts()
        return tail(head(images))


def pack(weight):
    """+-1 [Cout, Cin, K, K] -> uint8 [Cout, K, K, ceil(Cin / 8)]: bit c % 8 of byte c / 8 set for +1, padding 0."""
    return np.packbits(np.moveaxis(np.asarray(weight) > 0, 1, 3), axis=3, bitorder="little")


def unpack(packed, channels):
    """The other way: float32 [Cout, Cin, K, K]."""
    bits = np.unpackbits(packed, axis=3, count=channels, bitorder="little")
    return np.moveaxis(bits.astype(np.float32) * 2 - 1, 3, 1)
