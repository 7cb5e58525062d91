"""Files that a script is given. What is wrong with one, `run` says in a sentence."""

import json
import re
import sys
from pathlib import Path


LOG = ("cut", "baselines", "runs")  # a results.json of compensate.py has


class FileError(ValueError):
    """What is wrong with a file; begins with its path."""


def load(path):
    """What torch.save wrote."""
    import torch  # here: the scripts that need none read files, too
    try:
        return torch.load(path, map_location="cpu", weights_only=False)  # results of before hold torch's class of versions
    except OSError:
        raise
    except Exception as error:  # whatever these bytes make of an unpickler
        cause = str(error).partition("\n")[0] or type(error).__name__
        raise FileError(f"{path}: is no file of torch.save, or is damaged: {cause}") from None


def checkpoint(path, *keys):
    """The same, a dict with at least these keys."""
    return with_keys(path, load(path), keys)


def read_text(path):
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise FileError(f"{path}: is no text: {error}") from None


def read_json(path, *keys):
    """An object with at least these keys."""
    try:
        return with_keys(path, json.loads(read_text(path)), keys)
    except json.JSONDecodeError as error:
        raise FileError(f"{path}: is no JSON: {error}") from None


def specification(path, about):
    """The model's, of a file's metadata; {} if it says none."""
    text = about.get("qcnet.specification", "{}")
    try:
        spec = json.loads(text)
    except json.JSONDecodeError:
        spec = None
    if not isinstance(spec, dict):
        raise FileError(f"{path}: its metadata qcnet.specification is of no model: '{text}'")
    return spec


def with_keys(path, found, keys):
    if not isinstance(found, dict) or not set(keys) <= found.keys():
        raise FileError(f"{path}: is another file than is needed here, which has {', '.join(keys) or 'names and values'}")
    return found


def fill(path, part, state):
    """Loads a state_dict that was read at `path`."""
    try:
        part.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        raise FileError(f"{path}: is of another model: {brief(str(error))}") from None


def brief(text, most=3):
    """What torch says of a state_dict that does not fit, in a line; of many names, and of many lines, the first and how many."""
    def first_names(found):
        names = found[0].split(", ")
        return ", ".join(names[:most]) + f" and {len(names) - most} more"
    lines = [re.sub(rf'"[^"]*"(, "[^"]*"){{{most},}}', first_names, line.strip()) for line in text.splitlines()]
    more = [f"and {len(lines) - 1 - most} such lines more"] if len(lines) > 1 + most else []
    return " ".join([*lines[:1 + most], *more])


def run(main):
    """Calls a script's main()."""
    script = Path(sys.argv[0]).name
    try:
        main()
    except FileError as error:
        raise SystemExit(f"{script}: {error}") from None
    except OSError as error:
        if error.filename is None:
            raise
        raise SystemExit(f"{script}: {error.filename}: {error.strerror}") from None
