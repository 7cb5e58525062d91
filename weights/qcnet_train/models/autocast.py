"""What autocast on a CPU leaves to us."""

import torch


def compute_type(x):
    """What products of `x` are made in: that of autocast where it is on."""
    return torch.get_autocast_cpu_dtype() if x.device.type == "cpu" and torch.is_autocast_cpu_enabled() else x.dtype
