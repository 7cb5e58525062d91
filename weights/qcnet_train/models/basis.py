"""Layers that give their output in another basis: mix y for what they gave before, y.

A convolution's y may be a patch of P x P pixels (see Patches): then it becomes a larger and more strided one, which gives
the patch's mixtures at once. Of kernel k and stride s, C (P k / (k + s (P - 1)))^2 of a patch's P P C mixtures cost what its
pixels' C channels did: of a 3x3 convolution's patches of 2x2 2.25 C of 4 C.
"""

import torch
from torch import nn


class OfSize(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size


class Patches(OfSize):
    """[N, C, H, W] -> [N, P P C, H / P, W / P], channels in the order (row in the patch, column, channel)."""

    def forward(self, z):
        if isinstance(z, tuple) or z.ndim != 4:
            raise SystemExit("--patch: patches of pixels are for cuts that one map crosses, not tokens nor several maps")
        n, channels, height, width = z.shape
        p = self.size
        if height % p or width % p:
            raise SystemExit(f"a map of {height} x {width} pixels has no patches of {p} x {p}")
        return z.view(n, channels, height // p, p, width // p, p).permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


class Pixels(OfSize):
    """The other way."""

    def forward(self, z):
        n, channels, height, width = z.shape
        p = self.size
        apart = z.view(n, p, p, channels // (p * p), height, width).permute(0, 3, 4, 1, 5, 2)
        return apart.reshape(n, channels // (p * p), height * p, width * p)


@torch.no_grad()
def mix_linear(layer, mix):
    """Of a linear layer or a convolution, mix [K, C]."""
    layer.weight = nn.Parameter((mix @ layer.weight.flatten(1)).view(len(mix), *layer.weight.shape[1:]), False)
    layer.bias = nn.Parameter(mix @ layer.bias, False)


@torch.no_grad()
def mix_convolution(conv, mix, patch):
    """Of a square convolution's patches, mix [K, P P C]; its bias, if it has one, is mixed too.

    Kernel k and stride s become k + s (P - 1) and s P; of a 1x1 kernel, that reads but every s-th pixel, P and a dilation of s.
    """
    at = mix.view(len(mix), patch, patch, -1)  # [K, row, column, C]
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    step, dilation = (1, stride) if kernel == 1 else (stride, 1)
    size = kernel + step * (patch - 1)
    made = conv.weight.new_zeros(len(mix), conv.weight.shape[1], size, size)
    for a in range(patch):
        for b in range(patch):
            window = made[:, :, step * a:step * a + kernel, step * b:step * b + kernel]
            window += (at[:, a, b] @ conv.weight.flatten(1)).view_as(window)
    conv.weight, conv.out_channels = nn.Parameter(made, False), len(mix)
    conv.kernel_size, conv.stride, conv.dilation = (size, size), (stride * patch, stride * patch), (dilation, dilation)
    if conv.bias is not None:
        conv.bias = nn.Parameter(at.sum((1, 2)) @ conv.bias, False)


@torch.no_grad()
def mix_normalized(conv, bn, mix, patch):
    """The same of a convolution without a bias and its batch normalization, which is left with a bias to add."""
    factor = bn.weight / (bn.running_var + bn.eps).sqrt()
    conv.weight = nn.Parameter(conv.weight * factor[:, None, None, None], False)
    mix_convolution(conv, mix, patch)
    bias = bn.bias - bn.running_mean * factor
    bn.bias = nn.Parameter(mix.view(len(mix), patch * patch, -1).sum(1) @ bias, False)
    bn.weight = nn.Parameter(torch.ones_like(bn.bias), False)
    bn.running_mean, bn.running_var = torch.zeros_like(bn.bias), torch.full_like(bn.bias, 1 - bn.eps)
