"""Frames that a node wrote, read back (docs/frame.md). What a server must refuse in them is not checked here."""

import struct

import numpy as np

MAGIC, PLAIN = b"QCNF", 2


def read(path):
    """The frames in a file that `node -o` wrote without --compress: model hash, {map's name: (shape, packed bits of each frame)}.

    Shapes are [N, ..., C], bits a frame [N ... pixels, bytes of a pixel] of uint8. Raises ValueError that says what is wrong.
    """
    with open(path, "rb") as file:
        stream = file.read()
    at, known, frames = 0, None, []
    while at < len(stream):
        size, = struct.unpack_from("<I", stream, at) if at + 4 <= len(stream) else (0,)
        frame, at = stream[at + 4:at + 4 + size], at + 4 + size
        if len(frame) < 32 or len(frame) < size or frame[:4] != MAGIC:
            raise ValueError(f"{path}: frame {len(frames) + 1} is cut off, or this is no file of frames as node -o writes it")
        about, bits = _parse(path, frame)
        if known not in (None, about):
            raise ValueError(f"{path}: its frames are not all of one node")
        known = about
        frames.append(bits)
    if not frames:
        raise ValueError(f"{path}: there are no frames")
    model, shapes = known
    return model, {name: (shape, np.stack([frame[i] for frame in frames])) for i, (name, shape) in enumerate(shapes)}


def _parse(path, frame):
    version, maps, model = struct.unpack_from("<HHQ", frame, 4)
    if version != PLAIN:
        raise ValueError(f"{path}: its frames are of version {version}, {PLAIN} is needed: node without --compress")
    at, shapes = 28, []
    for _ in range(maps):
        name = frame[at + 1:at + 1 + frame[at]].decode()
        at += 1 + len(name)
        shape = struct.unpack_from(f"<{frame[at]}I", frame, at + 1)
        at += 1 + 4 * len(shape)
        shapes.append((name, shape))
    bits = []
    for _, shape in shapes:
        pixels, width = int(np.prod(shape[:-1])), (shape[-1] + 7) // 8
        bits.append(np.frombuffer(frame, np.uint8, pixels * width, at).reshape(pixels, width))
        at += pixels * width
    return (model, shapes), bits
