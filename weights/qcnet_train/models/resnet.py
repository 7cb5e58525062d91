"""ResNet with torchvision's module names: torchvision's own, and small ones of any depth and width.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from .basis import mix_normalized
from .published import published

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
    if len(depths) != 4:
        raise SystemExit(f"--set depths: a ResNet has four stages, not {len(depths)}")
    if name == "small":
        return SmallResNet(BLOCKS[block], depths, width, classes, channels)
    if channels != 3:
        raise SystemExit(f"torchvision's {name} needs 3 input channels, the dataset has {channels}")
    return published(torchvision.models.resnet, name, classes)


class Sum(nn.Module):
    """A block up to its sum, the last ReLU's input."""

    def __init__(self, block):
        super().__init__()
        for name, module in block.named_children():
            self.add_module(name, module)

    def convolutions(self):
        """(convolution, normalization) of each of the branch's, in order."""
        return [(getattr(self, f"conv{i}"), getattr(self, f"bn{i}")) for i in (1, 2, 3) if hasattr(self, f"conv{i}")]

    def forward(self, x):
        first, *others = self.convolutions()
        branch = first[1](first[0](x))
        for conv, bn in others:
            branch = bn(conv(self.relu(branch)))
        return branch + self.downsample(x)


def stages(model):
    """A block whose shortcut is a convolution is two stages, as between them is a cut; the second has no weights."""
    chain = [(name, getattr(model, name)) for name in ("conv1", "bn1", "relu", "maxpool")]
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        for i, block in enumerate(getattr(model, layer)):
            name = f"{layer}.{i}"
            chain += [(name, block)] if block.downsample is None else [(name, Sum(block)), (f"{name}_relu", nn.ReLU())]
    return chain + [("avgpool", model.avgpool), ("flatten", nn.Flatten()), ("fc", model.fc)]


def cuts(model):
    """`layer2.0.add` is the sum before the ReLU, in the first block of a layer, whose shortcut is a convolution."""
    found, length = {"relu": (3, "relu")}, 4
    if not isinstance(model.maxpool, nn.Identity):
        found["maxpool"] = (4, "relu")
    for layer in ("layer1", "layer2", "layer3", "layer4"):
        for i, block in enumerate(getattr(model, layer)):
            if block.downsample is not None:
                length += 1
                found[f"{layer}.{i}.add"] = (length, "identity")
            length += 1
            found[f"{layer}.{i}"] = (length, "relu")
        found[layer] = (length, "relu")
    return found


def in_basis(head, mix, sent, patch):
    """Where the map is the sum of two convolutions' outputs."""
    last = [head, *list(head.children())[-1].children()][-1]
    if not isinstance(last, Sum):
        return None
    for conv, bn in (last.convolutions()[-1], last.downsample):
        mix_normalized(conv, bn, mix[:sent], patch)
    return head, sent
