"""Picture files, decoded."""

import io
import zipfile

from PIL import Image

from ..inputs import FileError


def opened(path, use):
    """use(picture) of the file at `path`, a Path or one in a zip."""
    try:
        return use(Image.open(io.BytesIO(path.read_bytes())))
    except (OSError, SyntaxError, ValueError, zipfile.BadZipFile) as error:  # PIL raises all but the last
        says = str(error).partition(" <")[0]  # behind it is where the bytes lie in memory
        raise FileError(f"{path}: is no picture, or is damaged: {says}; replace it, or take it away") from None


def rgb(path):
    return opened(path, lambda picture: picture.convert("RGB"))
