"""The server's two ways from bits back to a feature map: plain dequantization, and the QCNet.

Only the abstract of "QCNet" (IEEE Access 13:186488, 2025) is public to us; this block is our own
reconstruction.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


class Dequantizer(nn.Module):
    """z' = low + b (high - low) per channel; bits b [N, C, H, W] of 0 and 1 -> [N, C, H, W]."""

    def __init__(self, quantizer):
        super().__init__()
        self.register_buffer("low", quantizer.low.clone().view(1, -1, 1, 1))
        self.register_buffer("high", quantizer.high.clone().view(1, -1, 1, 1))

    def forward(self, bits):
        return self.low + bits.float() * (self.high - self.low)


class Compensator(Dequantizer):
    """QCNet: z' = act(low + b (high - low) + S body(2b - 1)), S the channels' standard deviation.

    body: 1x1 convolution C -> width with BN and ReLU, `blocks` times h = relu(h + bn(conv3x3(h))), and a
    1x1 convolution width -> C that starts at zero, so that training starts at plain dequantization.
    """

    def __init__(self, quantizer, activation, width, blocks):
        super().__init__(quantizer)
        channels = len(quantizer.thresholds)
        self.activation = {"relu": F.relu, "identity": lambda z: z}[activation]
        self.register_buffer("scale", quantizer.scale.clone().view(1, -1, 1, 1))
        self.input = convolution(channels, width, 1)
        self.blocks = nn.ModuleList([convolution(width, width, 3) for _ in range(blocks)])
        self.output = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, bits):
        h = F.relu(self.input(2 * bits - 1))
        for block in self.blocks:
            h = F.relu(h + block(h))
        return self.activation(super().forward(bits) + self.scale * self.output(h).float())


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
