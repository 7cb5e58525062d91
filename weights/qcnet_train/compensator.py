"""The server's two ways from bits back to a feature map: plain dequantization, and the QCNet.

Only the abstract of "QCNet" (IEEE Access 13:186488, 2025) is public to us; these blocks are our own
reconstruction.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.vision_transformer import EncoderBlock

from .maps import each
from .quantizer import per_channel


class Dequantizer(nn.Module):
    """z' = low + b (high - low) per channel; bits b of 0 and 1 [N, C, H, W] or [N, T, C] -> the same shape."""

    def __init__(self, quantizer):
        super().__init__()
        self.register_buffer("low", quantizer.low.clone())
        self.register_buffer("high", quantizer.high.clone())

    def forward(self, bits):
        return per_channel(self.low, bits) + bits.float() * per_channel(self.high - self.low, bits)


class Compensator(Dequantizer):
    """QCNet: z' = act(low + b (high - low) + S body(2b - 1)), S the channels' standard deviation.

    What makes up `body` is the subclass's; its last layer, `output`, starts at zero, so that training starts
    at plain dequantization.
    """

    def __init__(self, quantizer, activation, output):
        super().__init__(quantizer)
        self.activation = {"relu": F.relu, "identity": lambda z: z}[activation]
        self.register_buffer("scale", quantizer.scale.clone())
        self.output = output
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, bits):
        body = self.output(self.hidden(2 * bits - 1)).float()
        return self.activation(super().forward(bits) + per_channel(self.scale, bits) * body)


class ConvCompensator(Compensator):
    """For feature maps: 1x1 convolution C -> width with BN and ReLU, `blocks` times h = relu(h + bn(conv3x3(h))),
    and a 1x1 convolution width -> C.
    """

    def __init__(self, quantizer, activation, width, blocks):
        channels = len(quantizer.thresholds)
        super().__init__(quantizer, activation, nn.Conv2d(width, channels, 1))
        self.input = convolution(channels, width, 1)
        self.blocks = nn.ModuleList([convolution(width, width, 3) for _ in range(blocks)])

    def hidden(self, signs):
        h = F.relu(self.input(signs))
        for block in self.blocks:
            h = F.relu(h + block(h))
        return h


class TokenCompensator(Compensator):
    """For tokens: linear C -> width plus the embedding of each position, `blocks` pre-norm transformer blocks
    (MLP ratio 2), layer normalization, linear width -> C.
    """

    def __init__(self, quantizer, tokens, width, blocks, heads):
        channels = len(quantizer.thresholds)
        super().__init__(quantizer, "identity", nn.Linear(width, channels))
        self.input = nn.Linear(channels, width)
        self.positions = nn.Parameter(torch.empty(1, tokens, width).normal_(std=0.02))
        self.blocks = nn.ModuleList([EncoderBlock(heads, width, 2 * width, 0.0, 0.0) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.heads = heads

    def hidden(self, signs):
        h = self.input(signs).float() + self.positions
        for block in self.blocks:
            h = block(h)
        return self.norm(h.float())


class SideBySide(nn.ModuleList):
    """One of these for each of several maps: a tuple of maps -> a tuple."""

    def forward(self, maps):
        return tuple(module(z) for module, z in zip(self, maps))


def restorer(make, quantizer, *rest):
    """make(quantizer, *rest), or where these are tuples one for each map, side by side."""
    made = each(make, quantizer, *rest)
    return SideBySide(made) if isinstance(made, tuple) else made


def compensator(quantizer, activation, shape, width, blocks):
    """The QCNet for a map [N, C, H, W] or tokens [N, T, C] of this shape; heads have 32 channels."""
    if len(shape) == 4:
        return ConvCompensator(quantizer, activation, width, blocks)
    return TokenCompensator(quantizer, shape[1], width, blocks, heads=max(1, width // 32))


def convolution(inputs, outputs, kernel):
    """Convolution (zero padding, same size, no bias) and batch normalization, named conv and bn."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs)))


@torch.no_grad()
def round_to_half(module):
    """Rounds the weights of rank 2 and more to float16 values, as the deployment files hold them."""
    for parameter in module.parameters():
        if parameter.ndim >= 2:
            parameter.copy_(parameter.half().float())
    return module
