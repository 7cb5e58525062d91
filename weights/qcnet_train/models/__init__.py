"""Model families and their partition into head (node) and tail (server).

A family is a module with these functions; everything else in this package is family-agnostic:

    build(name, classes, channels, **options) -> nn.Module
    stages(model) -> [(dotted name, module)]   a chain whose composition is the model
    cuts(model)   -> {cut name: (number of stages in the head, "relu" | "identity")}
    metadata(model) -> {key: text}             only if the weights alone do not tell the model
    maps(model, cut) -> (name, ...)            only if several maps can cross a cut, or (cut None) leave the model
    in_basis(head, mix, sent, patch) -> (head, channels)
                                               only if its maps can be had in another basis; None at cuts where not
    TASK = "detection"                         only if it is not "classification"; see qcnet_train/tasks

What passes between two stages, and so between head and tail, is a tensor, or where several cross a cut a
tuple of them, the cut's own first; a model with several outputs gives a tuple too.

The dotted names are the model's own state_dict prefixes, so that a head's and a tail's tensors keep
the names they have in the whole model.

A specification with "binary_head" is of a model whose head is binary (see binary_head.py); it has one cut alone.
"""

import copy
import inspect
from collections import OrderedDict

from torch import nn

from ..maps import members
from . import convnext, resnet, vit, yolov3_tiny
from .autocast import compute_type
from .basis import Patches, Pixels
from .binary_head import BinaryHead, BinaryHeaded
from .depthwise import train_fast

FAMILIES = {"resnet": resnet, "vit": vit, "convnext": convnext, "yolov3-tiny": yolov3_tiny}
BINARY_HEADED = ("resnet", "convnext")  # what gives one map [N, C, H, W] at every cut


def specification(architecture, name, settings, suggested=None):
    """A specification from texts "option=value"; the family's build() says what there is and of what type.

    `suggested` options go before the family's defaults.
    """
    defaults = {key: parameter.default for key, parameter in
                inspect.signature(FAMILIES[architecture].build).parameters.items()
                if key not in ("classes", "channels", "name")}
    defaults.update(suggested or {})
    return {"architecture": architecture, "name": name,
            **set_options(f"{architecture} '{name}'", defaults if name == "small" else {}, settings)}


def as_options(spec):
    """The options of train.py that ask for a specification, or for the part of one that is known."""
    known = {"--architecture": spec.get("architecture"), "--model": spec.get("name")}
    words = [f"{option} {value}" for option, value in known.items() if value]
    settings = [f"{key}={','.join(map(str, value)) if isinstance(value, tuple) else value}" for key, value in spec.items()
                if key not in ("architecture", "name", "binary_head")]
    return " ".join([*words, *(["--set", *settings] if settings else [])])


def set_options(what, defaults, settings):
    """`defaults`, {option: value}, with what texts "option=value" say instead."""
    options = dict(defaults)
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in defaults:
            known = ", ".join(f"{k}={v}" for k, v in defaults.items()) or "none"
            raise SystemExit(f"--set {setting}: {what} has no such option (known: {known})")
        try:
            options[key] = parse_as(defaults[key], value)
            if key != "masks" and not all(isinstance(part, str) or part > 0 for part in members(options[key])):
                raise ValueError
        except ValueError:
            raise SystemExit(f"--set {setting}: not a value such as {defaults[key]}") from None
    return options


def parse_as(example, text):
    """Text as a value of the example's type; a tuple's length is free."""
    if isinstance(example, tuple):
        return tuple(type(example[0])(part) for part in text.split(","))
    return type(example)(text)


