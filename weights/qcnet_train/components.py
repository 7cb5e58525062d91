"""Principal components of the map at a cut, and the bits that each gets, where they pay most: one a feature on average.

Neighbouring channels say much the same, and a bit for each says it again. The components of a pixel's channels do not,
and few of them hold nearly all of the variance, so that these get several bits and most get none (Huang and Schultheiss,
"Block quantization of correlated Gaussian random variables", IEEE Trans. Commun. Syst. 11, 1963). Where the head ends in
something linear the basis is folded into its weights (models.in_basis), and a node computes what it computed before.
"""

import heapq
import math
from dataclasses import dataclass, fields

import torch

from . import inputs
from .quantizer import code_of, even_levels

MOST_BITS = 8
VALUES = 1 << 13  # of a component, to see what bits do for it
RIDGE = 1e-4


def rows(z):
    """Maps [N, C, H, W] -> [N, H W, C]; tokens [N, T, C] stay as they are."""
    return z.flatten(2).transpose(1, 2) if z.ndim == 4 else z


def pixels(y, z):
    """The other way, to the shape of `z`."""
    return y.transpose(1, 2).reshape(len(y), -1, *z.shape[2:]) if z.ndim == 4 else y


@dataclass
class Components:
    """y = mix z of a pixel's channels; what its components are coded with, and how the map is had again from their bits.

    mix: [C, C]; bits: [C], never increasing; low, high: the levels' ends, [C], of tokens [T, C];
    weight, bias: z' = bias + weight (2 b - 1) for the planes b of all codes, [C, P] and [C], of tokens [T, C].
    """
    mix: torch.Tensor
    bits: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor

    @staticmethod
    def like(quantizer, rate):
        """Those of a map of this quantizer, to be loaded."""
        channels = quantizer.thresholds.shape[-1]
        levels = torch.zeros_like(quantizer.thresholds)
        return Components(torch.zeros(channels, channels), torch.zeros(channels, dtype=torch.int64), levels, levels,
                          torch.zeros(channels, total(rate, channels)), levels)

    @staticmethod
    def fit(maps, rate):
        """From maps [N, C, H, W] or tokens [N, T, C] of `calibration` images; `rate` bits a feature on average."""
        tokens = maps[0].ndim == 3
        z = torch.cat([rows(one.float().cpu()) for one in maps])
        mean = z.mean(0) if tokens else z.mean((0, 1))
        centred = (z - mean).flatten(0, 1)
        mix = principal(centred, without_mean=tokens)
        bits, levels = allocate((centred @ mix.T).T, total(rate, z.shape[2]))
        order = bits.argsort(descending=True, stable=True)
        mix, bits, levels = mix[order], bits[order], levels[order]
        low, high = (mean @ mix.T + end for end in levels.unbind(1))
        signs = 2 * planes_of(z @ mix.T, low, high, bits) - 1
        weight = least_squares(signs.flatten(0, 1), centred).half().float()  # as files hold it
        bias = mean - (signs.mean(0) if tokens else signs.mean((0, 1))) @ weight.T
        return Components(mix, bits, low, high, weight, bias)


def read(path):
    """Components from a file of their vars."""
    return Components(**inputs.with_keys(path, inputs.load(path), [field.name for field in fields(Components)]))


def of_result(saved):
    """Those of a trained method (methods.state): what is trained with them never changes them."""
    restorer = {name.removeprefix("dequantizer."): value for name, value in saved["compensator"].items()}
    return Components(**saved["send"], weight=restorer["weight"], bias=restorer["bias"])


def total(rate, channels):
    """Bits a pixel."""
    count = round(rate * channels)
    if not 1 <= count <= MOST_BITS * channels:
        raise SystemExit(f"--rate {rate:g}: {channels} channels can have {1 / channels:.2g} to {MOST_BITS} bits each on average")
    return count


def principal(centred, without_mean):
    """Orthonormal rows [C, C], those of most variance in `centred` [M, C] first.

    A transformer's layer normalizations subtract the mean of a token's channels and so must find none in the basis either:
    `without_mean` takes it from the channels, which nothing behind them sees, and gives components whose sum is 0.
    """
    channels = centred.shape[1]
    if not without_mean:
        return spectrum(centred).float()
    ones = torch.full((channels,), channels ** -0.5, dtype=torch.float64)
    basis = spectrum(centred - centred.mean(1, keepdim=True))[:-1]  # the last is that of the mean
    # Householder's reflection that takes the axis of the last component to the vector of ones.
    mirror = -ones
    mirror[-1] += 1
    reflection = torch.eye(channels, dtype=torch.float64) - 2 * torch.outer(mirror, mirror) / mirror.dot(mirror)
    return (reflection[:, :-1] @ basis).float()


def spectrum(centred):
    """The eigenvectors of the covariance as rows, from the greatest eigenvalue on."""
    x = centred.double()
    return torch.linalg.eigh(x.T @ x / len(x)).eigenvectors.flip(1).T


def allocate(values, count):
    """(bits of each row of `values` [C, M], [C]; the ends of its evenly spaced levels, [C, 2]).

    Each of `count` bits goes where it takes most from the squared error.
    """
    values = values[:, torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0))[:VALUES]].double()
    ends = [values.mean(1, keepdim=True).expand(-1, 2), *(even_levels(values, n) for n in range(1, MOST_BITS + 1))]
    errors = [error(values, of_n, n).tolist() for n, of_n in enumerate(ends)]
    bits = [0] * len(values)

    def offer(row):
        n = bits[row]
        return (errors[n + 1][row] - errors[n][row] if n < MOST_BITS else math.inf), row
    heap = [offer(row) for row in range(len(bits))]
    heapq.heapify(heap)
    for _ in range(count):
        row = heap[0][1]
        bits[row] += 1
        heapq.heapreplace(heap, offer(row))
    bits = torch.tensor(bits)
    return bits, torch.stack(ends)[bits, torch.arange(len(bits))].float()


def error(values, ends, bits):
    """The mean squared error of each row."""
    low, high = ends.split(1, 1)
    level = low + code_of(values, low, high, bits) * (high - low) / max(1, 2 ** bits - 1)
    return (values - level).square().mean(1)


def counts(bits):
    """How many components each plane carries, of bits that never increase."""
    return [int((bits > plane).sum()) for plane in range(int(bits.max()))]


def planes_of(y, low, high, bits):
    """Components [..., C] -> the bits of their codes, [..., P], a plane after the other, least significant first."""
    code = code_of(y, low, high, bits).int()
    return torch.cat([(code[..., :n] >> plane & 1).to(y.dtype) for plane, n in enumerate(counts(bits))], -1)


def least_squares(signs, centred):
    """[C, P]: what signs [M, P] around their mean say of `centred` [M, C]."""
    signs = (signs - signs.mean(0)).double()
    gram = signs.T @ signs / len(signs) + RIDGE * torch.eye(signs.shape[1], dtype=torch.float64)
    return torch.linalg.solve(gram, signs.T @ centred.double() / len(signs)).T.float()
