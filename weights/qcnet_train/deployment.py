"""The deployment files: what goes into a node's file and into a server's, and reading them back.

Weights of rank 2 and more are float16, a binary layer's one bit each, everything else float32. Tensors of the head
(node) and of the tail (server) keep the model's own names; everything of qcnet's own begins with "qcnet.".
"""

import hashlib
import json

import numpy as np
import torch

from . import models, safetensors, tasks
from .compensator import (CodeDequantizer, Compensator, ConvCompensator, Dequantizer, LinearDequantizer,
                          TokenCompensator, apart, restorer)
from .components import Components, counts
from .inputs import FileError
from .maps import each, members
from .models.binary_head import BinaryHeaded, pack, unpack
from .quantizer import Quantizer
from .sender import Codes, Comparison, ComponentCodes, Encoder

PREFIX = "qcnet.compensator."
GROUPS = ("compensator", "dequantizer", "encoder")  # of tensors of a map: its name stands behind the group's

# Parts of a model that are no modules of their own there: the name in a head or tail -> the model's.
RENAMED = {"tokens.class_token": "class_token", "tokens.pos_embedding": "encoder.pos_embedding"}


def as_arrays(state, prefix=""):
    """A state_dict as numpy arrays of the stored types, without BN's batch counters."""
    arrays = {}
    for name, tensor in state.items():
        name = RENAMED.get(name, name)
        if not name.endswith("num_batches_tracked"):
            array = tensor.detach().cpu().float().numpy()
            if name.startswith("binary.layers.") and name.endswith(".weight"):
                arrays[prefix + name] = pack(array)
            else:
                arrays[prefix + name] = array.astype(np.float16 if array.ndim >= 2 else np.float32)
    return arrays


def of_maps(names, values):
    """What a file says of the map at a cut, {"levels": value, ...}, or of each of several, by its key there.

    That is "qcnet.levels", and for what crosses beside the cut's own map "qcnet.levels.layers.8"; of QCNets
    "qcnet.compensator.scale" and "qcnet.compensator.layers.8.scale".
    """
    found = {}
    for i, (name, one) in enumerate(zip(names, members(values))):
        for key, value in one.items():
            group, dot, rest = key.partition(".")
            if group not in GROUPS:
                group, dot, rest = key, "", ""
            found[f"qcnet.{group}{f'.{name}' if i else ''}{dot}{rest}"] = value
    return found


def by_map(entries, about):
    """The other way: a file's entries, or where several maps cross a tuple of each one's as if it were alone."""
    if "qcnet.beside" not in about:
        return entries
    found = {name: {} for name in ("", *about["qcnet.beside"].split())}
    for key, value in entries.items():
        for name in list(found)[1:]:
            group = next((f"qcnet.{g}." for g in GROUPS if key.startswith(f"qcnet.{g}.{name}.")), None)
            if group:
                found[name][group + key[len(f"{group}{name}."):]] = value
                break
            if key.endswith("." + name):
                found[name][key[:-len("." + name)]] = value
                break
        else:
            found[""][key] = value
    return tuple(found.values())


PIECE = 32


def check_piece(dataset):
    """[1, C, h, w], of values that float16 holds, to check files with; of a large input only a piece, to be repeated.

    A detector's whole input would take 1 MB.
    """
    image = next(dataset.batches("test", 1))[0].half().float()
    height, width = image.shape[2:]
    if min(height, width) <= 2 * PIECE or height % PIECE or width % PIECE:
        return image
    top, left = (height - PIECE) // 2, (width - PIECE) // 2
    return image[:, :, top:top + PIECE, left:left + PIECE].contiguous()


