"""Small images held in RAM as uint8, augmented as whole batches of tensors."""

import torch
import torch.nn.functional as F

from .order import epoch_batches, random_seed


def split_off(labels, share, seed=1234):
    """Indices (train, validation): of each class with n images share(n) are held out."""
    generator = torch.Generator().manual_seed(seed)
    held = []
    for c in range(int(labels.max()) + 1):
        members = (labels == c).nonzero().flatten()
        held.append(members[torch.randperm(len(members), generator=generator)[:share(len(members))]])
    mask = torch.zeros(len(labels), dtype=torch.bool)
    mask[torch.cat(held)] = True
    return (~mask).nonzero().flatten(), mask.nonzero().flatten()


def crop_and_flip(images, padding, generator):
    """Random crop after zero padding, then a random horizontal flip; images uint8 [N, C, H, W]."""
    n, _, h, w = images.shape
    padded = F.pad(images, [padding] * 4)
    top, left = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator)
    columns = torch.arange(w).expand(n, w)
    columns = torch.where(torch.rand(n, 1, generator=generator) < 0.5, columns.flip(1), columns)
    rows = (torch.arange(h) + top)[:, None, :, None]
    columns = (columns + left)[:, None, None, :]
    samples = torch.arange(n)[:, None, None, None]
    return padded[samples, torch.arange(images.shape[1])[None, :, None, None], rows, columns]


class MemoryDataset:
    """Images and labels of a train and a test set, both already decoded."""

    task = "classification"

    def __init__(self, name, train, test, classes, mean, std, padding, validation=5000, limit=None):
        self.name, self.classes, self.mean, self.std, self.padding = name, classes, mean, std, padding
        kept, held = split_off(train[1], lambda count: validation // len(classes))
        if not len(kept):
            raise SystemExit(f"{name}: of its {len(held)} training pictures all are needed for validation, {validation // len(classes)} "
                             "of each class: there must be more")
        self.splits = {
            "train": (train[0][kept], train[1][kept]),
            "validation": (train[0][held], train[1][held]),
            "test": test,
        }
        if limit:
            for split, (images, labels) in self.splits.items():
                order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))[:limit]
                self.splits[split] = (images[order], labels[order])
        self.channels = train[0].shape[1]
        self.size = tuple(train[0].shape[2:])
        self.resize = min(self.size)

    def count(self, split):
        return len(self.splits[split][1])

    def normalize(self, images):
        shape = (1, self.channels, 1, 1)
        scale = 1 / (255 * torch.tensor(self.std)).view(shape)
        shift = torch.tensor(self.mean).view(shape) * 255
        return (images.float() - shift) * scale

    def batches(self, split, batch, augment=False, seed=0, epoch=0, rank=0, world=1, shuffle=None, deferred=False):
        images, labels = self.splits[split]
        shuffle = augment if shuffle is None else shuffle
        order = epoch_batches(len(labels), batch, shuffle, seed, epoch, rank, world)
        generator = torch.Generator().manual_seed(random_seed(seed, epoch, rank))
        for i, index in enumerate(order):
            chosen = images[index]
            if augment:
                chosen = crop_and_flip(chosen, self.padding, generator)
            yield self.normalize(chosen), labels[index], i
