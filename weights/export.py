#!/usr/bin/env python3
"""Writes the deployment files of one cut from the results of compensate.py, then verifies them.

  <name>.safetensors                          the whole unpartitioned model, with --whole
  <name>-<cut>.node.safetensors               head and thresholds, one for all methods
  <name>-<cut>-<method>.server.safetensors    levels, QCNet and tail
Each server file is read back and its accuracy (or mAP) over the test set compared with its metadata.
"""

import copy
import json
from pathlib import Path

import torch

from qcnet_train import base, deployment, options, tasks
from qcnet_train.compensator import Dequantizer, compensator, restorer, round_to_half
from qcnet_train.maps import each
from qcnet_train.quantizer import Quantizer
from qcnet_train.summary import better_frozen, summarize

METHODS = ("qcnet", "lloyd-max-finetuned", "qcnet-finetuned")
SETTINGS = ("epochs", "reconstruction_epochs", "distillation_epochs", "width", "blocks", "block",
            "calibration", "versions")
TOLERANCE = 1e-3


def parse():
    parser = options.parser(__doc__)
    parser.add_argument("--base", required=True, type=Path,
                        help="checkpoint of train.py, a whole model's file, or a node's beside its frozen server's")
    parser.add_argument("--run", type=Path, help="folder that compensate.py wrote; without it only the whole model")
    parser.add_argument("--name", required=True, help="model name, e.g. resnet-cifar10")
    parser.add_argument("--out", required=True, type=Path, help="folder for the files")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seed", type=int, default=0, help="which seed's weights to write")
    parser.add_argument("--whole", action="store_true", help="the unpartitioned <name>.safetensors too")
    parser.add_argument("--predictions", type=Path,
                        help="folder for what the model says of the test set (.npy): the class of each image, uint8; "
                             "of detectors rows (image, class, score, x0, y0, x1, y1)")
    arguments = parser.parse_args()
    if not (arguments.run or arguments.whole):
        parser.error("--run names what to write, or --whole the unpartitioned model, or both")
    return arguments


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def training_record(log, source, seed):
    """The log's figures for a server file's metadata."""
    figures = summarize(log["runs"])
    brief = {method: {key: figures[method][key] for key in ("mean", "spread", "seeds")}
             for method in (source, "control") if method in figures}
    return compact({"source": source, "seed": seed, "accuracy": brief,
                    "baselines": {name: value["test"] for name, value in log["baselines"].items()},
                    **{key: log[key] for key in SETTINGS}})


def read_run(arguments, log, quantizer, shape, tail, source):
    """One trained method: (restore, tail, test figure)."""
    saved = torch.load(arguments.run / f"{source}-seed{arguments.seed}.pt", map_location="cpu")
    restore = restorer(Dequantizer, quantizer)
    if saved["compensator"]:
        def make(quantizer, shape, width):
            return compensator(quantizer, log["activation"], shape, width, log["blocks"], log["block"])
        restore = restorer(make, quantizer, shape, log["width"])
        restore.load_state_dict(saved["compensator"])
    tail = copy.deepcopy(tail)
    if saved["tail"]:
        tail.load_state_dict(saved["tail"])
    return restore.eval(), tail.eval(), saved["result"]["test"]


def verify(runtime, dataset, task, title, forward, claimed, folder):
    """Measures over the test set, and compares with what is `claimed`, if anything; leaves predictions in `folder`."""
    answers = task.answers(runtime, dataset, "test", forward)
    measured = task.score(answers)
    print(f"{task.metric} {measured:.4f} over the test set: {title}", flush=True)
    if claimed is not None and abs(measured - claimed) > TOLERANCE:
        raise SystemExit(f"{title}: the file says {claimed}")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        task.save(answers, folder / f"{title}.npy")
    return measured


def write_deployment(arguments, runtime, dataset, model, task, whole):
    """A node's file and each method's server's; returns their paths."""
    log = json.loads((arguments.run / "results.json").read_text())
    quantizer = each(lambda kept: Quantizer(**kept), torch.load(arguments.run / "quantizer.pt"))
    name, out, written = arguments.name, arguments.out, []
    target = deployment.Deployment(dataset, model, log["cut"], quantizer, name, whole)
    node = out / f"{name}-{log['cut']}.node.safetensors"
    target.write_node(node, compact({key: log[key] for key in ("calibration", "versions")}))
    written.append(node)
    for method in arguments.methods:
        source = better_frozen(log["runs"]) if method == "qcnet" else method
        shape = each(lambda z: tuple(z.shape), target.map)
        restore, tail, figure = read_run(arguments, log, quantizer, shape, target.tail, source)
        title = f"{name}-{log['cut']}-{method}"
        written.append(out / f"{title}.server.safetensors")
        target.write_server(written[-1], method, restore, tail, figure,
                            training_record(log, source, arguments.seed))
        forward = deployment.server_forward(node, written[-1], copy.deepcopy(model))
        verify(runtime, dataset, task, title, forward, figure, arguments.predictions)
    return written


def main():
    arguments = parse()
    runtime, dataset = options.open_run(arguments)
    model = round_to_half(base.read(arguments.base, dataset)).eval()
    task = tasks.of(model, dataset)
    name, out = arguments.name, arguments.out
    whole = verify(runtime, dataset, task, name, model, None, arguments.predictions)
    written = []
    if arguments.whole:
        written.append(out / f"{name}.safetensors")
        deployment.write_model(written[-1], dataset, model, name, whole)
    if arguments.run:
        written += write_deployment(arguments, runtime, dataset, model, task, whole)
    for path in written:
        print(f"{path.stat().st_size:9d} bytes  {path}")


if __name__ == "__main__":
    main()
