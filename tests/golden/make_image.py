#!/usr/bin/env python3
"""Writes what PIL and torchvision answer for pictures that the tests make or read (see tests/vision/).

  resize.bin      u32 in_h, in_w, channels, out_h, out_w; bytes of the resized picture
  preprocess.bin  u32 in_h, in_w, in_channels, resize, height, width, channels; the float32 input [H, W, C]
  letterbox.bin   u32 in_h, in_w, in_channels, height, width, channels; bytes of the letterboxed picture
  pictures.bin    name in 32 bytes, u32 h, w; RGB bytes of ../corpus/image/good/<name>

and the pictures under ../corpus/image/. Needs Debian's python3-pil, python3-numpy and python3-torchvision.
"""
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torchvision import transforms

HERE = Path(__file__).parent
CORPUS = HERE.parent / "corpus" / "image"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

RESIZES = [  # in_h, in_w, channels, out_h, out_w
    (1, 1, 3, 1, 1), (1, 1, 3, 5, 7), (7, 5, 3, 1, 1), (64, 48, 3, 64, 48), (64, 48, 3, 64, 23),
    (64, 48, 1, 31, 48), (13, 17, 3, 29, 31), (29, 31, 3, 13, 17), (300, 2, 3, 7, 50), (2, 300, 3, 50, 7),
    (1, 1000, 1, 3, 10), (1000, 1, 3, 10, 3), (3, 3, 1, 97, 89), (97, 89, 1, 96, 88), (31, 33, 3, 32, 32),
    (53, 53, 1, 52, 54), (375, 500, 3, 48, 64), (256, 341, 1, 57, 61), (2, 2, 3, 4, 4), (480, 640, 3, 27, 36),
]
PREPROCESSES = [  # in_h, in_w, in_channels, resize, height, width, channels
    (48, 64, 3, 40, 32, 32, 3), (77, 33, 3, 36, 32, 32, 3), (33, 51, 3, 24, 31, 20, 3), (20, 23, 3, 24, 32, 29, 3),
    (64, 50, 3, 32, 29, 31, 3), (32, 32, 3, 32, 32, 32, 3), (5, 200, 3, 28, 28, 28, 3), (28, 28, 1, 28, 28, 28, 1),
    (40, 30, 3, 28, 28, 28, 1), (30, 40, 1, 24, 16, 16, 3),
]
LETTERBOXES = [  # in_h, in_w, in_channels, height, width, channels
    (48, 64, 3, 32, 32, 3), (64, 48, 3, 32, 32, 3), (33, 71, 3, 64, 64, 3), (71, 33, 1, 64, 64, 3), (32, 32, 3, 32, 32, 3),
    (31, 31, 3, 64, 64, 3), (31, 32, 3, 32, 32, 3), (32, 31, 3, 32, 32, 3), (29, 32, 3, 32, 32, 1), (30, 40, 3, 32, 64, 3),
    (40, 30, 3, 64, 32, 3), (53, 53, 3, 32, 96, 3), (53, 53, 3, 96, 32, 3), (1, 1, 3, 32, 32, 3), (1, 2, 1, 32, 32, 1),
    (2, 1, 3, 32, 32, 3), (7, 5, 3, 33, 35, 3), (1, 10000, 3, 32, 32, 3), (10000, 1, 3, 32, 32, 3),
    (3, 10000, 1, 32, 32, 1), (400, 10000, 1, 32, 32, 1), (37, 10, 3, 17, 13, 3), (480, 640, 1, 96, 96, 1),
    (97, 64, 3, 96, 96, 3), (10, 20, 3, 13, 32, 3), (64, 97, 3, 96, 96, 3),
]


def noise(height, width, channels):
    """The pictures that tests/vision/golden.hpp makes as well."""
    state = height * 65536 + width * 16 + channels
    out = bytearray()
    for _ in range(height * width * channels):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(state >> 24)
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, channels)


