"""The training loop, evaluation and checkpoints, the same for every stage."""

import os
import time
from pathlib import Path

import torch
from tqdm import tqdm

from .data.order import batch_count


def save(path, state):
    """torch.save beside the file, then a rename: an interrupted run leaves the old file whole."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


class Checkpoint:
    """State of everything in `parts` (name -> object with a state_dict) after each epoch."""

    def __init__(self, path, resume, extra=None, **parts):
        self.path, self.resume, self.extra, self.parts = Path(path), resume, extra or {}, parts

    def load(self):
        """Restores the parts; returns the history of the epochs that are done."""
        if not (self.resume and self.path.exists()):
            return []
        state = torch.load(self.path, map_location="cpu")
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return state["history"]

    def save(self, history):
        state = {name: part.state_dict() for name, part in self.parts.items()}
        save(self.path, {**self.extra, **state, "history": history})


def fit(runtime, dataset, loss, optimizer, schedule, checkpoint, *, epochs, batch, seed, first_epoch=0,
        label="train", validate=None):
    """Runs `epochs` epochs, numbered from `first_epoch`: loss(images, labels, epoch, batch index) -> scalar.

    `schedule` steps once a batch; `validate()` adds its figures to the epoch's record. Returns the
    history, one record an epoch.
    """
    history = checkpoint.load()
    for epoch in range(first_epoch + len(history), first_epoch + epochs):
        start, total, seen = time.time(), 0.0, 0
        batches = dataset.batches("train", batch, augment=True, seed=seed, epoch=epoch,
                                  rank=runtime.rank, world=runtime.world)
        progress = tqdm(batches, desc=f"{label} {epoch + 1}/{first_epoch + epochs}", leave=False,
                        total=batch_count(dataset.count("train"), batch), disable=not runtime.is_main)
        for images, labels, i in progress:
            value = loss(runtime.put(images), labels.to(runtime.device), epoch, i)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            schedule.step()
            total, seen = total + float(value.detach()) * len(labels), seen + len(labels)
        total, seen = runtime.sum(total, seen)
        record = {"epoch": epoch + 1, "loss": round(total / seen, 5),
                  "seconds": round(time.time() - start, 1)}
        history.append(record)
        if runtime.is_main:
            record.update(validate() if validate else {})
            checkpoint.save(history)
            print(label, record, flush=True)
        runtime.barrier()
    return history


@torch.no_grad()
def predict(runtime, dataset, split, forward, batch=500):
    """Predicted classes and labels of a whole split in its order, fp32, on this rank alone."""
    predicted, expected = [], []
    for images, labels, _ in dataset.batches(split, batch):
        predicted.append(forward(runtime.put(images)).argmax(1).cpu())
        expected.append(labels)
    return torch.cat(predicted), torch.cat(expected)


def accuracy(runtime, dataset, split, forward):
    """Share of correct answers as a fraction."""
    predicted, expected = predict(runtime, dataset, split, forward)
    return float((predicted == expected).double().mean())
