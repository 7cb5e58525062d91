"""The server's ways from bits back to a feature map: plain dequantization, the QCNet, and an autoencoder's decoder.

Only the abstract of "QCNet" (IEEE Access 13:186488, 2025) is public to us; these blocks are our own
reconstruction.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.vision_transformer import EncoderBlock

from .components import pixels, rows
from .maps import each
from .models.depthwise import DepthwiseConv2d
from .quantizer import per_channel


class Dequantizer(nn.Module):
    """z' = low + b (high - low), levels as in Quantizer; bits b of 0 and 1 [N, C, H, W] or [N, T, C] -> the same shape."""

    def __init__(self, quantizer):
        super().__init__()
        self.register_buffer("low", quantizer.low.clone())
        self.register_buffer("high", quantizer.high.clone())

    @property
    def inputs(self):
        """Bits a pixel or token."""
        return self.low.shape[-1]

    def forward(self, bits):
        return per_channel(self.low, bits) + bits.float() * per_channel(self.high - self.low, bits)


class LearnedDequantizer(Dequantizer):
    """The same, with levels that learn."""

    def __init__(self, quantizer):
        nn.Module.__init__(self)
        self.low, self.high = nn.Parameter(quantizer.low.clone()), nn.Parameter(quantizer.high.clone())


class CodeDequantizer(Dequantizer):
    """The levels that sender.Codes are numbers of, from their planes [N, k C, H, W] or [N, T, k C]."""

    def __init__(self, quantizer, bits):
        super().__init__(quantizer)
        self.bits = bits

    def forward(self, bits):
        planes = bits.float().chunk(self.bits, 1 if bits.ndim == 4 else 2)
        code = sum(plane * 2 ** i for i, plane in enumerate(planes))
        return per_channel(self.low, code) + code * per_channel(self.high - self.low, code) / (2 ** self.bits - 1)


class LinearDequantizer(nn.Module):
    """z' = bias + weight (2b - 1) of components.Components; bits b [N, P, H, W] or [N, T, P] -> [N, C, H, W] or [N, T, C]."""

    def __init__(self, components):
        super().__init__()
        self.register_buffer("weight", components.weight.clone())
        self.register_buffer("bias", components.bias.clone())

    @property
    def inputs(self):
        return self.weight.shape[1]

    def forward(self, bits):
        with torch.autocast(bits.device.type, enabled=False):
            return pixels(rows(2 * bits.float() - 1) @ self.weight.T + self.bias, bits)


class Compensator(nn.Module):
    """QCNet: z' = act(dequantizer(b) + S body(2b - 1)), S the channels' standard deviation.

    What makes up `body` is the subclass's; its last layer, `output`, starts at zero, so that training starts
    at plain dequantization.
    """

    def __init__(self, dequantizer, scale, activation, output):
        super().__init__()
        self.dequantizer = dequantizer
        self.activation = {"relu": F.relu, "identity": lambda z: z}[activation]
        self.register_buffer("scale", scale.clone())
        self.output = output
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, bits):
        body = self.output(self.hidden(2 * bits - 1)).float()
        return self.activation(self.dequantizer(bits) + per_channel(self.scale, bits) * body)


def convolution(inputs, outputs, kernel, groups=1):
    """Convolution (zero padding, same size, no bias) and batch normalization, named conv and bn."""
    conv = (nn.Conv2d if groups == 1 else DepthwiseConv2d)(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs)))


class ConvBlock(nn.Module):
    """h = relu(h + bn(conv3x3(h)))."""

    def __init__(self, width):
        super().__init__()
        self.conv, self.bn = convolution(width, width, 3)

    def forward(self, h):
        return F.relu(h + self.bn(self.conv(h)))


class DepthwiseBlock(nn.Module):
    """h = h + down(relu(up(bn(depthwise7x7(h))))), up and down 1x1 convolutions to twice the width and back."""

    def __init__(self, width):
        super().__init__()
        self.depthwise = convolution(width, width, 7, groups=width)
        self.up, self.down = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)

    def forward(self, h):
        return h + self.down(F.relu(self.up(self.depthwise(h))))


BLOCKS = {"conv": ConvBlock, "depthwise": DepthwiseBlock}


class ConvCompensator(Compensator):
    """For feature maps: 1x1 convolution C -> width with BN and ReLU, residual blocks, 1x1 convolution width -> C."""

    def __init__(self, dequantizer, scale, activation, width, blocks, block):
        super().__init__(dequantizer, scale, activation, nn.Conv2d(width, len(scale), 1))
        self.input = convolution(dequantizer.inputs, width, 1)
        self.blocks = nn.ModuleList([BLOCKS[block](width) for _ in range(blocks)])

    def hidden(self, signs):
        h = F.relu(self.input(signs))
        for block in self.blocks:
            h = block(h)
        return h


class TokenCompensator(Compensator):
    """For tokens: linear C -> width plus the embedding of each position, `blocks` pre-norm transformer blocks
    (MLP ratio 2), layer normalization, linear width -> C.
    """

    def __init__(self, dequantizer, scale, tokens, width, blocks, heads):
        super().__init__(dequantizer, scale, "identity", nn.Linear(width, len(scale)))
        self.input = nn.Linear(dequantizer.inputs, width)
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


def apart(module):
    """The other way: SideBySide's modules as a tuple."""
    return tuple(module) if isinstance(module, SideBySide) else module


def compensator(dequantizer, scale, activation, shape, width, blocks, block="conv"):
    """The QCNet for a map [N, C, H, W], of one of BLOCKS, or tokens [N, T, C] of this shape, with at least 32 channels
    a head."""
    if len(shape) == 4:
        return ConvCompensator(dequantizer, scale, activation, width, blocks, block)
    heads = next(heads for heads in range(max(1, width // 32), 0, -1) if width % heads == 0)
    return TokenCompensator(dequantizer, scale, shape[1], width, blocks, heads)


@torch.no_grad()
def round_to_half(module):
    """Rounds the weights of rank 2 and more to float16 values, as the deployment files hold them."""
    for parameter in module.parameters():
        if parameter.ndim >= 2:
            parameter.copy_(parameter.half().float())
    return module
