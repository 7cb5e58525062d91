"""Where a dataset lies: at the argument; without one in $QCNET_DATA, then in ../shared/data beside the checkout."""

import contextlib
import os
import zipfile
import zlib
from pathlib import Path

from ..inputs import FileError

CHECKOUT = Path(__file__).resolve().parents[3]


class NotFound(SystemExit):
    """A dataset lies at none of its places."""


def roots(path):
    if path:
        return [Path(path)]
    shared = CHECKOUT.parent / "shared" / "data"
    if not os.environ.get("QCNET_DATA"):
        return [shared]
    own = Path(os.environ["QCNET_DATA"])
    if not own.exists():  # no other data in its place
        raise FileError(f"$QCNET_DATA: there is no {own}; unset it to look in {shared}")
    return [own, shared]


def find(path, names, advice):
    """First existing `names` entry under the roots (or a root itself); exits with `advice` if none."""
    tried = []
    for root in roots(path):
        for candidate in [root / name for name in names] + [root]:
            tried.append(candidate)
            if candidate.name in names and candidate.exists():
                return candidate
    raise NotFound("dataset not found, looked for:\n  " + "\n  ".join(map(str, tried)) + "\n" + advice)


@contextlib.contextmanager
def archive(path):
    """A zip, open."""
    try:
        with zipfile.ZipFile(path) as opened:
            yield opened
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FileError(f"{path}: is no zip, or is damaged: {error}") from None
