#!/usr/bin/env python3
"""Trains a base model: one-cycle learning rate, label smoothing, SGD with Nesterov momentum or AdamW.

Writes a checkpoint after each epoch (--resume continues it) and a JSON log beside it. Runs on one
process, or on several GPUs or machines under torchrun.
"""

import math
from pathlib import Path

import torch

from qcnet_train import inputs, loop, models, optimizers, options, safetensors, tasks
from qcnet_train.cutmix import CutMix
from qcnet_train.maps import each
from qcnet_train.data.order import batch_count
from qcnet_train.outputs import write_json
from qcnet_train.runtime import seed_everything, versions


def parse():
    parser = options.parser(__doc__)
    options.add_training(parser)
    options.add_checkpoint(parser, "runs/model.pt")
    parser.add_argument("--architecture", default="resnet", choices=sorted(models.FAMILIES))
    parser.add_argument("--model", default="small", help="small, or torchvision's, e.g. resnet50")
    parser.add_argument("--set", nargs="+", default=[], metavar="OPTION=VALUE",
                        help="what small is made of, e.g. width=16 depths=2,2,2,2 (a wrong one names the known)")
    parser.add_argument("--pretrained", type=Path, help="state_dict (.pth, .safetensors) or checkpoint to start from")
    parser.add_argument("--epochs", type=options.whole, default=36, help="0: --pretrained stays as it is")
    parser.add_argument("--optimizer", default="sgd", choices=optimizers.NAMES,
                        help="adamw for vit and convnext, with --lr 1e-3 --weight-decay 0.05")
    parser.add_argument("--lr", type=options.positive, default=0.25, help="peak learning rate")
    parser.add_argument("--warmup", type=options.share, default=0.2, help="share of the steps before the peak")
    parser.add_argument("--weight-decay", type=options.not_negative, default=5e-4)
    parser.add_argument("--smoothing", type=options.share, default=0.1, help="label smoothing")
    parser.add_argument("--seed", type=options.seed, default=0)
    parser.add_argument("--validate-every", type=options.count, default=1, help="epochs between validations")
    return options.parse_checkpoint(parser)


# What --resume needs to be the same, beside the model and what it starts from.
SETTINGS = ("dataset", "limit", "size", "resize", "flips", "batch", "fp32", "cutmix", "epochs", "optimizer", "lr", "warmup",
            "weight_decay", "smoothing", "seed")


def one_cycle(optimizer, steps, warmup):
    """Linear warm-up to the peak, then cosine to zero (Smith and Topin, 2018)."""
    rise = max(1, int(warmup * steps))

    def factor(step):
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def read_pretrained(path):
    """(state_dict, what the file says of its specification, history) of a checkpoint, a state_dict (perhaps
    under that name) or a whole model's file."""
    if path.suffix != ".safetensors":
        saved = inputs.checkpoint(path)
        return saved.get("model", saved.get("state_dict", saved)), saved.get("spec", {}), saved.get("history", [])
    arrays, about = safetensors.load(path)
    known = inputs.specification(path, about)
    if not known and "qcnet.heads" in about:
        known = {"heads": int(about["qcnet.heads"])}
    return ({name: torch.tensor(array) for name, array in arrays.items() if not name.startswith("qcnet.")},
            {key: tuple(value) if isinstance(value, list) else value for key, value in known.items()}, [])


def specification(arguments, dataset, known):
    """What the options ask for. What the data suggests must not replace what a pretrained model is `known` to be made of."""
    suggested = tasks.kind(arguments.architecture, dataset).suggested(dataset)
    suggested = {key: known.get(key, value) for key, value in suggested.items()}
    spec = models.specification(arguments.architecture, arguments.model, arguments.set, suggested)
    if any(known.get(key, value) != value for key, value in spec.items()):
        raise SystemExit(f"{arguments.pretrained} is of another model: give {models.as_options(known)}")
    return spec


