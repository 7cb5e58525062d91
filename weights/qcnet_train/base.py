"""The unpartitioned model that the scripts start from: train.py's checkpoint, or a whole model's file."""

import json
from pathlib import Path

import torch

from . import deployment, models, safetensors


def read(path, dataset):
    """The model with its weights as they are stored, for this dataset."""
    path = Path(path)
    model, size = (from_file if path.suffix == ".safetensors" else from_checkpoint)(path, dataset)
    if dataset.task == "detection" and size != dataset.size:  # anchors are in pixels of the input
        raise SystemExit(f"{path} was trained for inputs of {size[0]} x {size[1]}, here they are {dataset.size[0]} x "
                         f"{dataset.size[1]}: give the same --size")
    return model


def from_checkpoint(path, dataset):
    saved = torch.load(path, map_location="cpu")
    model = models.build(saved["spec"], len(dataset.classes), dataset.channels)
    model.load_state_dict(saved["model"])
    return model, tuple(saved.get("size", dataset.size))


def from_file(path, dataset):
    about = whole_model(path)
    if about["qcnet.classes"].split("\n") != list(dataset.classes):
        raise SystemExit(f"{path} knows the classes of {about['qcnet.dataset']}, not those of {dataset.name}")
    model = deployment.build_as(about)
    deployment.read_part(path, model)
    return model, tuple(map(int, about["qcnet.input"].split()[:2]))


def whole_model(path):
    """The metadata of a file that export.py --whole wrote."""
    about = safetensors.load(path)[1]
    if about.get("qcnet.role") != "model":
        raise SystemExit(f"{path} holds no whole model: take the one that export.py --whole writes")
    return about


def log(path):
    """What is known of its training: train.py's log beside a checkpoint, or what a file says."""
    if path.suffix != ".safetensors":
        return json.loads(path.with_suffix(".json").read_text())
    about = whole_model(path)
    return {"file": path.name, "spec": json.loads(about["qcnet.specification"]), "dataset": about["qcnet.dataset"],
            "test": float(about["qcnet.accuracy.unpartitioned"])}
