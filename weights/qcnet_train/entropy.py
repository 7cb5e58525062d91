"""Entropy models of bits: for each channel a logistic regression on the bits before (include/qcnet/bits/entropy_model.hpp)."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import safetensors

UNIT = 128           # log-odds are whole numbers of 1/128, as in the tables of docs/frame.md
LARGEST = 2047       # such numbers are exact in fp16
LARGEST_SUM = 32767  # of what may be added up to one channel: 16 bits
REACH = 2
BATCH = 1 << 14      # pixels
# Rows down and columns to the right, by what they tell: a model takes the first ones.
NEIGHBORS = ((0, -1), (-1, 0), (-1, 1), (-1, -1), (0, -2), (-2, 0))


def grid(shape):
    """(tokens by themselves, rows, columns) of an image of a map, as in docs/frame.md."""
    if len(shape) == 4:
        return 0, shape[1], shape[2]
    tokens = shape[-2] if len(shape) > 1 else 1
    side = math.isqrt(tokens)
    if side * side == tokens:
        return 0, side, side
    return (1, side, side) if side * side + 1 == tokens else (0, 1, tokens)


def unpack(shape, packed):
    """Bits [frames, pixels, bytes] -> of the tokens by themselves [n, lead, C], and of the others [n, H, W, C]."""
    lead, rows, columns = grid(shape)
    bits = np.unpackbits(packed, axis=2, count=shape[-1], bitorder="little")
    bits = torch.from_numpy(bits).view(-1, lead + rows * columns, shape[-1])
    return bits[:, :lead], bits[:, lead:].unflatten(1, (rows, columns))


class EntropyModel(nn.Module):
    """Log-odds of bits, given those before them."""

    def __init__(self, channels, neighbors):
        super().__init__()
        self.neighbors = NEIGHBORS[:neighbors]
        self.bias = nn.Parameter(torch.zeros(5, channels))
        self.weights = nn.Parameter(torch.zeros(neighbors, channels, channels))
        self.own = nn.Parameter(torch.zeros(channels, channels))

    def before(self):
        return self.own.triu(1)

    def forward(self, lead, bits):
        """Bits as `unpack` gives them, as floats -> the log-odds of each."""
        _, rows, columns, _ = bits.shape
        odds = bits @ self.before() + self.bias[place(rows, columns)]
        around = F.pad(bits, (0, 0, REACH, REACH, REACH, 0))
        for (dy, dx), weights in zip(self.neighbors, self.weights):
            odds = odds + around[:, REACH + dy:REACH + dy + rows, REACH + dx:REACH + dx + columns] @ weights
        return lead @ self.before() + self.bias[4], odds

    def loss(self, lead, bits):
        """Natural units of information a bit."""
        lead, bits = lead.float(), bits.float()
        of_lead, of_bits = self(lead, bits)
        return F.binary_cross_entropy_with_logits(torch.cat([of_lead.flatten(), of_bits.flatten()]),
                                                  torch.cat([lead.flatten(), bits.flatten()]))

    @torch.no_grad()
    def quantize(self):
        """Makes all numbers those that a file has."""
        self.own.copy_(self.before())
        for parameter in self.parameters():
            parameter.copy_((UNIT * parameter).round().clamp(-LARGEST, LARGEST) / UNIT)

    @torch.no_grad()
    def largest_sum(self):
        sums = self.bias.abs().amax(0) + self.weights.abs().sum((0, 1)) + self.own.abs().sum(0)
        return round(float(UNIT * sums.max()))

    def tensors(self, name):
        """As EntropyModels::load wants them."""
        found = {"bias": self.bias, "weights": self.weights, "own": self.own}
        found = {f"{name}.{key}": (UNIT * value.detach()).round().numpy().astype(np.float16) for key, value in found.items()}
        found[f"{name}.neighbors"] = np.array(self.neighbors, np.float16).reshape(-1, 2)
        return found


def place(rows, columns):
    """Which bias a pixel has."""
    found = torch.zeros(rows, columns, dtype=torch.long)
    found[1:] += 1
    found[:, 1:] += 2
    return found


def fit(shape, packed, *, neighbors, steps, lr, seed, report=lambda step, bits: None):
    """The model of a map with such bits, whole numbers, and what a bit of the last tenth of the frames takes by it.

    `report` gets that after each tenth of the steps.
    """
    if len(packed) < 10:
        raise ValueError(f"{len(packed)} frames are too few, a tenth of them is held out; some thousand are best")
    torch.manual_seed(seed)
    lead, bits = unpack(shape, packed)
    count = len(bits) - len(bits) // 10
    model = EntropyModel(shape[-1], neighbors)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batch = max(1, min(count, BATCH // (lead.shape[1] + bits.shape[1] * bits.shape[2])))
    batches = iter(())
    for step in range(1, steps + 1):
        chosen = next(batches, None)
        if chosen is None:
            batches = iter(torch.randperm(count).split(batch))
            chosen = next(batches)
        loss = model.loss(lead[chosen], bits[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % max(1, steps // 10) == 0:
            report(step, bits_a_bit(model, lead[count:], bits[count:]))
    model.quantize()
    if model.largest_sum() > LARGEST_SUM:
        raise ValueError(f"the weights to a channel add up to {model.largest_sum()}, more than {LARGEST_SUM}: "
                         "take fewer neighbors or more frames")
    return model, bits_a_bit(model, lead[count:], bits[count:])


@torch.no_grad()
def bits_a_bit(model, lead, bits):
    return float(model.loss(lead, bits)) / math.log(2)


def save(path, model_hash, models):
    """Writes {map's name: its model} as an .entropy.safetensors file."""
    tensors = {}
    for name, model in models.items():
        tensors.update(model.tensors(name))
    safetensors.save(path, tensors, {"qcnet.role": "entropy", "qcnet.hash": f"{model_hash:016x}"})
