"""The unpartitioned model that the scripts start from.

That is train.py's checkpoint, a whole model's file, or a deployment: a node's file and beside it that of the server
whose tail is frozen.
"""

import json
import re
from pathlib import Path

from . import deployment, inputs, models, safetensors


def read(path, dataset):
    """The model with its weights as they are stored, for this dataset."""
    path = Path(path)
    model, size = (from_file if path.suffix == ".safetensors" else from_checkpoint)(path, dataset)
    if size != dataset.size:  # a detector's anchors are in pixels of the input, a ViT's positions in patches of it
        raise SystemExit(f"{path} was trained for inputs of {size[0]} x {size[1]}, here they are {dataset.size[0]} x "
                         f"{dataset.size[1]}: give the same --size")
    return model


def from_checkpoint(path, dataset):
    saved = inputs.checkpoint(path, "spec", "model")
    if saved.get("classes", list(dataset.classes)) != list(dataset.classes):
        raise SystemExit(f"{path} knows other classes than {dataset.name} has, or in another order: {', '.join(saved['classes'])}")
    model = models.build(saved["spec"], len(dataset.classes), dataset.channels)
    inputs.fill(path, model, saved["model"])
    return model, tuple(saved.get("size", dataset.size))


def from_file(path, dataset):
    about = metadata(path)
    if about["qcnet.classes"].split("\n") != list(dataset.classes):
        raise SystemExit(f"{path} knows the classes of {about['qcnet.dataset']}, not those of {dataset.name}")
    model = deployment.build_as(about)
    if about["qcnet.role"] == "model":
        deployment.read_part(path, model)
    else:
        head, tail = models.partition(model, about["qcnet.cut"])
        deployment.read_part(path, head)
        server = frozen_server(path)
        if deployment.read_part(server, tail)[1]["qcnet.hash"] != about["qcnet.hash"]:
            raise SystemExit(f"{server} does not belong to {path}: take both of one run of export.py")
    return model, tuple(map(int, about["qcnet.input"].split()[:2]))


def fingerprint(model):
    """16 hex digits that tell base models apart; a checkpoint and the files that were made of it have the same."""
    return deployment.fingerprint(deployment.as_arrays(model.state_dict()), json.dumps(model.spec, sort_keys=True))


def metadata(path):
    """That of a file with a whole model, or of a node's."""
    about = safetensors.load(path)[1]
    if about.get("qcnet.role") not in ("model", "node"):
        raise SystemExit(f"{path} holds no whole model: take the one that export.py --whole writes, or a node's file "
                         "beside its -qcnet.server file")
    if "qcnet.planes" in about:
        raise SystemExit(f"{path} holds a head in the basis of principal components, not the model's own: take a node's file "
                         "of another method, beside its -qcnet.server file")
    inputs.with_keys(path, about, [f"qcnet.{key}" for key in ("specification", "input", "classes", "dataset",
                                                              "accuracy.unpartitioned")])
    if "architecture" not in inputs.specification(path, about):
        raise inputs.FileError(f"{path}: its metadata qcnet.specification names no architecture")
    if not re.fullmatch(r"[1-9]\d* [1-9]\d* [1-9]\d*", about["qcnet.input"]):
        raise inputs.FileError(f"{path}: its metadata qcnet.input is no height, width and channels: '{about['qcnet.input']}'")
    return about


def frozen_server(node):
    """The file beside a node's whose tail is the base model's own."""
    server = node.with_name(node.name.replace(".node.", "-qcnet.server."))
    if not server.exists():
        raise SystemExit(f"{node} is only a model's head; its tail would be in {server}, which is not there")
    return server


def log(path):
    """What is known of its training: train.py's log beside a checkpoint, or what a file says."""
    if path.suffix != ".safetensors":
        return inputs.read_json(path.with_suffix(".json"))
    about = metadata(path)
    return {"file": path.name, "spec": json.loads(about["qcnet.specification"]), "dataset": about["qcnet.dataset"],
            "test": float(about["qcnet.accuracy.unpartitioned"])}
