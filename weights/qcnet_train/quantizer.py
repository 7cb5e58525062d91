"""Bits of features: Lloyd-Max thresholds and levels, the uniform baseline, and evenly spaced levels of several bits.

A map [C, H, W] has a threshold for each channel, tokens [T, C] one for each channel of each position: position
embeddings move a feature's mean from token to token, and comparing with another number there costs a node nothing.

Lloyd, "Least squares quantization in PCM", 1982; Max, "Quantizing for minimum distortion", 1960.
"""

import torch

from . import inputs
from .maps import each

VALUES_PER_FEATURE = 1 << 21
VALUES_AT_ONCE = 1 << 24
VALUES_OF_EVEN = 1 << 16


def per_channel(values, z):
    """Values [C], or for tokens also [T, C], shaped to broadcast over maps [N, C, H, W] or tokens [N, T, C]."""
    return values.view(1, -1, 1, 1) if z.ndim == 4 else values


def features_first(z):
    """Maps [N, C, H, W] -> [C, N H W], tokens [N, T, C] -> [T C, N]: a row for each threshold."""
    return z.movedim(1, 0).flatten(1) if z.ndim == 4 else z.flatten(1).T


def lloyd_max(values, iterations=200):
    """Two-level Lloyd-Max quantizers of each row of `values` [F, M]: [F, 3], (threshold, low, high).

    The bit is value > threshold; t = (low + high) / 2 where low and high are the means at or below t and above t. A
    constant row gets its own value as threshold and levels, so its bit is always 0.
    """
    ordered = values.double().sort(1).values
    sums = ordered.cumsum(1)
    total, count = sums[:, -1], ordered.shape[1]
    constant = ordered[:, 0] == ordered[:, -1]
    threshold = torch.where(constant, ordered[:, 0], total / count)
    for _ in range(iterations):
        # The comparison must see the threshold as the node will: rounded to float.
        threshold = threshold.float().double()
        below = torch.searchsorted(ordered, threshold[:, None], right=True).clamp(1, max(1, count - 1))
        sum_below, below = sums.gather(1, below - 1)[:, 0], below[:, 0]
        low = sum_below / below
        high = (total - sum_below) / (count - below).clamp_min(1)
        middle = (low + high) / 2
        moves = ~constant & ((middle - threshold).abs() > 1e-7 * (high - low))
        if not moves.any():
            break
        threshold = torch.where(moves, middle, threshold)
    levels = torch.stack([threshold, low, high], 1)
    return torch.where(constant[:, None], ordered[:, :1], levels)


def code_of(values, low, high, bits):
    """The number, 0 to 2^bits - 1, of the nearest of 2^bits evenly spaced levels from `low` to `high`.

    `bits` is a number, or a tensor of one for each channel where these are last.
    """
    most = torch.as_tensor(2 ** bits - 1, dtype=values.dtype, device=values.device)
    inverse = torch.where(high > low, most / (high - low), torch.zeros_like(low))
    return ((values - low) * inverse + 0.5).floor().clamp(min=0).minimum(most)


def even_levels(values, bits, iterations=100):
    """Evenly spaced quantizers of least squares of each row of `values` [F, M]: [F, 2], lowest level and highest.

    As in Lloyd-Max, which one bit gives: from the row's range on, each value goes to its nearest level, then the levels
    to where the regression of values on their numbers puts them. So what is rare may lie far outside of them.
    """
    most, mean = 2 ** bits - 1, values.mean(1, keepdim=True)
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    for _ in range(iterations):
        code = code_of(values, low, high, bits)
        centred = code - code.mean(1, keepdim=True)
        slope = (centred * values).mean(1, keepdim=True) / centred.square().mean(1, keepdim=True).clamp_min(1e-12)
        low = mean - slope * code.mean(1, keepdim=True)
        high = low + slope * most
    return torch.cat([low, high], 1)


def rows_of(maps, most):
    """(shape of a map's thresholds, its values [F, M] for each), drawn at random where there were more than `most`.

    Map by map: beside the maps there is no more in memory than what is drawn.
    """
    shape = maps[0].shape[1:2] if maps[0].ndim == 4 else maps[0].shape[1:]
    counts = [z.nelement() // shape.numel() for z in maps]
    total, first = sum(counts), 0
    chosen = torch.randperm(total, generator=torch.Generator().manual_seed(0))[:most] if total > most else torch.arange(total)
    values = torch.empty(shape.numel(), len(chosen))
    for z, count in zip(maps, counts):
        at = ((chosen >= first) & (chosen < first + count)).nonzero()[:, 0]
        values[:, at] = features_first(z.float().cpu())[:, chosen[at] - first]
        first += count
    return shape, values


class Quantizer:
    """Statistics of a feature map [C, H, W] or of tokens [T, C] at a cut.

    thresholds, low, high: [C], of tokens [T, C]; scale: [C], the standard deviation (of tokens around their position's
    mean); range: (min, max) of the map.
    """

    def __init__(self, thresholds, low, high, scale, range):
        self.thresholds, self.low, self.high, self.scale, self.range = thresholds, low, high, scale, range

    @staticmethod
    def fit(maps):
        """From an iterable of feature maps [N, C, H, W] or tokens [N, T, C] of `calibration` images."""
        maps = list(maps)
        shape, values = rows_of(maps, VALUES_PER_FEATURE)
        extremes = [min(float(z.min()) for z in maps), max(float(z.max()) for z in maps)]
        at_once = max(1, VALUES_AT_ONCE // values.shape[1])
        levels = torch.cat([lloyd_max(rows) for rows in values.split(at_once)]).float()
        variance = torch.cat([rows.double().var(1, unbiased=False) for rows in values.split(at_once)])
        scale = variance.view(shape).view(-1, shape[-1]).mean(0).sqrt().float()
        return Quantizer(*(level.view(shape) for level in levels.unbind(1)), scale, torch.tensor(extremes))

    def even(self, maps, bits):
        """The same statistics with the evenly spaced levels of `bits` bits for `maps`, as `fit` takes them."""
        shape, values = rows_of(maps, VALUES_OF_EVEN)
        low, high = even_levels(values.double(), bits).float().unbind(1)
        return Quantizer(self.thresholds, low.view(shape), high.view(shape), self.scale, self.range)

    def uniform(self):
        """The usual baseline: one midpoint threshold for the tensor, its minimum and maximum as levels."""
        ones = torch.ones_like(self.thresholds)
        low, high = self.range
        return Quantizer(ones * (low + high) / 2, ones * low, ones * high, self.scale, self.range)


def fit_each(maps):
    """A Quantizer, or one for each map where the batches are tuples of several."""
    maps = list(maps)
    return tuple(map(Quantizer.fit, zip(*maps))) if isinstance(maps[0], tuple) else Quantizer.fit(maps)


def read_quantizer(path):
    """What fit_each gave, from a file of its vars."""
    keys = ("thresholds", "low", "high", "scale", "range")
    return each(lambda kept: Quantizer(**inputs.with_keys(path, kept, keys)), inputs.load(path))


def binarize(z, thresholds):
    """Bits as 0.0 and 1.0, of z's shape: strictly above the feature's threshold."""
    return (z > per_channel(thresholds, z)).to(z.dtype)
