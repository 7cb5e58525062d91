"""Vision Transformers: torchvision's, and small ones for small images."""

import torch
import torchvision
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from .basis import mix_linear
from .published import published


class Tokens(nn.Module):
    """Patches [N, C, H, W] to tokens [N, 1 + H W, C]: class token first, position embedding added."""

    def __init__(self, model):
        super().__init__()
        self.class_token, self.pos_embedding = model.class_token, model.encoder.pos_embedding

    def forward(self, patches):
        tokens = patches.flatten(2).transpose(1, 2)
        return torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], 1) + self.pos_embedding


class ClassToken(nn.Module):
    """[N, T, C] -> [N, C]."""

    def forward(self, tokens):
        return tokens[:, 0]


def build(classes, channels, name="small", size=32, patch=4, depth=6, heads=4, width=128):
    """`name` is "small" (then the other options count) or a torchvision one such as "vit_b_16"."""
    if channels != 3:
        raise SystemExit(f"a ViT here needs 3 input channels, the dataset has {channels}")
    if name == "small":
        return VisionTransformer(size, patch, depth, heads, width, 2 * width, num_classes=classes)
    return published(torchvision.models.vision_transformer, name, classes)


def stages(model):
    chain = [("conv_proj", model.conv_proj), ("tokens", Tokens(model))]
    chain += [(f"encoder.layers.{name}", block) for name, block in model.encoder.layers.named_children()]
    return chain + [("encoder.ln", model.encoder.ln), ("class_token", ClassToken()), ("heads", model.heads)]


def cuts(model):
    found = {"conv_proj": (1, "identity")}
    for i, name in enumerate(dict(model.encoder.layers.named_children())):
        found[f"encoder.layers.{name}"] = (3 + i, "identity")
    return found


@torch.no_grad()
def in_basis(head, mix, sent, patch):
    """The residual stream of all blocks in another basis: of mean 0, which is what layer normalizations make of it anyway.

    All of its components are needed on the way, whatever is sent of them. What adds to the stream is multiplied by `mix`,
    what reads it, behind a normalization, by its transpose (as Ashkboos et al., "SliceGPT", ICLR 2024, do to prune).
    """
    if not hasattr(head, "tokens") or patch > 1:
        return None

    def read(norm, weight, bias):
        bias += weight @ norm.bias
        weight.copy_(weight * norm.weight @ mix.T)
        norm.weight.fill_(1), norm.bias.fill_(0)
    mix_linear(head.conv_proj, mix)
    for embedding in (head.tokens.class_token, head.tokens.pos_embedding):
        embedding.copy_(embedding @ mix.T)
    for block in head.encoder.layers.children() if hasattr(head, "encoder") else ():
        attention, mlp = block.self_attention, block.mlp
        read(block.ln_1, attention.in_proj_weight, attention.in_proj_bias)
        mix_linear(attention.out_proj, mix)
        read(block.ln_2, mlp[0].weight, mlp[0].bias)
        mix_linear(mlp[3], mix)
    return head, len(mix)


def metadata(model):
    block = next(model.encoder.layers.children())
    return {"qcnet.heads": str(block.self_attention.num_heads)}
