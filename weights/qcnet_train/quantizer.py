"""One bit per feature: Lloyd-Max thresholds and levels per channel, and the uniform baseline.

Lloyd, "Least squares quantization in PCM", 1982; Max, "Quantizing for minimum distortion", 1960.
"""

import torch

VALUES_PER_CHANNEL = 1 << 21


def per_channel(values, z):
    """Values [C] shaped to broadcast over maps [N, C, H, W] or tokens [N, T, C]."""
    return values.view(1, -1, 1, 1) if z.ndim == 4 else values


def channels_first(z):
    """Maps [N, C, H, W] or tokens [N, T, C] -> [C, everything else]."""
    return z.movedim(1 if z.ndim == 4 else 2, 0).flatten(1)


def lloyd_max(values, iterations=200):
    """Two-level Lloyd-Max quantizer of `values` [M]: (threshold, low, high), the bit is value > threshold.

    t = (low + high) / 2 where low and high are the means at or below t and above t. A constant channel
    gets its own value as threshold and levels, so its bit is always 0.
    """
    ordered = values.double().sort().values
    if ordered[0] == ordered[-1]:
        return (float(ordered[0]),) * 3
    sums = ordered.cumsum(0)
    total, count = float(sums[-1]), len(ordered)
    threshold = total / count
    for _ in range(iterations):
        # The comparison must see the threshold as the node will: rounded to float.
        threshold = float(torch.tensor(threshold, dtype=torch.float32))
        below = int(torch.searchsorted(ordered, torch.tensor(threshold, dtype=torch.float64), right=True))
        if below in (0, count):
            break
        low = float(sums[below - 1]) / below
        high = (total - float(sums[below - 1])) / (count - below)
        if (low + high) / 2 == threshold:
            break
        previous, threshold = threshold, (low + high) / 2
        if abs(previous - threshold) <= 1e-7 * (high - low):
            threshold = previous
            break
    return threshold, low, high


class Quantizer:
    """Statistics of a feature map [C, H, W] or of tokens [T, C] at a cut.

    thresholds, low, high, scale: [C], scale being the standard deviation; range: (min, max) of the map.
    """

    def __init__(self, thresholds, low, high, scale, range):
        self.thresholds, self.low, self.high, self.scale, self.range = thresholds, low, high, scale, range

    @staticmethod
    def fit(maps):
        """From an iterable of feature maps [N, C, H, W] or tokens [N, T, C] of `calibration` images."""
        rows, least, most = [], float("inf"), float("-inf")
        for z in maps:
            least, most = min(least, float(z.min())), max(most, float(z.max()))
            rows.append(channels_first(z.float().cpu()))
        values = torch.cat(rows, 1)
        if values.shape[1] > VALUES_PER_CHANNEL:
            chosen = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0))
            values = values[:, chosen[:VALUES_PER_CHANNEL]]
        levels = torch.tensor([lloyd_max(channel) for channel in values], dtype=torch.float64).float()
        return Quantizer(*levels.unbind(1), values.double().std(1, unbiased=False).float(),
                         torch.tensor([least, most]))

    def uniform(self):
        """The usual baseline: one midpoint threshold for the tensor, its minimum and maximum as levels."""
        ones = torch.ones_like(self.thresholds)
        low, high = self.range
        return Quantizer(ones * (low + high) / 2, ones * low, ones * high, self.scale, self.range)


def fit_each(maps):
    """A Quantizer, or one for each map where the batches are tuples of several."""
    maps = list(maps)
    return tuple(map(Quantizer.fit, zip(*maps))) if isinstance(maps[0], tuple) else Quantizer.fit(maps)


def binarize(z, thresholds):
    """Bits as 0.0 and 1.0, of z's shape: strictly above the channel's threshold."""
    return (z > per_channel(thresholds, z)).to(z.dtype)
