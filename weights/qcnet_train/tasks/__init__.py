"""What a model is for. All that differs between tasks is here; the rest of this package does not know them.

A task is a class of
    metric                                 the figure that counts, a share: "accuracy"
    suggested(dataset) -> {option: value}  what the data says a model should be built with
    Task(model, dataset)
    .batch                                 images of an evaluation step
    .loss(outputs, targets, smoothing=0)   a scalar; outputs in fp32
    .distillation(outputs, teacher)        a scalar, without labels
    .answers(runtime, dataset, split, forward) -> what the model says of a whole split, and what is right
    .score(answers) -> float               the metric
    .details(answers) -> {name: figure}    what else is worth a record
    .save(answers, path)                   the model's side alone, as .npy
"""

from .. import models
from .classification import Classification
from .detection import Detection

TASKS = {"classification": Classification, "detection": Detection}


def kind(architecture, dataset):
    """The task's class, if model and data agree on it."""
    wanted = models.task(architecture)
    if dataset.task != wanted:
        raise SystemExit(f"{architecture} is a model for {wanted}, but {dataset.name} is a dataset for {dataset.task}")
    return TASKS[wanted]


def of(model, dataset):
    return kind(model.spec["architecture"], dataset)(model, dataset)
