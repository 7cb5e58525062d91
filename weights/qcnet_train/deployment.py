"""The deployment files: what goes into a node's file and into a server's, and reading them back.

Weights of rank 2 and more are float16, everything else float32. Tensors of the head (node) and of the
tail (server) keep the model's own names; everything of qcnet's own begins with "qcnet.".
"""

import hashlib

import numpy as np
import torch

from . import models, safetensors
from .compensator import Compensator, ConvCompensator, Dequantizer, TokenCompensator
from .quantizer import Quantizer, binarize

PREFIX = "qcnet.compensator."


# Parts of a model that are no modules of their own there: the name in a head or tail -> the model's.
RENAMED = {"tokens.class_token": "class_token", "tokens.pos_embedding": "encoder.pos_embedding"}


def as_arrays(state, prefix=""):
    """A state_dict as numpy arrays of the stored types, without BN's batch counters."""
    arrays = {}
    for name, tensor in state.items():
        name = RENAMED.get(name, name)
        if not name.endswith("num_batches_tracked"):
            array = tensor.detach().cpu().float().numpy()
            arrays[prefix + name] = array.astype(np.float16 if array.ndim >= 2 else np.float32)
    return arrays


def fingerprint(head, thresholds, cut):
    """16 hex digits that tie a node to its servers: the first 8 bytes of a SHA-256.

    It runs over the cut's name, then over head tensors and "qcnet.thresholds" in order of their names:
    for each the name (UTF-8) and the bytes as stored in the file.
    """
    digest = hashlib.sha256(cut.encode())
    for name, array in sorted({**head, "qcnet.thresholds": thresholds}.items()):
        digest.update(name.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def numbers(values):
    return " ".join(f"{v:g}" for v in values)


def describe(dataset, name, role, architecture, extra):
    """Metadata that every role carries."""
    height, width = dataset.size
    return {
        "qcnet.format": "1", "qcnet.role": role, "qcnet.architecture": architecture, "qcnet.name": name,
        "qcnet.input": f"{height} {width} {dataset.channels}", "qcnet.resize": str(dataset.resize),
        "qcnet.mean": numbers(dataset.mean), "qcnet.std": numbers(dataset.std),
        "qcnet.classes": "\n".join(dataset.classes), "qcnet.dataset": dataset.name, **extra}


class Deployment:
    """A base model's cut, ready to be written: one node file and a server file for each method."""

    def __init__(self, dataset, model, cut, quantizer, name, unpartitioned):
        self.dataset, self.model, self.cut, self.name = dataset, model, cut, name
        self.head, self.tail = models.partition(model, cut)
        self.quantizer, self.activation = quantizer, models.cuts(model)[cut]
        self.input = next(dataset.batches("test", 1))[0]
        with torch.no_grad():
            self.map = self.head(self.input)
        self.bits = binarize(self.map, quantizer.thresholds)
        self.head_arrays = as_arrays(self.head.state_dict())
        self.thresholds = quantizer.thresholds.numpy()
        feature = self.map.shape[1:] if self.map.ndim == 3 else (*self.map.shape[2:], self.map.shape[1])
        self.about = {
            "qcnet.cut": cut, "qcnet.hash": fingerprint(self.head_arrays, self.thresholds, cut),
            "qcnet.feature": " ".join(map(str, feature)), "qcnet.activation": self.activation,
            "qcnet.accuracy.unpartitioned": f"{unpartitioned:g}"}
        if "conv1.weight" in self.head_arrays:  # a ResNet's stem: behind a 7x7 one stands a pool without weights
            self.about["qcnet.stem"] = "x".join(map(str, self.head_arrays["conv1.weight"].shape[2:]))
        self.about.update(models.metadata(model))

    def metadata(self, role, **extra):
        return describe(self.dataset, self.name, role, self.model.spec["architecture"],
                        {**self.about, **{f"qcnet.{key}": value for key, value in extra.items()}})

    def write_node(self, path, training):
        tensors = {**self.head_arrays, "qcnet.thresholds": self.thresholds,
                   "qcnet.range": self.quantizer.range.numpy(),
                   "qcnet.check.input": self.input.numpy(),
                   "qcnet.check.map": self.map.numpy().astype(np.float16)}
        safetensors.save(path, tensors, self.metadata("node", training=training))

    def write_server(self, path, method, restore, tail, accuracy, training):
        """`restore` is a Dequantizer or a Compensator; both it and `tail` in eval mode."""
        with torch.no_grad():
            logits = tail(restore(self.bits))
        q = self.quantizer
        tensors = {**as_arrays(tail.state_dict()), "qcnet.range": q.range.numpy(),
                   "qcnet.levels": torch.stack([q.low, q.high]).numpy(),
                   "qcnet.check.map": self.bits.numpy().astype(np.float16),
                   "qcnet.check.output": logits.numpy()}
        if isinstance(restore, Compensator):
            learned = {k: v for k, v in restore.state_dict().items() if k not in ("low", "high", "scale")}
            tensors.update(as_arrays(learned, PREFIX))
            tensors[PREFIX + "scale"] = q.scale.numpy()
        about = self.metadata("server", method=method, accuracy=f"{accuracy:g}", training=training)
        if isinstance(restore, TokenCompensator):
            about[PREFIX + "heads"] = str(restore.heads)
        safetensors.save(path, tensors, about)


def write_model(path, dataset, model, name, accuracy):
    """The whole unpartitioned model."""
    with torch.no_grad():
        sample = next(dataset.batches("test", 1))[0]
        tensors = {**as_arrays(model.state_dict()), "qcnet.check.input": sample.numpy(),
                   "qcnet.check.output": model(sample).numpy()}
    safetensors.save(path, tensors, describe(dataset, name, "model", model.spec["architecture"],
                                             {"qcnet.accuracy.unpartitioned": f"{accuracy:g}",
                                              **models.metadata(model)}))


def read_part(path, part):
    """Loads a file's tensors into `part` (head or tail); returns (qcnet's own tensors, metadata)."""
    arrays, metadata = safetensors.load(path)
    own_names = {theirs: ours for ours, theirs in RENAMED.items()}
    tensors = {own_names.get(name, name): torch.from_numpy(array.astype(np.float32))
               for name, array in arrays.items()}
    own = {name: tensors.pop(name) for name in list(tensors) if name.startswith("qcnet.")}
    missing, unexpected = part.load_state_dict(tensors, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"{path}: missing {missing}, unexpected {unexpected}")
    return own, metadata


def read_restore(own, about):
    """The Dequantizer or Compensator that a server file's own tensors and metadata describe."""
    low, high = own["qcnet.levels"]
    if PREFIX + "scale" not in own:
        return Dequantizer(Quantizer(low, low, high, None, own["qcnet.range"])).eval()
    quantizer = Quantizer(low, low, high, own[PREFIX + "scale"], own["qcnet.range"])
    learned = {name[len(PREFIX):]: value for name, value in own.items() if name.startswith(PREFIX)}
    del learned["scale"]
    blocks = len({name.split(".")[1] for name in learned if name.startswith("blocks.")})
    if "positions" in learned:
        _, tokens, width = learned["positions"].shape
        restore = TokenCompensator(quantizer, tokens, width, blocks, int(about[PREFIX + "heads"]))
    else:
        width = learned["input.conv.weight"].shape[0]
        restore = ConvCompensator(quantizer, about["qcnet.activation"], width, blocks)
    restore.load_state_dict(learned, strict=False)
    return restore.eval()


def server_forward(node_path, server_path, model):
    """images -> logits through a node's and a server's file; both checks are verified first.

    `model` only lends its structure: every weight comes from the files.
    """
    head, tail = models.partition(model, safetensors.load(node_path)[1]["qcnet.cut"])
    node, node_about = read_part(node_path, head)
    server, server_about = read_part(server_path, tail)
    if node_about["qcnet.hash"] != server_about["qcnet.hash"]:
        raise ValueError(f"{server_path} does not belong to {node_path}")
    restore = read_restore(server, server_about)
    model.eval()

    def bits(images):
        return binarize(head(images), node["qcnet.thresholds"])
    with torch.no_grad():
        sent = bits(node["qcnet.check.input"])
        torch.testing.assert_close(sent, server["qcnet.check.map"], rtol=0, atol=0)
        torch.testing.assert_close(tail(restore(sent)), server["qcnet.check.output"], rtol=1e-4, atol=1e-4)
    return lambda images: tail(restore(bits(images)))