def pil(array):
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


def write_resize():
    with open(HERE / "resize.bin", "wb") as file:
        for h, w, c, out_h, out_w in RESIZES:
            file.write(struct.pack("<5I", h, w, c, out_h, out_w))
            file.write(pil(noise(h, w, c)).resize((out_w, out_h), Image.BILINEAR).tobytes())


def write_preprocess():
    with open(HERE / "preprocess.bin", "wb") as file:
        for case in PREPROCESSES:
            h, w, c, resize, height, width, channels = case
            transform = transforms.Compose([
                transforms.Resize(resize), transforms.CenterCrop((height, width)), transforms.ToTensor(),
                transforms.Normalize(MEAN[:channels], STD[:channels])])
            image = pil(noise(h, w, c)).convert("L" if channels == 1 else "RGB")
            file.write(struct.pack("<7I", *case))
            file.write(transform(image).permute(1, 2, 0).contiguous().numpy().tobytes())


def write_letterbox():
    with open(HERE / "letterbox.bin", "wb") as file:
        for case in LETTERBOXES:
            h, w, c, height, width, channels = case
            image = pil(noise(h, w, c)).convert("L" if channels == 1 else "RGB")
            if w > h * 2 * width or h > w * 2 * height:  # PIL refuses to make a picture of less than half a pixel
                flat = (width, 1) if w > h else (1, height)
                boxed = ImageOps.pad(image.resize(flat, Image.BILINEAR), (width, height), color=(128,) * channels)
            else:
                boxed = ImageOps.pad(image, (width, height), Image.BILINEAR, color=(128,) * channels)
            file.write(struct.pack("<6I", *case))
            file.write(boxed.tobytes())


def smooth(height, width):
    """A picture that JPEG is made for: gradients and one edge."""
    y, x = np.mgrid[0:height, 0:width]
    disc = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (height / 4) ** 2
    rgb = np.stack([255 * x / width, 255 * y / height, 200 * disc + 40], axis=2)
    return Image.fromarray(rgb.astype(np.uint8))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def patched(data, at, new):
    return data[:at] + new + data[at + len(new):]


def with_jpeg_size(data, width, height):
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))


def with_bmp_size(data, width, height):
    return patched(data, 18, struct.pack("<ii", width, height))


