"""The models at full size, with seeded weights that no mistake could hide behind. `weights` must be in sys.path."""

import torch
import torchvision

from qcnet_train import models


def disturb_batch_norms(model):
    """Statistics of random images, then changed so that no two channels are alike."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if not norms:
        return
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0, 0.3)
        norm.momentum = None
    model.train()(torch.randn(4, 3, 96, 96))
    for norm in norms:
        norm.running_mean += 0.2 * torch.randn_like(norm.running_mean) * norm.running_var.sqrt()
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.4)


@torch.no_grad()
def torchvision_model(name):
    """Seeded; what torchvision initialises to 0, 1 or next to it gets values that a mistake would show in."""
    torch.manual_seed(1)
    model = getattr(torchvision.models, name)(weights=None)
    disturb_batch_norms(model)
    for key, parameter in model.named_parameters():
        if key.endswith("layer_scale"):
            torch.nn.init.uniform_(parameter, 0.1, 0.5)
        elif key == "class_token" or key.endswith("pos_embedding"):
            torch.nn.init.normal_(parameter, 0, 0.5)
        elif key.startswith("heads.head") or key.endswith("in_proj_bias"):
            torch.nn.init.normal_(parameter, 0, 0.1)
    for norm in model.modules():
        if isinstance(norm, torch.nn.LayerNorm):
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0, 0.3)
    model.spec = {"architecture": next(f for f in models.FAMILIES if name.startswith(f))}
    return model.eval()


@torch.no_grad()
def yolov3_tiny():
    """The published network's size; weights as they are initialised, normalizations disturbed."""
    torch.manual_seed(1)
    model = models.build({"architecture": "yolov3-tiny", "name": "yolov3-tiny"}, 80, 3)
    disturb_batch_norms(model)
    return model.eval()
