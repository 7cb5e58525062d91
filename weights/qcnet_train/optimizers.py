"""SGD with Nesterov momentum, or AdamW; weight decay only for what has several dimensions, but no thresholds or levels."""

import torch

NAMES = ("sgd", "adamw")
NOT_DECAYED = ("thresholds", "low", "high")  # of tokens they have two dimensions


def make(name, module, lr, weight_decay):
    decayed, others = [], []
    for key, parameter in module.named_parameters():
        is_weight = parameter.ndim > 1 and key.split(".")[-1] not in NOT_DECAYED
        (decayed if is_weight else others).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr)
    return torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True)
