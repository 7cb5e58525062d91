"""Datasets of pictures with boxes: BCCD, and a user's own in VOC XML or YOLO text (see annotations.py).

BCCD, blood cells (https://github.com/Shenggan/BCCD_Dataset, MIT licence): 364 pictures of 640 x 480, by its own lists
205 to train, 87 to validate, 72 to test; 4,155 red cells, 372 white cells, 361 platelets. Two boxes have no area.
"""

import functools
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .. import machine
from ..detection.letterbox import GREY, Letterbox
from . import annotations, locate
from .deferred import Deferred
from .order import epoch_batches, random_seed

KEPT_BYTES = 4 << 30  # of decoded pictures; less where that is more than an eighth of the memory
FLIPS = ("horizontal", "vertical")
ZOOM, STRETCH = (0.7, 1.4), 0.1    # of the letterboxed picture's size; of its width over its height
VISIBLE = 0.25                     # the share of a box that a crop must leave, else it is no longer a truth
LIGHT, COLOUR, TINT = 0.3, 0.4, 0.1  # brightness and contrast, saturation, each channel alone: plus or minus these
BCCD_ADVICE = """Give --data a folder that holds bccd.zip or BCCD (JPEGImages, Annotations, ImageSets), from
https://github.com/Shenggan/BCCD_Dataset"""
OWN_ADVICE = """Give --data a folder (or a zip) of pictures with boxes, either as VOC XML
  JPEGImages/<name>.jpg, Annotations/<name>.xml, ImageSets/Main/{train,val,test}.txt
or as YOLO text
  images/{train,val,test}/<name>.jpg, labels/{train,val,test}/<name>.txt, classes.txt"""


def uniform(generator, low, high, count=None):
    values = low + (high - low) * torch.rand(count or 1, generator=generator)
    return values if count else float(values)


def jitter(pixels, generator):
    """Random light and colours: uint8 [H, W, 3] -> the same."""
    x = torch.from_numpy(pixels.astype(np.float32))  # five times faster than torch's own conversion
    contrast, brightness = (uniform(generator, 1 - LIGHT, 1 + LIGHT) for _ in range(2))
    tint = uniform(generator, 1 - TINT, 1 + TINT, 3)
    grey = x.mean(2, keepdim=True)
    x = grey + (x - grey) * uniform(generator, 1 - COLOUR, 1 + COLOUR)
    x = ((x - x.mean()) * contrast + x.mean()) * brightness * tint
    return x.clamp(0, 255).round().byte().numpy()


def zoomed(picture, truths, size, generator):
    """A random scale, shape and place in the input, cropped where it is larger: (uint8 [H, W, 3], rows [M, 5])."""
    plain = Letterbox(*picture.size, size)
    zoom = float(np.exp(uniform(generator, *np.log(ZOOM))))
    stretch = float(np.exp(uniform(generator, -STRETCH, STRETCH) / 2))
    scaled = np.maximum([plain.width * zoom * stretch, plain.height * zoom / stretch], 1)
    scale, inside = scaled / picture.size, np.array(size[::-1])
    free = inside - scaled
    corner = np.array([uniform(generator, *sorted((0.0, float(room)))) for room in free])
    first = np.maximum(corner, 0).round().astype(int)
    last = np.maximum(np.minimum(corner + scaled, inside).round().astype(int), first + 1)
    source = np.clip(np.concatenate([(first - corner) / scale, (last - corner) / scale]), 0, picture.size * 2)
    canvas = np.full((*size, 3), GREY, np.uint8)
    part = np.array(picture.resize(tuple(last - first), Image.BILINEAR, box=tuple(source)))
    canvas[first[1]:last[1], first[0]:last[0]] = jitter(part, generator)
    whole = truths[:, 1:] * np.tile(scale, 2) + np.tile(corner, 2)
    seen = np.concatenate([truths[:, :1], whole.clip(np.tile(first, 2), np.tile(last, 2))], 1)
    share = (seen[:, 3:] - seen[:, 1:3]).prod(1) / (whole[:, 2:] - whole[:, :2]).prod(1)
    return canvas, seen[share > VISIBLE]


def flipped(pixels, truths, axis):
    """Mirrored along axis 0 (vertical) or 1 (horizontal) of [H, W, 3]."""
    low, high, side = (1, 3, pixels.shape[1]) if axis == 1 else (2, 4, pixels.shape[0])
    truths = truths.copy()
    truths[:, [low, high]] = side - truths[:, [high, low]]
    return np.flip(pixels, axis), truths


