#!/usr/bin/env python3
"""Writes the deployment files of one cut from the results of compensate.py, then verifies them.

  <name>-<cut>.node.safetensors               head and thresholds, one for all methods
  <name>-<cut>-<method>.server.safetensors    levels, QCNet and tail
Each server file is read back and its accuracy over the test set compared with its metadata.
"""

import argparse
import copy
import json
from pathlib import Path

import numpy as np
import torch

from qcnet_train import data, deployment, loop, models
from qcnet_train.compensator import Compensator, Dequantizer, round_to_half
from qcnet_train.quantizer import Quantizer
from qcnet_train.runtime import Runtime
from qcnet_train.summary import better_frozen, summarize

METHODS = ("qcnet", "lloyd-max-finetuned", "qcnet-finetuned")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, choices=sorted(data.DATASETS))
    parser.add_argument("--data", help="folder or zip of the dataset (default: $QCNET_DATA, then ../shared/data)")
    parser.add_argument("--limit", type=int, help="use only this many images of each split (a trial run)")
    parser.add_argument("--resize", type=int, help="folder datasets: shorter side (256)")
    parser.add_argument("--size", type=int, help="folder datasets: centre crop (224)")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    parser.add_argument("--base", required=True, type=Path, help="checkpoint of train.py")
    parser.add_argument("--run", required=True, type=Path, help="folder that compensate.py wrote")
    parser.add_argument("--name", required=True, help="model name, e.g. resnet-cifar10")
    parser.add_argument("--out", required=True, type=Path, help="folder for the files")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seed", type=int, default=0, help="which seed's weights to write")
    parser.add_argument("--whole", action="store_true", help="write the unpartitioned <name>.safetensors too")
    parser.add_argument("--predictions", type=Path, help="folder for the predicted class of each test image (.npy)")
    return parser.parse_args()


def training_record(log, source, seed):
    """The log's figures as compact JSON for the metadata."""
    figures = summarize(log["runs"])
    brief = {m: {k: figures[m][k] for k in ("mean", "spread", "seeds")} for m in (source, "control") if m in figures}
    return json.dumps({
        "source": source, "seed": seed, "accuracy": brief,
        "baselines": {name: value["test"] for name, value in log["baselines"].items()},
        **{k: log[k] for k in ("epochs", "reconstruction_epochs", "width", "blocks", "calibration", "versions")}},
        separators=(",", ":"))


def main():
    arguments = parse()
    runtime = Runtime(arguments.threads)
    dataset = data.load(arguments.dataset, arguments.data, arguments.limit, arguments.resize, arguments.size)
    base = torch.load(arguments.base, map_location="cpu")
    model = models.build(base["spec"], len(dataset.classes), dataset.channels)
    model.load_state_dict(base["model"])
    round_to_half(model).eval()
    log = json.loads((arguments.run / "results.json").read_text())
    quantizer = Quantizer(**torch.load(arguments.run / "quantizer.pt"))
    unpartitioned = log["baselines"]["unpartitioned"]["test"]
    cut, name, out = log["cut"], arguments.name, arguments.out
    target = deployment.Deployment(dataset, model, cut, quantizer, name, unpartitioned)
    node = out / f"{name}-{cut}.node.safetensors"
    target.write_node(node, json.dumps({"calibration": log["calibration"], "versions": log["versions"]},
                                       separators=(",", ":")))
    written = [node]
    predictions = {name: model}
    if arguments.whole:
        written.append(out / f"{name}.safetensors")
        deployment.write_model(written[-1], dataset, model, name, unpartitioned)
    for method in arguments.methods:
        source = better_frozen(log["runs"]) if method == "qcnet" else method
        saved = torch.load(arguments.run / f"{source}-seed{arguments.seed}.pt", map_location="cpu")
        restore = Dequantizer(quantizer)
        if saved["compensator"]:
            restore = Compensator(quantizer, log["activation"], log["width"], log["blocks"])
            restore.load_state_dict(saved["compensator"])
        tail = copy.deepcopy(target.tail)
        if saved["tail"]:
            tail.load_state_dict(saved["tail"])
        path = out / f"{name}-{cut}-{method}.server.safetensors"
        accuracy = saved["result"]["test"]
        target.write_server(path, method, restore.eval(), tail.eval(), accuracy,
                            training_record(log, source, arguments.seed))
        written.append(path)
        predictions[f"{name}-{cut}-{method}"] = deployment.server_forward(node, path, copy.deepcopy(model))
    for title, forward in predictions.items():
        predicted, expected = loop.predict(runtime, dataset, "test", forward)
        measured = float((predicted == expected).double().mean())
        print(f"{title}: {measured:.4f} of the test set, from the files" if title != name
              else f"{title}: {measured:.4f} of the test set, unpartitioned")
        if title != name:
            claimed = float(deployment.safetensors.load(out / f"{title}.server.safetensors")[1]["qcnet.accuracy"])
            if abs(measured - claimed) > 1e-3:
                raise SystemExit(f"{title}: the file says {claimed}")
        if arguments.predictions:
            arguments.predictions.mkdir(parents=True, exist_ok=True)
            np.save(arguments.predictions / f"{title}.npy", predicted.numpy().astype(np.uint8))
    for path in written:
        print(f"{path.stat().st_size:9d} bytes  {path}")


if __name__ == "__main__":
    main()