def write_pictures():
    picture, tiny = smooth(37, 45), smooth(9, 11)
    deep = (np.arange(6 * 7, dtype=np.uint32) * 1567).astype(np.uint16).reshape(6, 7)
    deep_rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    alpha = picture.convert("RGBA")
    alpha.putalpha(pil(noise(37, 45, 1)))
    bmp = encoded(tiny, "BMP")
    jpeg = encoded(picture, "JPEG", quality=90)
    good = {
        "444.jpg": encoded(picture, "JPEG", quality=90, subsampling=0),
        "420.jpg": encoded(picture, "JPEG", quality=90, subsampling=2),
        "progressive.jpg": encoded(picture, "JPEG", quality=90, progressive=True),
        "gray.jpg": encoded(picture.convert("L"), "JPEG", quality=90),
        "cmyk.jpg": encoded(picture.convert("CMYK"), "JPEG", quality=90),
        "1x1.jpg": encoded(Image.new("RGB", (1, 1), (200, 100, 50)), "JPEG", quality=100, subsampling=0),
        "1x1.png": encoded(Image.new("RGB", (1, 1), (200, 100, 50)), "PNG"),
        "1x1.bmp": encoded(Image.new("RGB", (1, 1), (200, 100, 50)), "BMP"),
        "rgb.png": encoded(picture, "PNG"),
        "gray.png": encoded(picture.convert("L"), "PNG"),
        "alpha.png": encoded(alpha, "PNG"),
        "gray_alpha.png": encoded(alpha.convert("LA"), "PNG"),
        "palette.png": encoded(picture.convert("P", palette=Image.ADAPTIVE, colors=100), "PNG"),
        "palette_16.png": encoded(picture.convert("P", palette=Image.ADAPTIVE, colors=16), "PNG", bits=4),
        "one_bit.png": encoded(picture.convert("1"), "PNG"),
        "16_bit.png": png(7, 6, 16, 0, deep_rows),
        "rgb.bmp": encoded(picture, "BMP"),
        "gray.bmp": encoded(picture.convert("L"), "BMP"),
        "one_bit.bmp": encoded(picture.convert("1"), "BMP"),
        "top_down.bmp": with_bmp_size(bmp, 11, -9),
    }
    bad = {
        "empty.png": b"",
        "text.jpg": b"This is not a picture.\n",
        "magic_only.jpg": b"\xff\xd8\xff",
        "magic_only.png": b"\x89PNG\r\n\x1a\n",
        "magic_only.bmp": b"BM",
        "gif.png": encoded(tiny.convert("P"), "GIF"),
        "psd.png": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 8, 3) + bytes(80),
        "hdr.png": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 2\n" + bytes(16),
        "tga.bmp": bytes([0, 0, 2]) + bytes(9) + struct.pack("<HHBB", 2, 2, 24, 0) + bytes(12),
        "pnm.png": b"P6 2 2 255\n" + bytes(12),
        "truncated.jpg": jpeg[:len(jpeg) // 2],
        "truncated_in_header.jpg": jpeg[:100],
        "without_end.jpg": jpeg[:-2],
        "truncated_progressive.jpg": good["progressive.jpg"][:-200],
        "many_codes.jpg": patched(jpeg, jpeg.index(b"\xff\xc4") + 5, bytes([1, 2, 4, 8, 16, 32, 64, 128, 255])),
        "codes_past_segment.jpg": jpeg[:2] + b"\xff\xc4\x00\x05\x00\x00\x00" + b"\xff" * 16 + jpeg[2:],
        "truncated.png": good["rgb.png"][:-60],
        "truncated.bmp": bmp[:-10],
        "huge.jpg": with_jpeg_size(jpeg, 65535, 65535),
        "huge.png": png(100000, 100000, 8, 2, b"\0"),
        "huge.bmp": with_bmp_size(bmp, 2**31 - 1, 2**31 - 1),
        "wide.png": png(20000, 1, 8, 0, bytes(20001)),
        "many_pixels.png": png(16384, 16384, 8, 0, b"\0"),
        "most_negative.bmp": with_bmp_size(bmp, 11, -2**31),
        "negative_width.bmp": with_bmp_size(bmp, -11, 9),
        "zero.jpg": with_jpeg_size(jpeg, 0, 37),
        "zero.png": png(0, 5, 8, 2, b"\0"),
        "zero.bmp": with_bmp_size(bmp, 0, 9),
        "few_rows.png": png(7, 6, 16, 0, deep_rows[:-5]),
        "bomb.png": png(7, 6, 8, 0, bytes(10**7)),
        "huge_chunk.png": patched(good["rgb.png"], good["rgb.png"].index(b"IDAT") - 4, b"\x5f"),
        "bad_color.png": png(7, 6, 8, 5, deep_rows),
        "rle.bmp": patched(bmp, 30, b"\1"),
    }
    with open(HERE / "pictures.bin", "wb") as file:
        for name, data in good.items():
            image = Image.open(io.BytesIO(data))
            if name == "16_bit.png":  # PIL clips 16-bit gray instead of scaling it
                image = Image.fromarray((deep >> 8).astype(np.uint8))
            file.write(struct.pack("<32sII", name.encode(), image.height, image.width))
            file.write(image.convert("RGB").tobytes())
    for folder, files in (("good", good), ("bad", bad)):
        (CORPUS / folder).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (CORPUS / folder / name).write_bytes(data)


if __name__ == "__main__":
    write_resize()
    write_preprocess()
    write_letterbox()
    write_pictures()
