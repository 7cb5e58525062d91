"""A small strict writer and reader of the safetensors format (numpy only).

File: u64 little-endian N, N bytes of JSON padded with spaces to a multiple of 8, then the data.
Tensors lie in order of their names, contiguous. Format: https://github.com/huggingface/safetensors
"""

import json
import struct
from pathlib import Path

import numpy as np

from .inputs import FileError
from .outputs import written

DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "I64": np.dtype("<i8"), "U8": np.dtype("u1")}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
HEADER_LIMIT = 100_000_000


def save(path, tensors, metadata):
    """Writes {name: array} and {key: string}; the file appears whole or not at all."""
    header, offset, arrays = {"__metadata__": dict(sorted(metadata.items()))}, 0, []
    for name in sorted(tensors):
        array = np.asarray(tensors[name], order="C")
        if array.dtype not in NAMES:
            raise ValueError(f"{name}: dtype {array.dtype} has no safetensors name here")
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
        arrays.append(array)
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("metadata must map strings to strings")
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with written(path) as partial, open(partial, "wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for array in arrays:
            stream.write(array.tobytes())


def load(path):
    """Reads a file strictly: ({name: array}, {key: string}). Raises FileError that says what is wrong."""
    try:
        return parse(Path(path).read_bytes())
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # what a JSON of another form leads to, too
        raise FileError(f"{path}: is no safetensors file that can be read: {error}") from None


def parse(data):
    if len(data) < 8:
        raise ValueError(f"{len(data)} bytes are too short for a header length")
    (size,) = struct.unpack_from("<Q", data)
    if size > HEADER_LIMIT or size + 8 > len(data):
        raise ValueError(f"header of {size} bytes in a file of {len(data)}")
    header = json.loads(data[8:8 + size].decode(), object_pairs_hook=unique)
    metadata = header.pop("__metadata__", {})
    body, end, tensors = data[8 + size:], 0, {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"{name}: dtype {entry['dtype']} is not supported")
        dtype, shape, (begin, stop) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        count = 1
        for extent in shape:
            count *= extent
        if begin != end or stop - begin != count * dtype.itemsize or stop > len(body):
            raise ValueError(f"{name}: offsets [{begin}, {stop}] do not fit {entry['dtype']}{shape}")
        tensors[name] = np.frombuffer(body, dtype, count, begin).reshape(shape)
        end = stop
    if end != len(body):
        raise ValueError(f"{len(body) - end} bytes behind the last tensor")
    return tensors, metadata


def unique(pairs):
    """A JSON object as dict; duplicate keys are an error."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate keys in the header")
    return result
