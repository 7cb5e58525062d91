#!/usr/bin/env python3
"""Writes the deployment files of one cut from the results of compensate.py, then verifies them.

  <name>.safetensors                          the whole unpartitioned model, with --whole
  <name>-<cut>.node.safetensors               head and thresholds, one for all methods
  <name>-<cut>-<method>.server.safetensors    levels, QCNet and tail
  <name>-<cut>.<method>.node.safetensors      of methods with a node of their own: the pair; methods that send the same share
  <name>-<cut>.<method>.server.safetensors    the first one's node
Each server file is read back and its accuracy (or mAP) over the test set compared with its metadata.
"""

import copy
import json
from functools import partial
from pathlib import Path

import torch

from qcnet_train import base, data, deployment, inputs, loop, methods, models, options, tasks
from qcnet_train.compensator import round_to_half
from qcnet_train.maps import each
from qcnet_train.outputs import out_folder
from qcnet_train.quantizer import read_quantizer
from qcnet_train.summary import FROZEN, better_frozen, check_tested, summarize

METHODS = ("qcnet", "lloyd-max-finetuned", "qcnet-finetuned")
KNOWN = [name for name in methods.METHODS if name != "control" and not name.endswith("-mse")]
SETTINGS = ("epochs", "reconstruction_epochs", "distillation_epochs", "width", "blocks", "block",
            "packet_loss", "rate", "patch", "calibration", "versions")
TOLERANCE = 1e-3


def parse():
    parser = options.parser(__doc__)
    parser.add_argument("--base", required=True, type=Path,
                        help="checkpoint of train.py, a whole model's file, or a node's beside its frozen server's")
    parser.add_argument("--run", type=Path, help="folder that compensate.py wrote; without it only the whole model")
    parser.add_argument("--name", required=True, help="model name, e.g. resnet-cifar10")
    parser.add_argument("--out", required=True, type=out_folder, help="folder for the files")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=KNOWN)
    parser.add_argument("--seed", type=options.seed, default=0, help="which seed's weights to write")
    parser.add_argument("--whole", action="store_true", help="the unpartitioned <name>.safetensors too")
    parser.add_argument("--predictions", type=out_folder,
                        help="folder for what the model says of the test set (.npy): the class of each image; "
                             "of detectors rows (image, class, score, x0, y0, x1, y1)")
    arguments = parser.parse_args()
    if not (arguments.run or arguments.whole):
        parser.error("--run names what to write, or --whole the unpartitioned model, or both")
    return arguments


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def sources(log, asked, seed, run):
    """{method: the one of the run whose weights are written}. Exits if the run does not hold them all, with figures."""
    held = {of_seed["method"] for of_seed in log["runs"] if of_seed["seed"] == seed}
    found = {name: better_frozen(log["runs"], name) if name in FROZEN else name for name in asked}
    if missing := [name for name, source in found.items() if source not in held]:
        raise SystemExit(f"{run}: holds no {', '.join(missing)} of seed {seed}; it holds {', '.join(sorted(held)) or 'nothing'} "
                         "of it: say --methods, or --seed")
    check_tested(run, log)
    return found


def training_record(log, source, seed):
    """The log's figures for a server file's metadata."""
    figures = summarize(log["runs"])
    brief = {method: {key: figures[method][key] for key in ("mean", "spread", "seeds")}
             for method in (source, "control") if method in figures}
    return compact({"source": source, "seed": seed, "accuracy": brief,
                    "baselines": {name: value["test"] for name, value in log["baselines"].items()},
                    **{key: log[key] for key in SETTINGS if key in log}})


