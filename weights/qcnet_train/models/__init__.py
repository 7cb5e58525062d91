"""Model families and their partition into head (node) and tail (server).

A family is a module with these functions; everything else in this package is family-agnostic:

    build(name, classes, channels, **options) -> nn.Module
    stages(model) -> [(dotted name, module)]   a chain whose composition is the model
    cuts(model)   -> {cut name: (number of stages in the head, "relu" | "identity")}
    metadata(model) -> {key: text}             only if the weights alone do not tell the model

The dotted names are the model's own state_dict prefixes, so that a head's and a tail's tensors keep
the names they have in the whole model.
"""

from collections import OrderedDict

from torch import nn

from . import convnext, resnet, vit

FAMILIES = {"resnet": resnet, "vit": vit, "convnext": convnext}


def build(spec, classes, channels):
    """Builds a model from its specification, {"architecture": family, "name": ..., **options}."""
    options = dict(spec)
    family = options.pop("architecture")
    if family not in FAMILIES:
        raise SystemExit(f"unknown architecture '{family}' (known: {', '.join(sorted(FAMILIES))})")
    model = FAMILIES[family].build(classes=classes, channels=channels, **options)
    model.spec = dict(spec)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):  # torch 1.13 cannot normalize bf16 with fp32 weights on a CPU
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
    return model


def cuts(model):
    """All cut names of a model, each with the activation that the cut follows."""
    family = FAMILIES[model.spec["architecture"]]
    return {name: activation for name, (_, activation) in family.cuts(model).items()}


def metadata(model):
    """What a file must say about a model because its weights do not."""
    family = FAMILIES[model.spec["architecture"]]
    return family.metadata(model) if hasattr(family, "metadata") else {}


def partition(model, cut):
    """Splits `model` at `cut` into (head, tail) that share its modules: tail(head(x)) == model(x)."""
    family = FAMILIES[model.spec["architecture"]]
    known = family.cuts(model)
    if cut not in known:
        raise SystemExit(f"cut '{cut}' does not exist (known: {', '.join(known)})")
    length = known[cut][0]
    chain = family.stages(model)
    return nest(chain[:length]), nest(chain[length:])


def nest(chain):
    """Sequential over `chain` whose submodules sit at their dotted names ("layer1.0" -> layer1 -> 0)."""
    groups = OrderedDict()
    for name, module in chain:
        first, _, rest = name.partition(".")
        groups.setdefault(first, []).append((rest, module))
    return nn.Sequential(OrderedDict(
        (name, members[0][1] if members[0][0] == "" else nest(members))
        for name, members in groups.items()))