class DetectionDataset:
    """Pictures [3, H, W] in 0 to 1, letterboxed; labels are truths [N, M, 5], rows (class, x0, y0, x1, y1).

    Their boxes are in pixels of the input; what a picture has less than M is filled with rows of class -1.
    """

    task, channels, mean, std, resize, letterbox = "detection", 3, (0.0,) * 3, (1.0,) * 3, 0, True

    def __init__(self, name, classes, splits, size, flips, limit=None):
        if size % 32:
            raise SystemExit(f"--size {size}: a detector's input must be a multiple of 32")
        self.name, self.classes, self.size, self.flips = name, classes, (size, size), flips
        self.splits = {k: v[:limit] for k, v in splits.items()}
        self.kept, self.bytes, self.most = {}, 0, min(KEPT_BYTES, machine.memory() // 8)
        self.known = {}  # of augmented batches that were made: truths, and the generator's states before and after
        for split, pictures in self.splits.items():
            if not pictures:
                raise SystemExit(f"{name}: there are no pictures in the {split} split\n{OWN_ADVICE}")
            if not any(len(picture.truths) for picture in pictures):
                raise SystemExit(f"{name}: no picture of the {split} split has a box, as if its labels lay elsewhere\n{OWN_ADVICE}")

    def count(self, split):
        return len(self.splits[split])

    def truths(self, split):
        """Rows (class, box) [M, 5] of each picture in its own pixels."""
        return [picture.truths for picture in self.splits[split]]

    def letterboxes(self, split):
        return [Letterbox(*picture.size, self.size) for picture in self.splits[split]]

    def picture(self, split, i):
        """A decoded picture; kept while there is room."""
        if (split, i) in self.kept:
            return self.kept[split, i]
        decoded = self.splits[split][i].read()
        self.bytes += 3 * decoded.width * decoded.height
        if self.bytes <= self.most:
            self.kept[split, i] = decoded
        return decoded

    def plain(self, split, i):
        """(uint8 [H, W, 3], rows [M, 5])."""
        labelled = self.splits[split][i]
        letterbox = Letterbox(*labelled.size, self.size)
        boxes = letterbox.place(labelled.truths[:, 1:])
        return letterbox.draw(self.picture(split, i)), np.concatenate([labelled.truths[:, :1], boxes], 1)

    def augmented(self, split, i, generator):
        pixels, truths = zoomed(self.picture(split, i), self.splits[split][i].truths, self.size, generator)
        for axis, name in enumerate(reversed(FLIPS)):
            if name in self.flips and uniform(generator, 0, 1) < 0.5:
                pixels, truths = flipped(pixels, truths, axis)
        return pixels, truths

    def made(self, split, index, generator=None):
        """A batch's images [N, 3, H, W] and truths [N, M, 5], augmented if there is a generator."""
        pairs = [self.augmented(split, p, generator) if generator else self.plain(split, p) for p in index.tolist()]
        images = np.stack([pixels for pixels, _ in pairs]).astype(np.float32) / np.float32(255)
        return torch.from_numpy(images).permute(0, 3, 1, 2), stack([truths for _, truths in pairs])

    def made_again(self, split, index, state):
        """The images alone, of a generator in this state."""
        generator = torch.Generator()
        generator.set_state(state)
        return self.made(split, index, generator)[0]

    def batches(self, split, batch, augment=False, seed=0, epoch=0, rank=0, world=1, shuffle=None, deferred=False):
        """As all datasets'; `deferred`, augmented images that were made before are."""
        shuffle = augment if shuffle is None else shuffle
        order = epoch_batches(self.count(split), batch, shuffle, seed, epoch, rank, world)
        generator = torch.Generator().manual_seed(random_seed(seed, epoch, rank))
        for i, index in enumerate(order):
            key = (split, batch, seed, epoch, rank, world, shuffle, i)
            if not (augment and deferred):
                images, truths = self.made(split, index, generator if augment else None)
            elif key in self.known:
                truths, before, after = self.known[key]
                images = Deferred(functools.partial(self.made_again, split, index, before))
                generator.set_state(after)
            else:
                before = generator.get_state()
                images, truths = self.made(split, index, generator)
                self.known[key] = truths, before, generator.get_state()
            yield images, truths, i


def stack(truths):
    """[[M_i, 5], ...] -> [N, max M_i, 5], filled with rows of class -1."""
    stacked = torch.zeros(len(truths), max(map(len, truths)), 5)
    stacked[..., 0] = -1
    for rows, known in zip(stacked, truths):
        rows[:len(known)] = torch.from_numpy(known)
    return stacked


def opened(path):
    if path.suffix != ".zip":
        return path
    with locate.archive(path):  # exits if it is none
        return zipfile.Path(path)


def load_bccd(path, limit, size, flips):
    classes, splits = annotations.read(opened(locate.find(path, ("bccd.zip", "BCCD"), BCCD_ADVICE)))
    return DetectionDataset("BCCD", classes, splits, size, FLIPS if flips is None else flips, limit)


def load_folder(path, limit, size, flips):
    root = Path(path or "")
    names = ("Annotations", "classes.txt")
    if path is None or not (root.suffix == ".zip" and root.exists() or any((root / n).exists() for n in names)):
        raise SystemExit(f"no pictures with boxes in {path or 'no folder'}\n{OWN_ADVICE}")
    classes, splits = annotations.read(opened(root))
    return DetectionDataset(root.stem, classes, splits, size, FLIPS[:1] if flips is None else flips, limit)
