"""Picture files, decoded."""

import io
import zipfile

import numpy as np
from PIL import Image

from ..inputs import FileError


def opened(path, use):
    """use(picture) of the file at `path`, a Path or one in a zip."""
    try:
        return use(Image.open(io.BytesIO(path.read_bytes())))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, zipfile.BadZipFile) as error:
        says = str(error).partition(" <")[0]  # behind it is where the bytes lie in memory
        raise FileError(f"{path}: is no picture, or is damaged: {says}; replace it, or take it away") from None


def as_rgb(picture):
    """RGB; 16 bits of grey, which PIL would cut off at 255, as their upper 8, as a node reads them."""
    if picture.mode.startswith("I"):
        picture = Image.fromarray((np.asarray(picture) >> 8).clip(0, 255).astype(np.uint8))
    return picture.convert("RGB")


def rgb(path):
    return opened(path, as_rgb)
