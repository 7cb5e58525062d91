"""The training loop and checkpoints, the same for every stage and task."""

import itertools
import math
import time
from pathlib import Path

import torch
from tqdm import tqdm

from . import inputs
from .data.order import batch_count, random_seed
from .outputs import written


def save(path, state):
    with written(path) as partial:
        torch.save(state, partial)


def check_settings(path, settings, before, advice):
    """Exits, and names the options, if what is at `path` was trained `before` with others than these settings."""
    other = [f"--{key.replace('_', '-')}" for key, value in settings.items() if before.get(key) != value]
    if other:
        raise SystemExit(f"{path}: was trained with another {', '.join(other)}; {advice}")


class Checkpoint:
    """State of everything in `parts` (name -> object with a state_dict) after each epoch, and `extra` beside it.

    Its "settings", if it has any, are those without which training would not go on as it began.
    """

    def __init__(self, runtime, path, resume, extra=None, **parts):
        self.runtime, self.path, self.resume = runtime, Path(path), resume
        self.extra, self.parts = extra or {}, parts

    def load(self):
        """Restores the parts; returns the history of the epochs that are done."""
        found = self.resume and self.path.exists()
        state = self.runtime.share(lambda: inputs.checkpoint(self.path, *self.parts, "history") if found else None)
        if state is None:
            return []
        if "settings" in state:  # checkpoints of before have none
            check_settings(self.path, self.extra["settings"], state["settings"], "give the same again, or another --out")
            if state.get("classes") != self.extra.get("classes"):
                raise SystemExit(f"{self.path}: was trained for other classes; give the same --data again, or another --out")
        for name, part in self.parts.items():
            inputs.fill(self.path, part, state[name])
        return state["history"]

    def save(self, history):
        state = {name: part.state_dict() for name, part in self.parts.items()}
        save(self.path, {**self.extra, **state, "history": history})


def check_finite(optimizer, label, epoch):
    """Exits if training has diverged; a loss behind bits may stay finite."""
    if not all(bool(weight.isfinite().all()) for group in optimizer.param_groups for weight in group["params"]):
        raise SystemExit(f"{label}: weights are no numbers after epoch {epoch}; give a smaller --lr, or --fp32")


def fit(runtime, dataset, loss, optimizer, schedule, checkpoint, *, epochs, batch, seed, mix, label="train",
        deferred=False, validate=None):
    """Runs `epochs` epochs, the last one perhaps a fraction: loss(images, targets, epoch, index) -> scalar.

    `mix` (see cutmix.py) has each batch first. `schedule` steps once a batch; `validate(epoch)` adds its figures
    to the epoch's record. With `deferred`, images may be, and the loss makes those that it needs. Returns the history, one
    record an epoch.
    """
    history = checkpoint.load()
    whole = batch_count(dataset.count("train"), batch)
    steps = max(1, round(epochs * whole)) if epochs else 0
    if steps == 0 and runtime.is_main:
        checkpoint.save(history)  # a trained model stays as it is
    for epoch in range(len(history), math.ceil(steps / whole)):
        count = min(whole, steps - epoch * whole)
        start, total, seen = time.time(), 0.0, 0
        torch.manual_seed(random_seed(seed, epoch, runtime.rank))  # of layers that drop, so that --resume goes on as it would have
        batches = dataset.batches("train", batch, augment=True, seed=seed, epoch=epoch,
                                  rank=runtime.rank, world=runtime.world, deferred=deferred)
        progress = tqdm(itertools.islice(batches, count), desc=f"{label} {epoch + 1}/{epochs:g}",
                        total=count, leave=False, mininterval=5, disable=not runtime.is_main)
        for images, targets, i in progress:
            images, targets = mix(images, targets, epoch, i)
            value = loss(runtime.put(images), targets.to(runtime.device), epoch, i)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            schedule.step()
            total, seen = total + float(value.detach()) * len(targets), seen + len(targets)
        check_finite(optimizer, label, epoch + 1)
        total, seen = runtime.sum(total, seen)
        record = {"epoch": epoch + 1, "loss": round(total / seen, 5),
                  "seconds": round(time.time() - start, 1)}
        history.append(record)
        if runtime.is_main:
            record.update(validate(epoch + 1) if validate else {})
            checkpoint.save(history)
            print(label, record, flush=True)
        runtime.barrier()
    return history