def build(spec, classes, channels):
    """Builds a model from its specification, {"architecture": family, "name": ..., **options}."""
    options = dict(spec)
    family, binary = options.pop("architecture"), options.pop("binary_head", None)
    if family not in FAMILIES:
        raise SystemExit(f"unknown architecture '{family}' (known: {', '.join(sorted(FAMILIES))})")
    try:
        model = FAMILIES[family].build(classes=classes, channels=channels, **options)
    except Exception as error:  # whatever torch makes of such sizes
        raise SystemExit(f"{as_options(spec)}: there is no such model: {error}") from None
    model.spec = {"architecture": family, **options}
    if binary:
        sizes = dict(binary)
        model = with_binary_head(model, sizes.pop("cut"), BinaryHead(channels, **sizes))
    model.spec = dict(spec)
    for module in model.modules():
        # On a CPU torch 1.13 neither normalizes bf16 with fp32 weights nor, in evaluation, attends to fp32 tokens under
        # autocast: a normalization takes fp32 and gives bf16 there.
        if isinstance(module, nn.LayerNorm):
            module.register_forward_pre_hook(takes_float)
            module.register_forward_hook(gives_compute_type)
    train_fast(model)
    return model


def takes_float(module, inputs):
    """A hook that has a name, as lambdas cannot be sent to other ranks."""
    return (inputs[0].float(),)


def gives_compute_type(module, inputs, output):
    return output.to(compute_type(output))


def with_binary_head(model, cut, binary):
    """The binary head before the tail of `model`, whose modules it shares."""
    if model.spec["architecture"] not in BINARY_HEADED:
        raise SystemExit(f"a binary head is for {' and '.join(BINARY_HEADED)}, not for {model.spec['architecture']}")
    headed = BinaryHeaded(binary, partition(model, cut)[1], {cut: cuts(model)[cut]})
    headed.spec = {**model.spec, "binary_head": {"cut": cut, **binary.sizes}}
    return headed


def cuts(model):
    """All cut names of a model, each with the activation that the cut follows."""
    if isinstance(model, BinaryHeaded):
        return model.cuts
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


def partition(model, cut, patch=1):
    """Splits `model` at `cut` into (head, tail) that share its modules: tail(head(x)) == model(x).

    With a `patch` what crosses is not a map's pixels but patches of patch x patch of them (basis.Patches).
    """
    known = cuts(model)
    if cut not in known:
        raise SystemExit(f"cut '{cut}' does not exist (known: {', '.join(known)})")
    if isinstance(model, BinaryHeaded):
        return model.parts()
    family = FAMILIES[model.spec["architecture"]]
    length, chain = family.cuts(model)[cut][0], family.stages(model)
    head, tail = chain[:length], chain[length:]
    if patch > 1:
        head, tail = [*head, ("patches", Patches(patch))], [("pixels", Pixels(patch)), *tail]
    return nest(head), nest(tail)


def in_basis(model, cut, patch, mix, sent):
    """(a head whose map has mix z, [C, C], for each pixel's channels z, how many channels that map has).

    It has no layer more than the model's own. Only the first `sent` of its channels are needed; where the others can be left
    out they are, and it does less work. With a `patch` z is a patch's, and C = P P times the channels (see basis.py for the
    work). Exits where a node would have to multiply by `mix`.
    """
    family = FAMILIES[model.spec["architecture"]]
    if not isinstance(model, BinaryHeaded) and hasattr(family, "in_basis"):
        made = family.in_basis(copy.deepcopy(partition(model, cut)[0]), mix, sent, patch)
        if made is not None:
            return made
    of_patches = f", of patches of {patch} x {patch} pixels," if patch > 1 else ""
    raise SystemExit(f"cut '{cut}': its map{of_patches} cannot be had in another basis for free, because what the head ends in is not "
                     "linear; it can be at a ViT's blocks, a ConvNeXt's downsamplings (features.2, .4, .6), a ResNet's sums "
                     "(layer2.0.add) and YOLOv3-Tiny's convolutions (layers.8.bn)")


def nest(chain):
    """Sequential over `chain` whose submodules sit at their dotted names ("layer1.0" -> layer1 -> 0)."""
    groups = OrderedDict()
    for name, module in chain:
        first, _, rest = name.partition(".")
        groups.setdefault(first, []).append((rest, module))
    return nn.Sequential(OrderedDict(
        (name, members[0][1] if members[0][0] == "" else nest(members))
        for name, members in groups.items()))
