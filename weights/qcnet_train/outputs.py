"""Files that a script writes."""

import contextlib
import json
import os
from argparse import ArgumentTypeError
from pathlib import Path

import numpy as np


def out_folder(text):
    """An argparse type: a folder, there or not yet. That it cannot be is said before there is anything to write."""
    path = Path(text)
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir():
        raise ArgumentTypeError(f"{there} is a file, no folder")
    if not os.access(there, os.W_OK):
        raise ArgumentTypeError(f"the folder {there} may not be written to")
    return path


def out_file(text):
    """The same of a file, whose folder may be new."""
    path = Path(text)
    out_folder(path.parent)
    if path.is_dir():
        raise ArgumentTypeError(f"{path} is a folder, name a file")
    return path


@contextlib.contextmanager
def written(path):
    """A path beside the file, to write to; then it is renamed: an interrupted run leaves the old file whole."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # a full disk says no name, and torch.save what is no OSError
        raise SystemExit(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None


def write_text(path, text):
    with written(path) as partial:
        partial.write_text(text)


def write_json(path, content):
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_array(path, array):
    """As .npy."""
    with written(path) as partial, open(partial, "wb") as file:  # numpy gives a path without .npy another name
        np.save(file, array)
