"""The methods at a cut: what each node and server consists of, what of it is trained, by which stage, and from what on.

Images go through head, send, restore and tail: the map at the cut, its bits, the map again, the answer.
"""

import copy
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable

import torch
from torch import nn

from . import compensator
from .compensator import CodeDequantizer, Dequantizer, LearnedDequantizer, LinearDequantizer, restorer
from .components import Components
from .sender import Codes, Comparison, ComponentCodes, Encoder, LearnedComparison


@dataclass
class Cut:
    """What methods build on: a base model's halves, the quantizer of its map (of several: tuples), a QCNet's sizes.

    `even(bits)` gives a quantizer of evenly spaced levels, `components()` a map's principal components; without them
    they are to be loaded, with `rate` bits a feature. `in_basis(mix, sent)` gives the head of these (models.in_basis).
    """
    head: nn.Module
    tail: nn.Module
    quantizer: Any
    activation: str
    shape: Any
    width: Any
    blocks: int
    block: str
    even: Callable = None
    components: Callable = None
    rate: float = 1
    in_basis: Callable = None


# Senders and restorers of a cut. A None is a float map that crosses as it is.

def comparison(cut):
    return restorer(lambda q: Comparison(q.thresholds), cut.quantizer)


def learned_comparison(cut):
    return restorer(lambda q: LearnedComparison(q.thresholds, q.scale), cut.quantizer)


def encoder(cut):
    return restorer(Encoder.like, cut.quantizer)


def codes(bits, cut):
    return restorer(lambda q: Codes(q.low, q.high, bits), cut.even(bits) if cut.even else cut.quantizer)


def dequantizer(cut):
    return restorer(Dequantizer, cut.quantizer)


def learned_dequantizer(cut):
    return restorer(LearnedDequantizer, cut.quantizer)


def code_dequantizer(bits, cut):
    return restorer(lambda q: CodeDequantizer(q, bits), cut.even(bits) if cut.even else cut.quantizer)


def components(cut):
    return cut.components() if cut.components else Components.like(cut.quantizer, cut.rate)


def component_codes(cut):
    return ComponentCodes(components(cut))


def linear_dequantizer(cut):
    return LinearDequantizer(components(cut))


def network(make, cut):
    """QCNets that start from what make(quantizer) dequantizes."""
    def sized(quantizer, shape, width):
        return compensator.compensator(make(quantizer), quantizer.scale, cut.activation, shape, width, cut.blocks,
                                       cut.block)
    return restorer(sized, cut.quantizer, cut.shape, cut.width)


qcnet = partial(network, Dequantizer)
decoder = partial(network, LearnedDequantizer)  # its bits are an encoder's, which learns what they mean


def component_qcnet(cut):
    return network(lambda quantizer: linear_dequantizer(cut), cut)


@dataclass(frozen=True)
class Method:
    send: Callable
    restore: Callable
    trains: tuple = ()  # of "head", "send", "restore", "tail"
    stage: str = None   # of stages.Stages
    start: str = None   # the method whose training goes on

    @property
    def own_node(self):
        """Whether its node is not the one that all methods of the quantizer's bits share."""
        return self.send not in (comparison, None)

    @property
    def feed(self):
        """What the trained modules read: "images", the "map", or the node's "bits", which may be lost on the way."""
        if "head" in self.trains:
            return "images"
        return "map" if self.send is None or "send" in self.trains else "bits"


def of_codes(bits):
    parts = partial(codes, bits), partial(code_dequantizer, bits)
    return {f"{bits}-bit": Method(*parts), f"{bits}-bit-finetuned": Method(*parts, ("tail",), "finetune")}