def build(spec, dataset):
    """The model. Exits if it cannot take the dataset's pictures."""
    model = models.build(spec, len(dataset.classes), dataset.channels).eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, dataset.channels, *dataset.size))
    except (AssertionError, RuntimeError) as error:
        height, width = dataset.size
        raise SystemExit(f"{models.as_options(spec)}: is no model for pictures of {height} x {width} pixels: {error}") from None
    return model.train()


def load_pretrained(path, state, model, runtime):
    """Loads a state_dict; its last layer, or a detector's two, start anew for other classes: returns the names of their weights."""
    own = model.state_dict()
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
    state = {**counters, **state}  # our own files have none of these
    anew = [name for name, value in state.items() if name in own and value.shape[1:] == own[name].shape[1:]
            and value.shape != own[name].shape]
    outputs = [name for name in own if name.startswith(tuple(f"{output}." for output in models.maps(model)))]  # of a detector
    if not set(anew) <= set(outputs or list(own)[-2:]):  # weight and bias of the last layer
        anew = []
    state.update({name: own[name] for name in anew})
    inputs.fill(path, model, state)
    if anew:
        runtime.print(f"{path} is for other classes: {', '.join(anew[:-1])} and {anew[-1]} start anew")
    return anew


def main():
    arguments = parse()
    runtime, dataset = options.open_run(arguments)
    seed_everything(arguments.seed)
    mix = CutMix(arguments.cutmix, dataset, arguments.seed, runtime.rank)
    state, known, earlier = read_pretrained(arguments.pretrained) if arguments.pretrained else (None, {}, [])
    spec = specification(arguments, dataset, known)
    model = build(spec, dataset)
    anew = load_pretrained(arguments.pretrained, state, model, runtime) if state else []
    if anew and not arguments.epochs:
        raise SystemExit(f"{arguments.pretrained} is for other classes: with --epochs 0 {anew[0]} would stay random, so give some")
    model, task = runtime.place(model), tasks.of(model, dataset)
    steps = arguments.epochs * batch_count(dataset.count("train"), arguments.batch)
    optimizer = optimizers.make(arguments.optimizer, model, arguments.lr, arguments.weight_decay)
    schedule = one_cycle(optimizer, steps, arguments.warmup)
    chosen = {**{key: getattr(arguments, key) for key in SETTINGS}, "pretrained": arguments.pretrained and arguments.pretrained.name}
    checkpoint = loop.Checkpoint(runtime, arguments.out, arguments.resume,
                                 {"spec": model.spec, "size": dataset.size, "classes": list(dataset.classes),
                                  "settings": {**chosen, "set": spec}},
                                 model=model, optimizer=optimizer, schedule=schedule)
    wrapped = runtime.distribute(model.train())

    def loss(images, targets, epoch, index):
        with runtime.autocast():
            outputs = each(torch.Tensor.float, wrapped(images))
        return task.loss(outputs, targets, arguments.smoothing)

    def validate(epoch):
        if epoch % arguments.validate_every and epoch != arguments.epochs:
            return {}
        model.eval()
        figures = {"validation": task.score(task.answers(runtime, dataset, "validation", model))}
        model.train()
        return figures

    history = loop.fit(runtime, dataset, loss, optimizer, schedule, checkpoint, epochs=arguments.epochs,
                       batch=arguments.batch, seed=arguments.seed, mix=mix, validate=validate)
    if runtime.is_main:
        answers = task.answers(runtime, dataset, "test", model.eval())
        test, details = task.score(answers), task.details(answers)
        print(f"test {task.metric} {test:.4f}")
        write_json(arguments.out.with_suffix(".json"), {
            "spec": model.spec, "parameters": sum(p.numel() for p in model.parameters()), **chosen,
            "dataset": dataset.name, "input": list(dataset.size), "ranks": runtime.world,
            "metric": task.metric, "test": test, **({"test_details": details} if details else {}),
            "versions": versions(),
            "history": history, "history_before": earlier})
    runtime.close()


if __name__ == "__main__":
    inputs.run(main)
