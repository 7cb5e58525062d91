"""ConvNeXts: torchvision's, and small ones for small images."""

import torchvision
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt

from .basis import mix_convolution
from .published import published


def build(classes, channels, name="small", patch=2, depths=(2, 2, 4, 2), width=24):
    """`name` is "small" (then the other options count) or a torchvision one such as "convnext_tiny"."""
    if channels != 3:
        raise SystemExit(f"a ConvNeXt here needs 3 input channels, the dataset has {channels}")
    if name != "small":
        return published(torchvision.models.convnext, name, classes)
    last = len(depths) - 1
    blocks = [CNBlockConfig(width << i, None if i == last else width << (i + 1), depth)
              for i, depth in enumerate(depths)]
    model = ConvNeXt(blocks, layer_scale=0.1, num_classes=classes)  # 1e-6 is for depth, and learns slowly
    model.features[0][0] = nn.Conv2d(3, width, patch, patch)
    nn.init.trunc_normal_(model.features[0][0].weight, std=0.02)
    nn.init.zeros_(model.features[0][0].bias)
    return model


def stages(model):
    chain = []
    for i, feature in enumerate(model.features):
        inner = [(f"features.{i}.{b}", block) for b, block in enumerate(feature)] if i % 2 else []
        chain += inner or [(f"features.{i}", feature)]
    return chain + [("avgpool", model.avgpool), ("classifier", model.classifier)]


def cuts(model):
    found, length = {}, 0
    for i, feature in enumerate(model.features):
        if i % 2:
            for b in range(len(feature)):
                length += 1
                found[f"features.{i}.{b}"] = (length, "identity")
        else:
            length += 1
        found[f"features.{i}"] = (length, "identity")
    return found


def in_basis(head, mix, sent, patch):
    """Behind a downsampling, whose convolution is the last layer, that gives the other basis at once."""
    last = list(head.features.children())[-1]
    if len(last) != 2 or not isinstance(last[1], nn.Conv2d):
        return None
    mix_convolution(last[1], mix[:sent], patch)
    return head, sent