def repeat_piece(piece, size):
    """The input of `size` (H, W) that a piece stands for."""
    return piece.repeat(1, 1, size[0] // piece.shape[2], size[1] // piece.shape[3])


def node_tensors(quantizer, send, z):
    """`send` is one of sender.py; the range is for the uniform baseline of the base model's own bits."""
    tensors = {**send.tensors(), "check.map": send.compared(z).detach().numpy().astype(np.float16)}
    if isinstance(send, Comparison):
        tensors["range"] = quantizer.range.numpy()
    return tensors


def server_tensors(quantizer, bits, restore):
    """`restore` is a Dequantizer of any kind, or a Compensator."""
    tensors = {"range": quantizer.range.numpy(), "check.map": bits.numpy().astype(np.float16)}
    if isinstance(restore, Compensator):
        learned = {k: v for k, v in restore.state_dict().items() if k != "scale" and not k.startswith("dequantizer.")}
        tensors.update(as_arrays(learned, "compensator."))
        tensors["compensator.scale"] = quantizer.scale.numpy()
        restore = restore.dequantizer
    if isinstance(restore, LinearDequantizer):
        weight = restore.weight[:, :, None, None] if bits.ndim == 4 else restore.weight
        return {**tensors, "dequantizer.weight": weight.half().numpy(), "dequantizer.bias": restore.bias.numpy()}
    return {**tensors, "levels": torch.stack([restore.low, restore.high]).detach().numpy()}


def output_tensors(model, outputs):
    return of_maps(models.maps(model), each(lambda raw: {"check.output": raw.numpy()}, outputs))


def feature(z):
    """A map's or tokens' shape without N, channels last."""
    return " ".join(map(str, z.movedim(1, -1).shape[1:] if z.ndim == 4 else z.shape[1:]))


def fingerprint(tensors, cut, planes=""):
    """16 hex digits that tie a node to its servers: the first 8 bytes of a SHA-256.

    It runs over the cut's name and `planes`, which a file has as "qcnet.planes", then over `tensors`, those of the head and
    of what makes bits of its map, in order of their names: for each the name (UTF-8) and the bytes as stored in the file.
    """
    digest = hashlib.sha256((cut + planes).encode())
    for name, array in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def numbers(values):
    return " ".join(f"{v:g}" for v in values)


def describe(dataset, model, name, role, extra):
    """Metadata that every role carries."""
    height, width = dataset.size
    metric = tasks.TASKS[models.task(model.spec["architecture"])].metric
    if metric != "accuracy":
        extra = {**extra, "qcnet.metric": metric}
    if getattr(dataset, "letterbox", False):
        extra = {**extra, "qcnet.letterbox": "1"}
    return {
        "qcnet.format": "1", "qcnet.role": role, "qcnet.name": name,
        "qcnet.architecture": model.spec["architecture"],
        "qcnet.specification": json.dumps(model.spec, separators=(",", ":")),
        "qcnet.input": f"{height} {width} {dataset.channels}", "qcnet.resize": str(dataset.resize),
        "qcnet.mean": numbers(dataset.mean), "qcnet.std": numbers(dataset.std),
        "qcnet.classes": "\n".join(dataset.classes), "qcnet.dataset": dataset.name,
        **models.metadata(model), **extra}


def build_as(about):
    """The model, with fresh weights, that a file with this metadata holds or is a part of."""
    return models.build(json.loads(about["qcnet.specification"]), len(about["qcnet.classes"].split("\n")),
                        int(about["qcnet.input"].split()[2])).eval()


class Deployment:
    """A base model's cut, ready to be written: one node file and a server file for each method.

    The node runs the model's own head and compares with the quantizer's thresholds, unless it is given another `head`
    or another way to `send`, one of sender.py or several side by side, in eval mode. With a `patch` its head must give
    components of patches, whatever the model's own would give.
    """

    def __init__(self, dataset, model, cut, quantizer, name, unpartitioned, head=None, send=None, patch=1):
        self.dataset, self.model, self.cut, self.name = dataset, model, cut, name
        own_head, self.tail = models.partition(model, cut, patch)
        self.head = head or own_head
        self.quantizer, self.activation = quantizer, models.cuts(model)[cut]
        send = send or restorer(lambda q: Comparison(q.thresholds), quantizer)
        self.senders = apart(send)
        self.piece = check_piece(dataset)
        self.input = repeat_piece(self.piece, dataset.size)
        with torch.no_grad():
            self.map = self.head(self.input)
            self.bits = send(self.map)
        self.maps = models.maps(model, cut)
        self.head_arrays = as_arrays(self.head.state_dict())
        sent = of_maps(self.maps, each(lambda send: send.tensors(), self.senders))
        planes = " ".join(map(str, counts(send.bits))) if isinstance(send, ComponentCodes) else ""
        self.about = {
            "qcnet.cut": cut, "qcnet.hash": fingerprint({**self.head_arrays, **sent}, cut, planes),
            **of_maps(self.maps, each(lambda z: {"feature": feature(z), "activation": self.activation}, self.map)),
            "qcnet.accuracy.unpartitioned": f"{unpartitioned:g}"}
        if isinstance(members(self.senders)[0], Codes):
            self.about["qcnet.bits"] = str(members(self.senders)[0].bits)
        if planes:
            self.about["qcnet.planes"] = planes
        if patch > 1:
            self.about["qcnet.patch"] = str(patch)
        if len(self.maps) > 1:
            self.about["qcnet.beside"] = " ".join(self.maps[1:])
        if "conv1.weight" in self.head_arrays:  # a ResNet's stem: behind a 7x7 one stands a pool without weights
            self.about["qcnet.stem"] = "x".join(map(str, self.head_arrays["conv1.weight"].shape[2:]))

    def metadata(self, role, **extra):
        return describe(self.dataset, self.model, self.name, role,
                        {**self.about, **{f"qcnet.{key}": value for key, value in extra.items()}})

    def write_node(self, path, training):
        tensors = {**self.head_arrays, "qcnet.check.input": self.piece.half().numpy(),
                   **of_maps(self.maps, each(node_tensors, self.quantizer, self.senders, self.map))}
        binary = {}
        if isinstance(self.model, BinaryHeaded):
            self.model.binary.check_exact(self.input)
            binary["binary.strides"] = numbers(self.model.binary.sizes["strides"])
        safetensors.save(path, tensors, self.metadata("node", training=training, **binary))

    def write_server(self, path, method, restore, tail, accuracy, training):
        """`restore`: a Dequantizer or a Compensator, or one for each map side by side; it and `tail` in eval mode."""
        with torch.no_grad():
            restored = restore(self.bits)
            outputs = tail(restored)
        tensors = {**as_arrays(tail.state_dict()), **output_tensors(self.model, outputs),
                   **of_maps(self.maps, each(server_tensors, self.quantizer, self.bits, apart(restore)))}
        about = self.metadata("server", method=method, accuracy=f"{accuracy:g}", training=training)
        about.update(of_maps(self.maps, each(lambda z: {"feature": feature(z)}, restored)))
        if isinstance(restore, TokenCompensator):
            about[PREFIX + "heads"] = str(restore.heads)
        safetensors.save(path, tensors, about)


def write_model(path, dataset, model, name, accuracy):
    """The whole unpartitioned model."""
    with torch.no_grad():
        piece = check_piece(dataset)
        tensors = {**as_arrays(model.state_dict()), "qcnet.check.input": piece.half().numpy(),
                   **output_tensors(model, model(repeat_piece(piece, dataset.size)))}
    safetensors.save(path, tensors, describe(dataset, model, name, "model",
                                             {"qcnet.accuracy.unpartitioned": f"{accuracy:g}"}))


def read_part(path, part):
    """Loads a file's tensors into `part` (head, tail or whole model); returns (qcnet's own tensors, metadata)."""
    arrays, metadata = safetensors.load(path)
    shapes = {name: value.shape for name, value in part.state_dict().items()}
    own_names = {theirs: ours for ours, theirs in RENAMED.items() if ours in shapes}
    tensors = {}
    for name, array in arrays.items():
        name = own_names.get(name, name)
        bits = array.dtype == np.uint8 and name in shapes
        tensors[name] = torch.from_numpy(unpack(array, shapes[name][1]) if bits else array.astype(np.float32))
    own = {name: tensors.pop(name) for name in list(tensors) if name.startswith("qcnet.")}
    try:
        missing, unexpected = part.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise FileError(f"{path}: is of another model: {error}") from None
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise FileError(f"{path}: is of another model: missing {missing}, unexpected {unexpected}")
    return own, metadata


def bits_a_feature(about):
    return int(about.get("qcnet.bits", 1))


def read_sender(own, about):
    """What turns maps into bits, as a node file's own tensors and metadata describe it."""
    def read_one(own):
        if "qcnet.planes" in about:
            components = components_of(own, about)
            return ComponentCodes(components).folded(len(components.bits))
        if bits_a_feature(about) > 1:
            return Codes(*own["qcnet.levels"], bits_a_feature(about))
        if "qcnet.encoder.weight" in own:
            return Encoder(own["qcnet.thresholds"], own["qcnet.encoder.weight"])
        return Comparison(own["qcnet.thresholds"])
    return restorer(read_one, by_map(own, about)).eval()


def components_of(own, about):
    """What a node's file says of the components that it sends."""
    low, high = own["qcnet.levels"]
    planes = list(map(int, about["qcnet.planes"].split()))
    bits = torch.tensor([sum(n > c for n in planes) for c in range(low.shape[-1])])
    return Components(torch.eye(len(bits)), bits, low, high, None, None)


def read_restore(own, about):
    """What turns bits into maps, as a server file's own tensors and metadata describe it."""
    bits = bits_a_feature(about)
    return restorer(lambda own, about: read_one(own, about, bits), by_map(own, about), by_map(about, about)).eval()


def read_one(own, about, bits):
    """The Dequantizer of any kind or Compensator of one map."""
    dequantizer = read_dequantizer(own, bits)
    if PREFIX + "scale" not in own:
        return dequantizer
    scale = own[PREFIX + "scale"]
    learned = {name[len(PREFIX):]: value for name, value in own.items() if name.startswith(PREFIX)}
    del learned["scale"]
    blocks = len({name.split(".")[1] for name in learned if name.startswith("blocks.")})
    if "positions" in learned:
        _, tokens, width = learned["positions"].shape
        restore = TokenCompensator(dequantizer, scale, tokens, width, blocks, int(about[PREFIX + "heads"]))
    else:
        width = learned["input.conv.weight"].shape[0]
        block = "depthwise" if "blocks.0.up.weight" in learned else "conv"
        restore = ConvCompensator(dequantizer, scale, about["qcnet.activation"], width, blocks, block)
    restore.load_state_dict(learned, strict=False)
    return restore


def read_dequantizer(own, bits):
    if "qcnet.dequantizer.weight" in own:
        weight = own["qcnet.dequantizer.weight"].flatten(1)
        return LinearDequantizer(Components(None, None, None, None, weight, own["qcnet.dequantizer.bias"]))
    low, high = own["qcnet.levels"]
    quantizer = Quantizer(low, low, high, None, own["qcnet.range"])
    return CodeDequantizer(quantizer, bits) if bits > 1 else Dequantizer(quantizer)


def parts_of(model, about):
    """(head, tail), with the model's weights, as files with a node's metadata hold them; of components the head is another."""
    cut, patch = about["qcnet.cut"], patch_of(about)
    head, tail = models.partition(model, cut, patch)
    if "qcnet.planes" in about:
        height, width, channels = map(int, about["qcnet.input"].split())
        z = head(torch.zeros(1, channels, height, width))
        mix, computed = torch.eye(z.shape[1 if z.ndim == 4 else 2]), int(about["qcnet.feature"].split()[-1])
        head = models.in_basis(model, cut, patch, mix, computed)[0]
    return head, tail


def patch_of(about):
    return int(about.get("qcnet.patch", 1))


def check_close(path, found, recorded, tolerance):
    try:
        torch.testing.assert_close(found, recorded, rtol=tolerance, atol=tolerance)
    except AssertionError as error:
        raise FileError(f"{path}: its check gives something else than is recorded in it: {error}") from None


def server_forward(node_path, server_path, model):
    """images -> outputs through a node's and a server's file; both checks are verified first.

    `model` only lends its structure: every weight comes from the files.
    """
    head, tail = parts_of(model, safetensors.load(node_path)[1])
    node, node_about = read_part(node_path, head)
    server, server_about = read_part(server_path, tail)
    if node_about["qcnet.hash"] != server_about["qcnet.hash"]:
        raise FileError(f"{server_path} does not belong to {node_path}")
    restore = read_restore(server, server_about)
    ours = by_map(server, server_about)
    send = read_sender(node, node_about)
    model.eval()

    def bits(images):
        return send(head(images))
    with torch.no_grad():
        size = tuple(map(int, node_about["qcnet.input"].split()[:2]))
        sent = bits(repeat_piece(node["qcnet.check.input"], size))
        outputs = {name: torch.from_numpy(array) for name, array in output_tensors(model, tail(restore(sent))).items()}
        check_close(node_path, sent, each(lambda own: own["qcnet.check.map"], ours), 0)
        check_close(server_path, outputs, {name: server[name] for name in outputs}, 1e-4)
    return lambda images: tail(restore(bits(images)))