def verify(runtime, dataset, task, title, forward, claimed, folder):
    """Measures over the test set, and compares with what is `claimed`, if anything; leaves predictions in `folder`."""
    answers = task.answers(runtime, dataset, "test", forward)
    measured = task.score(answers)
    print(f"{task.metric} {measured:.4f} over the test set: {title}", flush=True)
    if claimed is not None and abs(measured - claimed) > TOLERANCE:
        raise SystemExit(f"{title}: compensate.py measured {task.metric} {claimed:.4f}, this file has {measured:.4f} over the test set; "
                         "are the pictures others, by --data, --limit, --resize or --size, or was it trained on a machine that rounds otherwise?")
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        task.save(answers, folder / f"{title}.npy")
    return measured


def read_cut(dataset, model, log, quantizer):
    """What the run's methods were built on."""
    head, tail = models.partition(model, log["cut"], log.get("patch", 1))
    with torch.no_grad():
        shape = each(lambda z: tuple(z.shape), head(torch.zeros(1, dataset.channels, *dataset.size)))
    return methods.Cut(head, tail, quantizer, log["activation"], shape, log["width"], log["blocks"], log["block"],
                       rate=log.get("rate", 1), in_basis=partial(models.in_basis, model, log["cut"], log.get("patch", 1)))


def write_deployment(arguments, runtime, dataset, model, task, whole):
    """Each method's server's file, and its node's or the one that many share; returns their paths."""
    log = inputs.read_json(arguments.run / "results.json", *inputs.LOG, "activation", "width", "blocks", "block", "calibration",
                           "versions")
    quantizer = read_quantizer(arguments.run / "quantizer.pt")
    cut, stem, written = read_cut(dataset, model, log, quantizer), f"{arguments.name}-{log['cut']}", []
    about_node = compact({key: log[key] for key in ("calibration", "versions")})
    for name, source in sources(log, arguments.methods, arguments.seed, arguments.run).items():
        method = methods.METHODS[source]
        saved = inputs.checkpoint(arguments.run / f"{source}-seed{arguments.seed}.pt", "result")
        parts = methods.deployed(cut, methods.load(methods.assemble(method, cut), saved).eval())
        figure, of_node = saved["result"]["test"], methods.node_of(name)
        title = f"{stem}{'.' if of_node else '-'}{name}"
        node = arguments.out / f"{stem}{'.' if of_node else ''}{of_node}.node.safetensors"
        server = arguments.out / f"{title}.server.safetensors"
        target = deployment.Deployment(dataset, model, log["cut"], quantizer, arguments.name, whole,
                                       parts.head, parts.send, log.get("patch", 1))
        if node not in written:
            target.write_node(node, about_node)
            written.append(node)
        target.write_server(server, name, parts.restore, parts.tail, figure,
                            training_record(log, source, arguments.seed))
        written.append(server)
        forward = deployment.server_forward(node, server, copy.deepcopy(model))
        verify(runtime, dataset, task, title, forward, figure, arguments.predictions)
    return written


def settings_of(run):
    """What compensate.py was given; {} where a run of before does not say it."""
    path = run / "settings.json"
    return inputs.read_json(path) if path.exists() else {}


def check_pictures(a):
    """Exits if compensate.py was given other pictures, or made something else of them."""
    def pictures(given):
        return {**{key: given[key] for key in ("dataset", "limit")}, **data.options(given["dataset"], {**given, "flips": None})}
    loop.check_settings(a.run, pictures(vars(a)), pictures({**vars(a), **settings_of(a.run)}), "give the same here")


def check_base(run, base_path, model):
    """Exits if compensate.py made the run of another model."""
    made_of = settings_of(run).get("base")
    if made_of not in (None, base.fingerprint(model)):
        raise SystemExit(f"{run}: was made of another model than {base_path}; give the --base that compensate.py was given")


def main():
    arguments = parse()
    if arguments.run:
        check_pictures(arguments)
    runtime, dataset = options.open_run(arguments)
    runtime.device = torch.device("cpu")  # where what is written is compared to the bit
    model = round_to_half(base.read(arguments.base, dataset)).eval()
    if arguments.run:
        check_base(arguments.run, arguments.base, model)
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
    inputs.run(main)
