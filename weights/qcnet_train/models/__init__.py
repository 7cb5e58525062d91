"""Model families and their partition into head (node) and tail (server).

A family is a module with these functions; everything else in this package is family-agnostic:

    build(name, classes, channels, **options) -> nn.Module
    stages(model) -> [(dotted name, module)]   a chain whose composition is the model
    cuts(model)   -> {cut name: (number of stages in the head, "relu" | "identity")}
    metadata(model) -> {key: text}             only if the weights alone do not tell the model
    maps(model, cut) -> (name, ...)            only if several maps can cross a cut, or (cut None) leave the model
    TASK = "detection"                         only if it is not "classification"; see qcnet_train/tasks

What passes between two stages, and so between head and tail, is a tensor, or where several cross a cut a
tuple of them, the cut's own first; a model with several outputs gives a tuple too.

The dotted names are the model's own state_dict prefixes, so that a head's and a tail's tensors keep
the names they have in the whole model.
"""

import inspect
from collections import OrderedDict

import torch
from torch import nn

from . import convnext, resnet, vit, yolov3_tiny

FAMILIES = {"resnet": resnet, "vit": vit, "convnext": convnext, "yolov3-tiny": yolov3_tiny}


def specification(architecture, name, settings, suggested=None):
    """A specification from texts "option=value"; the family's build() says what there is and of what type.

    `suggested` options go before the family's defaults.
    """
    defaults = {key: parameter.default for key, parameter in
                inspect.signature(FAMILIES[architecture].build).parameters.items()
                if key not in ("classes", "channels", "name")}
    defaults.update(suggested or {})
    spec = {"architecture": architecture, "name": name, **(defaults if name == "small" else {})}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in spec or key not in defaults:
            known = ", ".join(f"{k}={v}" for k, v in defaults.items()) if name == "small" else "none"
            raise SystemExit(f"--set {setting}: {architecture} '{name}' has no such option (known: {known})")
        try:
            spec[key] = parse_as(defaults[key], value)
        except ValueError:
            raise SystemExit(f"--set {setting}: not a value such as {defaults[key]}") from None
    return spec


def parse_as(example, text):
    """Text as a value of the example's type; a tuple's length is free."""
    if isinstance(example, tuple):
        return tuple(type(example[0])(part) for part in text.split(","))
    return type(example)(text)


def build(spec, classes, channels):
    """Builds a model from its specification, {"architecture": family, "name": ..., **options}."""
    options = dict(spec)
    family = options.pop("architecture")
    if family not in FAMILIES:
        raise SystemExit(f"unknown architecture '{family}' (known: {', '.join(sorted(FAMILIES))})")
    model = FAMILIES[family].build(classes=classes, channels=channels, **options)
    model.spec = dict(spec)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(),))
            module.register_forward_hook(lambda _, inputs, output: as_autocast(output))
    return model


def as_autocast(normalized):
    """What follows a normalization, in the type that it would be cast to.

    On a CPU torch 1.13 neither normalizes bf16 with fp32 weights nor, in evaluation, attends to fp32 tokens under
    autocast: a normalization takes fp32 and gives bf16 there.
    """
    if torch.is_autocast_cpu_enabled():
        return normalized.to(torch.get_autocast_cpu_dtype())
    return normalized


def cuts(model):
    """All cut names of a model, each with the activation that the cut follows."""
    family = FAMILIES[model.spec["architecture"]]
    return {name: activation for name, (_, activation) in family.cuts(model).items()}


def maps(model, cut=None):
    """The names of the maps that cross a cut, or of the model's outputs, in the order of their tuple."""
    family = FAMILIES[model.spec["architecture"]]
    return family.maps(model, cut) if hasattr(family, "maps") else (cut,)


def task(architecture):
    """What models of this family are for: a name in qcnet_train/tasks."""
    return getattr(FAMILIES[architecture], "TASK", "classification")


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
