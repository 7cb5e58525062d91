"""SGD with Nesterov momentum, or AdamW; weight decay only for the weights of convolutions and linear layers."""

import torch

NAMES = ("sgd", "adamw")


def make(name, module, lr, weight_decay):
    parameters = list(module.parameters())
    groups = [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
              {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr)
    return torch.optim.SGD(groups, lr, momentum=0.9, nesterov=True)
