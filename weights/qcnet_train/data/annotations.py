"""Pictures with boxes, in the two layouts that labelling programs write.

VOC XML (Everingham et al., 2010), as BCCD has it:
  JPEGImages/<name>.jpg, Annotations/<name>.xml, ImageSets/Main/{train,val,test}.txt with one name a line
YOLO text, class names one a line, box lines "class x y w h" (centre and size as shares of the picture's sides):
  images/{train,val,test}/<name>.jpg, labels/{train,val,test}/<name>.txt, classes.txt

Coordinates are taken as edges in pixels from 0, which is what today's labelling programs write into VOC files. Boxes
reach to the picture's border at most; those without area, left by a stray click, are dropped.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from ..inputs import read_text
from .pictures import opened, rgb

SPLITS = {"train": ("train",), "validation": ("val", "valid"), "test": ("test",)}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@dataclass
class Labelled:
    """A picture file (a Path, or one in a zip) of `size` (width, height) and its rows (class, box) [M, 5]."""
    path: object
    size: tuple
    truths: np.ndarray

    def read(self):
        """The picture, decoded, as RGB."""
        return rgb(self.path)


def labelled(path, boxes):
    """`boxes(width, height)` gives the rows of the picture at `path`."""
    size = opened(path, lambda picture: picture.size)
    rows = np.array(list(boxes(*size)), np.float64).reshape(-1, 5)
    rows[:, 1:] = rows[:, 1:].clip(0, size * 2)
    return Labelled(path, size, rows[(rows[:, 3:] > rows[:, 1:3]).all(1)])


def read_voc(root):
    """(classes, {split: [Labelled]}); classes are all names in Annotations, in alphabetical order."""
    pictures = {PurePath(path.name).stem: path for path in (root / "JPEGImages").iterdir()
                if path.name.lower().endswith(SUFFIXES)}
    objects = {PurePath(path.name).stem: voc_objects(path) for path in (root / "Annotations").iterdir()
               if path.name.endswith(".xml")}
    names = {}
    for split, files in SPLITS.items():
        listed = [root / "ImageSets" / "Main" / f"{file}.txt" for file in files]
        lines = [line.strip() for path in listed if path.exists() for line in read_text(path).splitlines()]
        names[split] = [line for line in lines if line]
    classes = tuple(sorted({label for rows in objects.values() for label, _ in rows}))

    def one(name):
        if name not in pictures or name not in objects:
            raise SystemExit(f"{root}: '{name}' is not in " + ("JPEGImages" if name in objects else "Annotations"))
        return labelled(pictures[name], lambda *_: ((classes.index(label), *box) for label, box in objects[name]))
    return classes, {split: [one(name) for name in members] for split, members in names.items()}


def voc_objects(path):
    """[(class name, [x0, y0, x1, y1])] of one XML file."""
    try:
        things = ElementTree.fromstring(path.read_bytes()).findall("object")
    except ElementTree.ParseError as error:
        raise SystemExit(f"{path}: {error}") from None
    return [voc_object(thing, f"{path}, object {number}") for number, thing in enumerate(things, 1)]


def voc_object(thing, where):
    name = (thing.findtext("name") or "").strip()
    texts = [thing.findtext(f"bndbox/{edge}") or "" for edge in ("xmin", "ymin", "xmax", "ymax")]
    try:
        box = [float(text) for text in texts]
    except ValueError:
        raise SystemExit(f"{where}: expected xmin, ymin, xmax and ymax of its bndbox, found {texts}") from None
    if not name or not np.isfinite(box).all() or box[2] < box[0] or box[3] < box[1]:
        raise SystemExit(f"{where}: '{name}' from {box[:2]} to {box[2:]} is no name or no box")
    return name, box


def read_yolo(root):
    """(classes, {split: [Labelled]}); a picture without a text file, or with an empty one, has no boxes."""
    classes = tuple(read_text(root / "classes.txt").split("\n"))
    classes = tuple(name.strip() for name in classes if name.strip())
    splits = {}
    for split, folders in SPLITS.items():
        paths = [(path, root / "labels" / folder / f"{PurePath(path.name).stem}.txt") for folder in folders
                 if (root / "images" / folder).exists() for path in (root / "images" / folder).iterdir()
                 if path.name.lower().endswith(SUFFIXES)]
        splits[split] = [labelled(path, lambda *size, text=text: yolo_rows(text, *size, len(classes)))
                         for path, text in sorted(paths, key=lambda pair: pair[0].name)]
    return classes, splits


def yolo_rows(path, width, height, classes):
    for number, line in enumerate(read_text(path).splitlines() if path.exists() else [], 1):
        if not line.strip():
            continue
        try:
            label, x, y, w, h = map(float, line.split())
            if label not in range(classes) or not all(0 <= share <= 1 for share in (x, y, w, h)):
                raise ValueError
        except ValueError:
            raise SystemExit(f"{path}, line {number}: expected a class from 0 to {classes - 1} and x y w h from 0 to 1, "
                             f"found '{line}'") from None
        yield label, (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height


def read(root):
    if (root / "Annotations").exists() and (root / "JPEGImages").exists():
        return read_voc(root)
    if (root / "classes.txt").exists():
        return read_yolo(root)
    raise SystemExit(f"{root}: neither Annotations with JPEGImages (VOC XML) nor classes.txt (YOLO text) is there")
