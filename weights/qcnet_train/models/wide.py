"""Convolutions of wide maps whose weights learn right on a CPU.

With bf16's matrix units (AMX) oneDNN 2.6, that of torch 1.13 in Debian 12, gives weights a gradient of garbage, NaN and inf,
where a row has more than 224 pixels (232 the least that was seen). While weights are trained, such rows are convolved in fp32.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .autocast import compute_type

WIDEST = 224


def conv2d(x, weight, bias=None, **how):
    """F.conv2d, of the type that autocast asks for."""
    dtype = compute_type(x)
    learns = torch.is_grad_enabled() and weight.requires_grad
    if not learns or x.device.type != "cpu" or dtype != torch.bfloat16 or x.shape[3] <= WIDEST:
        return F.conv2d(x, weight, bias, **how)
    with torch.autocast("cpu", enabled=False):
        return F.conv2d(x.float(), weight.float(), None if bias is None else bias.float(), **how).to(dtype)


class WideConv2d(nn.Conv2d):
    """An nn.Conv2d with zero padding."""

    def _conv_forward(self, x, weight, bias):
        return conv2d(x, weight, bias, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups)


def train_right(module):
    """Makes the convolutions in a module WideConv2d, in place."""
    for part in module.modules():
        if type(part) is nn.Conv2d and part.padding_mode == "zeros":
            part.__class__ = WideConv2d
    return module
