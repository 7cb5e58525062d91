"""The node's side of a cut: from the map there to the bits it sends, 0.0 and 1.0.

    Comparison          a bit a feature: above its threshold
    LearnedComparison   the same, with thresholds that learn
    Encoder             a bit for each mixture of a pixel's (token's) channels, mixtures and thresholds learned
    Codes               several bits a feature: its place among evenly spaced levels
    ComponentCodes      the same of principal components, as many bits as each is worth

Maps are [N, C, H, W] or tokens [N, T, C]; tensors() is what a node's file holds of a sender, named behind "qcnet.".
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from .components import pixels, planes_of, rows
from .latent import WINDOW
from .quantizer import binarize, per_channel


class Step(torch.autograd.Function):
    """x > 0 ? 1 : 0; the gradient is a ramp's, 1 / (2 WINDOW) within WINDOW, else 0."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(context, gradient):
        x, = context.saved_tensors
        return gradient * (x.abs() < WINDOW) / (2 * WINDOW)


def as_array(tensor):
    return tensor.detach().cpu().numpy()


def or_one(scale):
    """1 instead of 0, of channels that never change."""
    return torch.where(scale > 0, scale, torch.ones_like(scale))


class Sender(nn.Module):
    def compared(self, z):
        """What is compared or coded; a node's file records it of its check input."""
        return z


class Comparison(Sender):
    """bit = z > threshold."""

    def __init__(self, thresholds):
        super().__init__()
        self.register_buffer("thresholds", thresholds.clone())

    def forward(self, z):
        return binarize(z, self.thresholds)

    def tensors(self):
        return {"thresholds": as_array(self.thresholds)}


class LearnedComparison(Sender):
    """bit = z > threshold; in training thresholds and z get gradients, straight through near a threshold."""

    def __init__(self, thresholds, scale):
        super().__init__()
        self.thresholds = nn.Parameter(thresholds.clone())
        self.register_buffer("scale", or_one(scale))

    def forward(self, z):
        z = self.compared(z)
        if not self.training:
            return binarize(z, self.thresholds)
        return Step.apply((z.float() - per_channel(self.thresholds, z)) / per_channel(self.scale, z))

    def tensors(self):
        return {"thresholds": as_array(self.thresholds)}


class Encoder(LearnedComparison):
    """bit = (weight z) > threshold: a 1x1 convolution [C, C, 1, 1], of tokens a linear layer [C, C]."""

    def __init__(self, thresholds, weight):
        super().__init__(thresholds, torch.ones_like(thresholds))
        self.weight = nn.Parameter(weight.clone())

    @staticmethod
    def like(quantizer):
        """One whose bits are the quantizer's, of mixtures with a deviation of 1."""
        scale = or_one(quantizer.scale)
        weight = torch.diag(1 / scale)
        of_map = quantizer.thresholds.ndim == 1
        return Encoder(quantizer.thresholds / scale, weight[:, :, None, None] if of_map else weight)

    def compared(self, z):
        # In fp32, as a node computes it: bf16 would train other bits than are sent.
        with torch.autocast(z.device.type, enabled=False):
            return F.conv2d(z.float(), self.weight) if z.ndim == 4 else F.linear(z.float(), self.weight)

    def tensors(self):
        return {**super().tensors(), "encoder.weight": as_array(self.weight.half())}


class Codes(Sender):
    """`bits` bits a feature: the number of the nearest of 2^bits levels, evenly spaced from `low` to `high`.

    They are sent as planes, least significant bits first: channel p C + c is bit p of channel c.
    """

    def __init__(self, low, high, bits):
        super().__init__()
        self.bits = bits
        self.register_buffer("low", low.clone())
        self.register_buffer("high", high.clone())

    def forward(self, z):
        bits = torch.full(self.low.shape[-1:], self.bits)
        return pixels(planes_of(rows(z), self.low, self.high, bits), z)

    def tensors(self):
        return {"levels": as_array(torch.stack([self.low, self.high]))}


class ComponentCodes(Sender):
    """The bits of components.Components, as planes: plane p holds bit p of those that have one, least significant first.

    Until `folded` it mixes the map itself; then the head has been given the basis (models.in_basis), and perhaps only the
    first channels of it, those that have bits.
    """

    def __init__(self, components):
        super().__init__()
        for name in ("mix", "bits", "low", "high"):
            self.register_buffer(name, getattr(components, name).clone())
        self.is_folded = False

    @property
    def sent(self):
        """How many components have bits: the first ones."""
        return int((self.bits > 0).sum())

    def folded(self, channels):
        made = copy.deepcopy(self)
        made.is_folded = True
        made.bits, made.low, made.high = (one[..., :channels] for one in (self.bits, self.low, self.high))
        return made

    def compared(self, z):
        if self.is_folded:
            return z
        with torch.autocast(z.device.type, enabled=False):
            return pixels(rows(z.float()) @ self.mix.T, z)

    def forward(self, z):
        y = self.compared(z).float()
        return pixels(planes_of(rows(y), self.low, self.high, self.bits), y)

    def tensors(self):
        return {"levels": as_array(torch.stack([self.low, self.high]))}
