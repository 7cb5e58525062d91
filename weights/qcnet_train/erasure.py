"""Packet loss in training: bits that do not arrive. An erased bit is 0.5: dequantized it is the middle of the two levels,
as the QCNet's input 2b - 1 it is 0."""

import torch

from .maps import each, members


class Erasure:
    """Erases bits at random, as lost packets do whose bits lie scattered over the maps: of each picture another share,
    uniform between none and twice `rate`, so that one QCNet learns all of these losses. What is erased depends on
    (seed, epoch, index, rank) only.
    """

    def __init__(self, rate, rank=0):
        if not 0 <= rate <= 0.5:
            raise SystemExit(f"--packet-loss is a mean share of bits between 0 and 0.5, not {rate:g}")
        self.rate, self.rank = rate, rank

    def __call__(self, bits, seed, epoch, index):
        """Bits of one map [N, ...], or of a tuple of maps, of a training batch."""
        if self.rate == 0:
            return bits
        generator = torch.Generator().manual_seed((((seed * 1009 + epoch) * 100003 + index) * 97 + self.rank) % 2 ** 63)
        shares = 2 * self.rate * torch.rand(len(members(bits)[0]), generator=generator)

        def erased(of_map):
            lost = torch.rand(of_map.shape, generator=generator) < shares.view(-1, *[1] * (of_map.ndim - 1))
            return of_map.masked_fill(lost.to(of_map.device), 0.5)
        return each(erased, bits)
