"""Any folder of train/<class>/* and test/<class>/* pictures (also val/ for test/), ImageNet's layout.

Preprocessing is torchvision's: shorter side to `resize` (antialiased bilinear), centre crop `size`;
for training a random resized crop and a flip.
"""

from pathlib import Path

import torch
import torchvision
from torchvision import transforms

from ..inputs import FileError
from . import locate
from .memory import split_off
from .order import epoch_batches, random_seed
from .pictures import rgb

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ADVICE = "Give --data a folder with train/<class>/* and test/<class>/* (or val/<class>/*) pictures."


def read(path):
    return rgb(Path(path))


class FolderDataset:
    task = "classification"

    def __init__(self, root, resize, size, limit, workers=2):
        self.name, self.channels, self.mean, self.std = root.name, 3, MEAN, STD
        self.resize, self.size, self.workers = resize, (size, size), workers
        finish = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
        augmented = transforms.Compose(
            [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()] + finish)
        plain = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(size)] + finish)
        test = root / "test" if (root / "test").exists() else root / "val"
        if not test.is_dir():
            raise FileError(f"{root}: has neither a folder test/ nor val/\n{ADVICE}")
        try:
            folders = {
                (split, augment): torchvision.datasets.ImageFolder(folder, augmented if augment else plain, loader=read)
                for split, folder in (("train", root / "train"), ("test", test)) for augment in (False, True)}
        except OSError as error:  # no folder of a class, or nothing in it
            raise FileError(f"{root}: {error}\n{ADVICE}") from None
        self.classes = tuple(folders["train", False].classes)
        if other := set(self.classes) ^ set(folders["test", False].classes):
            raise SystemExit(f"{root}: train and {test.name} must have the same classes, not only one of them "
                             f"{', '.join(sorted(other))}")
        labels = torch.tensor(folders["train", False].targets)
        if alone := [name for name, count in zip(self.classes, labels.bincount()) if count == 1]:
            raise SystemExit(f"{root / 'train'} has a single picture of {', '.join(alone)}; a class needs two or more, as some "
                             "are held out for validation")
        kept, held = (part[torch.randperm(len(part), generator=torch.Generator().manual_seed(0))]
                      for part in split_off(labels, lambda count: max(1, count // 20)))
        tested = torch.randperm(len(folders["test", False]), generator=torch.Generator().manual_seed(0))[:limit].sort().values
        subset = torch.utils.data.Subset
        self.parts = {}
        for augment in (False, True):
            self.parts["train", augment] = subset(folders["train", augment], kept[:limit])
            self.parts["validation", augment] = subset(folders["train", augment], held[:limit])
            self.parts["test", augment] = subset(folders["test", augment], tested)

    def count(self, split):
        return len(self.parts[split, False])

    def batches(self, split, batch, augment=False, seed=0, epoch=0, rank=0, world=1, shuffle=None, deferred=False):
        part = self.parts[split, augment]
        shuffle = augment if shuffle is None else shuffle
        order = epoch_batches(len(part), batch, shuffle, seed, epoch, rank, world)
        generator = torch.Generator().manual_seed(random_seed(seed, epoch, rank))
        loader = torch.utils.data.DataLoader(part, batch_sampler=[i.tolist() for i in order],
                                             num_workers=self.workers, generator=generator)
        try:
            for i, (images, labels) in enumerate(loader):
                yield images, labels, i
        except FileError as error:
            raise FileError(str(error).strip().rpartition("FileError: ")[2]) from None  # before it is the worker's traceback


def load(path, limit, resize, size):
    if resize < size:
        raise SystemExit(f"--resize {resize} is less than --size {size}: what is cropped would be larger than the picture")
    root = locate.find(path, ("train",), ADVICE).parent
    return FolderDataset(root, resize, size, limit)
