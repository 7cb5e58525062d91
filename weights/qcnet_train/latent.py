"""A binary head in training: float weights behind the signs, batch normalization, thresholds that are learned.

Signs pass gradients straight through where their argument is small (Hubara et al., NeurIPS 2016, with the polynomial of
Bi-Real Net for activations). `fold` makes the head that a node runs, models/binary_head.py, of it.
"""

import torch
from torch import nn

from .models.autocast import compute_type
from .models.binary_head import FINEST, BinaryHead, shortcut
from .models.wide import conv2d
from .quantizer import binarize, per_channel

PIXEL = 64  # pixels are divided by it in training, so that the stem's weights are of usual size
GRID = 2.0 ** -12
WINDOW = 1.5  # standard deviations around a threshold within which a map's bit has a gradient


class ActivationSign(torch.autograd.Function):
    """x > 0 ? 1 : -1, in bf16 under autocast; the gradient is 2 - 2 |x| within 1, else 0."""

    @staticmethod
    def forward(context, x, dtype):
        context.save_for_backward(x)
        return (x > 0).to(dtype).mul_(2).sub_(1)

    @staticmethod
    def backward(context, gradient):
        x, = context.saved_tensors
        return gradient.float() * (2 - 2 * x.abs()).clamp_min_(0), None


class WeightSign(torch.autograd.Function):
    """w >= 0 ? 1 : -1; the gradient is that of w within [-1, 1], else 0."""

    @staticmethod
    def forward(context, w):
        context.save_for_backward(w)
        return torch.where(w >= 0, 1.0, -1.0)

    @staticmethod
    def backward(context, gradient):
        w, = context.saved_tensors
        return gradient * (w.abs() <= 1)


class LatentLayer(nn.Module):
    """y = bn(conv(sign(x - threshold), sign(weight))) + shortcut(x)."""

    def __init__(self, inputs, outputs, kernel, stride):
        super().__init__()
        self.stride = stride
        self.threshold = nn.Parameter(torch.zeros(inputs))
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.kaiming_normal_(self.weight)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x):
        signs = ActivationSign.apply(x - self.threshold.view(-1, 1, 1), compute_type(x))
        count = conv2d(signs, WeightSign.apply(self.weight), stride=self.stride, padding=self.weight.shape[2] // 2)
        return self.bn(count.float()) + shortcut(x, len(self.weight), self.stride)


class LatentHead(nn.Module):
    """Normalized pictures [N, C, H, W] -> the map at the cut. Sizes: see BinaryHead; `mean`, `std`: the dataset's."""

    def __init__(self, inputs, mean, std, *, channels, strides, kernels):
        super().__init__()
        self.sizes = {"channels": channels, "strides": strides, "kernels": kernels}
        self.register_buffer("mean", 255 * torch.tensor(mean))
        self.register_buffer("std", 255 * torch.tensor(std))
        self.stem = nn.Conv2d(inputs, channels[0], 3, strides[0], 1, bias=False)
        self.bn = nn.BatchNorm2d(channels[0])
        self.layers = nn.ModuleList(LatentLayer(*shape) for shape in
                                    zip(channels, channels[1:], kernels[1:], strides[1:]))

    def forward(self, images):
        q = torch.round(images * self.std.view(-1, 1, 1) + self.mean.view(-1, 1, 1))
        x = self.bn(self.stem(q / PIXEL).float())
        for layer in self.layers:
            x = layer(x)
        return x


def straight_through(z, quantizer):
    """A map's dequantized bits, whose gradient is that of a ramp around the threshold."""
    low, high, threshold, scale = (per_channel(v.to(z.device), z) for v in (
        quantizer.low, quantizer.high, quantizer.thresholds, quantizer.scale.clamp_min(1e-12)))
    ramp = ((z - threshold) / (2 * WINDOW * scale)).clamp(-0.5, 0.5)
    return low + (high - low) * (binarize(z.detach(), quantizer.thresholds.to(z.device)) + ramp - ramp.detach())


def to_grid(values):
    return torch.round(values / GRID) * GRID


def normalization(bn):
    """(scale, bias) of what a batch normalization does in evaluation, fp64."""
    scale = bn.weight.double() / (bn.running_var.double() + bn.eps).sqrt()
    return scale, bn.bias.double() - scale * bn.running_mean.double()


@torch.no_grad()
def fold(latent):
    """The BinaryHead of a LatentHead: normalizations folded in, every number on its grid."""
    head = BinaryHead(len(latent.mean), **latent.sizes)
    head.input.scale.copy_(latent.std)
    head.input.shift.copy_(latent.mean)
    scale, bias = normalization(latent.bn)
    weight = latent.stem.weight.double() / PIXEL * scale.view(-1, 1, 1, 1)
    # The smallest power of two for which 127 of it reach the largest weight, but none below what sums may be made of.
    largest = weight.abs().amax((1, 2, 3)).clamp_min(1e-30)
    step = torch.maximum(2.0 ** torch.ceil(torch.log2(largest / 127)), torch.tensor(FINEST, dtype=torch.double))
    head.stem.weight.copy_(torch.round(weight / step.view(-1, 1, 1, 1)) * step.view(-1, 1, 1, 1))
    head.stem.bias.copy_(to_grid(bias))
    for layer, trained in zip(head.layers, latent.layers):
        scale, bias = normalization(trained.bn)
        # A negative scale is the negative weights' positive one.
        weight = torch.where(trained.weight >= 0, 1.0, -1.0)
        layer.weight.copy_(torch.where(scale < 0, -1.0, 1.0).view(-1, 1, 1, 1) * weight)
        layer.scale.copy_(to_grid(scale.abs()))
        layer.bias.copy_(to_grid(bias))
        layer.threshold.copy_(trained.threshold)
    return head.eval()
