"""ResNet with torchvision's module names: torchvision's own, and small ones of any depth and width.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


class SmallResNet(torchvision.models.ResNet):
    """torchvision's ResNet with a stem for small images: conv1 3x3, stride 1, no pooling.

    `width` is the channel count of the stem and of layer1; it doubles with each layer.
    """

    def __init__(self, block, depths, width, classes, channels):
        nn.Module.__init__(self)
        self._norm_layer = nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = width, 1, 1, 64
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity()
        for i, depth in enumerate(depths):
            layer = self._make_layer(block, width << i, depth, stride=1 if i == 0 else 2)
            setattr(self, f"layer{i + 1}", layer)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear((width << 3) * block.expansion, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def build(classes, channels, name="small", block="basic", depths=(2, 2, 2, 2), width=16):
    """`name` is "small" (then block, depths and width count) or a torchvision one such as "resnet50"."""
    if name == "small":
        return SmallResNet(BLOCKS[block], depths, width, classes, channels)
    if channels != 3:
        raise SystemExit(f"torchvision's {name} needs 3 input channels, the dataset has {channels}")
    return getattr(torchvision.models, name)(num_classes=classes)


def stages(model):
    chain = [(name, getattr(model, name)) for name in ("conv1", "bn1", "relu", "maxpool")]
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        chain += [(f"{layer}.{i}", block) for i, block in enumerate(getattr(model, layer))]
    return chain + [("avgpool", model.avgpool), ("flatten", nn.Flatten()), ("fc", model.fc)]


def cuts(model):
    found = {"relu": (3, "relu")}
    if not isinstance(model.maxpool, nn.Identity):
        found["maxpool"] = (4, "relu")
    length = 4
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        for i in range(len(getattr(model, layer))):
            length += 1
            found[f"{layer}.{i}"] = (length, "relu")
        found[layer] = (length, "relu")
    return found
