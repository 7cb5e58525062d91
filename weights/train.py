#!/usr/bin/env python3
"""Trains a base model: SGD with Nesterov momentum, one-cycle learning rate, label smoothing.

Writes a checkpoint after each epoch (--resume continues it) and a JSON log beside it. Runs on one
process, or on several GPUs or machines under torchrun.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F

from qcnet_train import loop, models, options
from qcnet_train.data.order import batch_count
from qcnet_train.runtime import seed_everything, versions


def parse():
    parser = options.parser(__doc__)
    options.add_training(parser)
    parser.add_argument("--out", required=True, type=Path, help="checkpoint, e.g. runs/model.pt")
    parser.add_argument("--architecture", default="resnet", choices=sorted(models.FAMILIES))
    parser.add_argument("--model", default="small", help="small, or torchvision's, e.g. resnet50")
    parser.add_argument("--block", default="basic", choices=("basic", "bottleneck"))
    parser.add_argument("--depths", type=int, nargs=4, default=(2, 2, 2, 2), help="blocks")
    parser.add_argument("--width", type=int, default=16, help="small: channels of the stem")
    parser.add_argument("--pretrained", type=Path, help="state_dict or checkpoint to start from")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--lr", type=float, default=0.25, help="peak learning rate")
    parser.add_argument("--warmup", type=float, default=0.2, help="share of the steps before the peak")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--smoothing", type=float, default=0.1, help="label smoothing")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate-every", type=int, default=1, help="epochs between validations")
    parser.add_argument("--resume", action="store_true", help="continue from --out if it exists")
    return parser.parse_args()


def specification(arguments):
    spec = {"architecture": arguments.architecture, "name": arguments.model}
    if arguments.model == "small":
        spec.update(block=arguments.block, depths=tuple(arguments.depths), width=arguments.width)
    return spec


def one_cycle(optimizer, steps, warmup):
    """Linear warm-up to the peak, then cosine to zero (Smith and Topin, 2018)."""
    rise = max(1, int(warmup * steps))

    def factor(step):
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def parameter_groups(model, weight_decay):
    """Weight decay for the weights of convolutions and linear layers only."""
    heavy = [p for p in model.parameters() if p.ndim > 1]
    light = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": heavy, "weight_decay": weight_decay}, {"params": light, "weight_decay": 0.0}]


def main():
    arguments = parse()
    runtime, dataset = options.open_run(arguments)
    seed_everything(arguments.seed)
    model = models.build(specification(arguments), len(dataset.classes), dataset.channels)
    earlier = []
    if arguments.pretrained:
        state = torch.load(arguments.pretrained, map_location="cpu")
        model.load_state_dict(state.get("model", state))
        earlier = state.get("history", [])
    model = runtime.place(model)
    steps = arguments.epochs * batch_count(dataset.count("train"), arguments.batch)
    optimizer = torch.optim.SGD(parameter_groups(model, arguments.weight_decay), lr=arguments.lr,
                                momentum=0.9, nesterov=True)
    schedule = one_cycle(optimizer, steps, arguments.warmup)
    checkpoint = loop.Checkpoint(runtime, arguments.out, arguments.resume, {"spec": model.spec},
                                 model=model, optimizer=optimizer, schedule=schedule)
    wrapped = runtime.distribute(model.train())

    def loss(images, labels, epoch, index):
        with runtime.autocast():
            logits = wrapped(images)
        return F.cross_entropy(logits.float(), labels, label_smoothing=arguments.smoothing)

    def validate(epoch):
        if epoch % arguments.validate_every and epoch != arguments.epochs:
            return {}
        model.eval()
        figures = {"validation": loop.accuracy(runtime, dataset, "validation", model)}
        model.train()
        return figures

    history = loop.fit(runtime, dataset, loss, optimizer, schedule, checkpoint, epochs=arguments.epochs,
                       batch=arguments.batch, seed=arguments.seed, validate=validate)
    if runtime.is_main:
        test = loop.accuracy(runtime, dataset, "test", model.eval())
        print(f"test accuracy {test:.4f}")
        arguments.out.with_suffix(".json").write_text(json.dumps({
            "spec": model.spec, "parameters": sum(p.numel() for p in model.parameters()),
            "dataset": dataset.name, "epochs": arguments.epochs, "batch": arguments.batch,
            "lr": arguments.lr, "weight_decay": arguments.weight_decay, "smoothing": arguments.smoothing,
            "seed": arguments.seed, "bf16": runtime.bf16, "ranks": runtime.world,
            "test": test, "versions": versions(),
            "history": history, "history_before": earlier}, indent=1) + "\n")
    runtime.close()


if __name__ == "__main__":
    main()
