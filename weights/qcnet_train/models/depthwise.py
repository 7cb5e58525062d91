"""Depthwise convolutions that train fast on a CPU.

For the gradient of the weights torch 1.13 takes half of a small ConvNeXt's training step: per channel it is a handful of
scalar sums. Here it is read from one matrix product per channel, of all pixels' gradients with all pixels, which bf16's matrix
units do in a seventh of the time for 16x16 pixels, in a thirtieth for 2x2. That grows with the square of the pixels.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn

from .autocast import compute_type
from .wide import WideConv2d

MOST_PIXELS = 256


@lru_cache(maxsize=32)
def meetings(height, width, kernel):
    """Which entry of a [pixels of the gradient, pixels of the input] matrix each tap of each pixel reads, [pixels, taps] flat.

    Beyond the border taps read the entry behind the last.
    """
    pixels, reach = height * width, range(-(kernel // 2), kernel // 2 + 1)
    return torch.tensor([(y * width + x) * pixels + (y + dy) * width + x + dx
                         if 0 <= y + dy < height and 0 <= x + dx < width else pixels * pixels
                         for y in range(height) for x in range(width) for dy in reach for dx in reach])


def weight_gradient(x, gradient, kernel):
    """[C, 1, kernel, kernel] of an input and of the output's gradient, both [N, C, H, W]."""
    batch, channels, height, width = x.shape
    of_outputs = gradient.permute(1, 2, 3, 0).reshape(channels, height * width, batch)
    inputs = x.permute(1, 0, 2, 3).reshape(channels, batch, height * width)
    products = F.pad(torch.bmm(of_outputs, inputs).flatten(1), (0, 1))
    taps = products[:, meetings(height, width, kernel).to(x.device)].view(channels, height * width, kernel, kernel)
    return taps.sum(1, keepdim=True)


class Convolution(torch.autograd.Function):
    """Stride 1, zero padding, same size; x [N, C, H, W], weight [C, 1, K, K], K odd, bias [C] or None."""

    @staticmethod
    def forward(context, x, weight, bias):
        context.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[2] // 2, groups=len(weight))

    @staticmethod
    def backward(context, gradient):
        x, weight = context.saved_tensors
        kernel = weight.shape[2]
        of_x = of_weight = of_bias = None
        if context.needs_input_grad[0]:
            of_x = F.conv2d(gradient, weight.flip(2, 3), padding=kernel // 2, groups=len(weight))
        if context.needs_input_grad[1]:
            of_weight = weight_gradient(x, gradient, kernel)
        if context.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_x, of_weight, of_bias


class DepthwiseConv2d(WideConv2d):
    """One filter a channel, stride 1 and the same size; maps of few pixels train faster."""

    def _conv_forward(self, x, weight, bias):
        if x.device.type != "cpu" or x.shape[2] * x.shape[3] > MOST_PIXELS:
            return super()._conv_forward(x, weight, bias)
        dtype = compute_type(x)
        return Convolution.apply(x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))


def is_depthwise(module):
    return (type(module) is nn.Conv2d and module.groups == module.in_channels == module.out_channels > 1
            and module.kernel_size[0] == module.kernel_size[1] == 2 * module.padding[0] + 1
            and module.padding[0] == module.padding[1] and module.stride == module.dilation == (1, 1)
            and module.padding_mode == "zeros")


def train_fast(model):
    """Makes the depthwise convolutions of a model DepthwiseConv2d, in place."""
    for module in model.modules():
        if is_depthwise(module):
            module.__class__ = DepthwiseConv2d