METHODS = {
    "qcnet-mse": Method(comparison, qcnet, ("restore",), "reconstruct"),
    "qcnet": Method(comparison, qcnet, ("restore",), "distil", "qcnet-mse"),
    "lloyd-max-finetuned": Method(comparison, dequantizer, ("tail",), "finetune"),
    "qcnet-finetuned": Method(comparison, qcnet, ("restore", "tail"), "finetune", "qcnet-mse"),
    "control": Method(None, None, ("tail",), "finetune"),
    "autoencoder-mse": Method(encoder, decoder, ("send", "restore"), "reconstruct"),
    "autoencoder": Method(encoder, decoder, ("send", "restore"), "distil", "autoencoder-mse"),
    "autoencoder-finetuned": Method(encoder, decoder, ("send", "restore", "tail"), "finetune", "autoencoder-mse"),
    "qat": Method(learned_comparison, learned_dequantizer, ("head", "send", "restore", "tail"), "finetune"),
    **of_codes(2), **of_codes(4), **of_codes(8),
    "klt": Method(component_codes, linear_dequantizer),
    "klt-finetuned": Method(component_codes, linear_dequantizer, ("tail",), "finetune"),
    "klt-qcnet-mse": Method(component_codes, component_qcnet, ("restore",), "reconstruct"),
    "klt-qcnet": Method(component_codes, component_qcnet, ("restore",), "distil", "klt-qcnet-mse"),
    "klt-qcnet-finetuned": Method(component_codes, component_qcnet, ("restore", "tail"), "finetune", "klt-qcnet-mse")}

DEFAULT = ("qcnet-mse", "qcnet", "lloyd-max-finetuned", "qcnet-finetuned", "control")


def node_of(name):
    """The node that a method needs: "" for that of the quantizer's bits, else the first method of those that send the same."""
    method = METHODS[name]
    if not method.own_node or "send" in method.trains:
        return name if method.own_node else ""
    return next(other for other, like in METHODS.items() if like.send is method.send)


class AsDeployed(nn.Sequential):
    """What is trained is what a node runs: in fp32 whatever autocast says, its batch normalizations keep their statistics."""

    def train(self, mode=True):
        return super().train(False)

    def forward(self, images):
        with torch.autocast(images.device.type, enabled=False):
            return super().forward(images)


@dataclass
class Parts:
    """The modules of a method; without `send` and `restore` the map crosses as floats."""
    head: nn.Module
    send: nn.Module
    restore: nn.Module
    tail: nn.Module

    def __call__(self, images):
        return self.after_head(self.head(images))

    def after_head(self, z):
        return self.tail(self.restore(self.send(z)) if self.send else z)

    def chain(self, feed, stage):
        """One module of those that a stage runs, from what it is fed on."""
        chain = OrderedDict(head=AsDeployed(self.head), send=self.send, restore=self.restore, tail=self.tail)
        for name in {"images": (), "map": ("head",), "bits": ("head", "send")}[feed]:
            del chain[name]
        if stage != "finetune":  # that it is a frozen tail which goes behind it is the stage's business
            del chain["tail"]
            if feed == "bits":
                return self.restore
        return nn.Sequential(OrderedDict((name, part) for name, part in chain.items() if part is not None))

    def eval(self):
        for part in (self.head, self.send, self.restore, self.tail):
            if part is not None:
                part.eval()
        return self


def assemble(method, cut):
    """A method's parts before training. What is random in them depends on torch's seed alone."""
    def own(name, part):
        return copy.deepcopy(part).requires_grad_(True) if name in method.trains else part
    return Parts(own("head", cut.head), method.send and method.send(cut),
                 method.restore and method.restore(cut), own("tail", cut.tail))


def deployed(cut, parts):
    """The parts as a node and a server have them: a basis is in the head's weights, rounded as files hold them."""
    if not isinstance(parts.send, ComponentCodes):
        return parts
    head, channels = cut.in_basis(parts.send.mix, parts.send.sent)
    return Parts(compensator.round_to_half(head), parts.send.folded(channels), parts.restore, parts.tail)


def state(method, parts):
    """What a file of a run keeps of the parts: all but the base model's and what its quantizer says."""
    return {"head": parts.head.state_dict() if "head" in method.trains else None,
            "send": parts.send.state_dict() if method.own_node else None,
            "compensator": None if method.restore in (None, dequantizer) else parts.restore.state_dict(),
            "tail": parts.tail.state_dict() if "tail" in method.trains else None}


def load(parts, saved, names=("head", "send", "restore", "tail")):
    """Loads what `state` kept; files from before there were senders know no head and no sender."""
    for name in names:
        if kept := saved.get("compensator" if name == "restore" else name):
            getattr(parts, name).load_state_dict(kept)
    return parts
