"""YOLOv3's loss, with CIoU for the boxes.

A truth belongs to the cell of its centre and there to the anchor of the most similar shape, of all maps, and to every
other whose shape overlaps its own by more than SIMILAR: in few epochs over few pictures more than one anchor has to
learn from each box. Objectness and classes are binary cross-entropies; candidates that belong to no truth but overlap
one by more than IGNORED learn nothing. Boxes cost 1 - CIoU (Zheng et al., "Distance-IoU Loss", AAAI 2020), which
measures what average precision does and needs no weights between small and large boxes, as squared errors would.
"""

import torch
import torch.nn.functional as F
from torchvision.ops import box_iou, complete_box_iou_loss

from .head import flatten

SIMILAR, IGNORED = 0.5, 0.7
BOX, OBJECTNESS, CLASSES = 2.0, 1.0, 1.0


def shape_overlap(a, b):
    """IoU of shapes laid on one another: [T, 2], [A, 2] -> [T, A]."""
    common = torch.minimum(a[:, None], b[None]).prod(2)
    return common / (a.prod(1)[:, None] + b.prod(1)[None] - common)


def assign(truths, maps, heads, size):
    """Which candidates stand for which truths: (image, candidate, row), index tensors of one length.

    truths: [N, M, 5], rows of class -1 are none; maps: (H, W) of each. `row` counts the truths of all images in a row,
    `candidate` as flatten() orders them.
    """
    image, slot = (truths[..., 0] >= 0).nonzero(as_tuple=True)
    boxes = truths[image, slot, 1:]
    centre, shape = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    overlap = shape_overlap(shape, torch.cat([head.anchors for head in heads]).to(shape.device))
    chosen = (overlap == overlap.amax(1, keepdim=True)) | (overlap > SIMILAR)
    found, first_anchor, first_candidate = [], 0, 0
    for head, (height, width) in zip(heads, maps):
        count = len(head.anchors)
        row, anchor = chosen[:, first_anchor:first_anchor + count].nonzero(as_tuple=True)
        x = (centre[row, 0] * width / size[1]).long().clamp(0, width - 1)
        y = (centre[row, 1] * height / size[0]).long().clamp(0, height - 1)
        found.append((image[row], first_candidate + (anchor * height + y) * width + x, row))
        first_anchor, first_candidate = first_anchor + count, first_candidate + count * height * width
    return [torch.cat(parts) for parts in zip(*found)]


def covered(boxes, truths):
    """Candidates [N, P] that overlap some truth of their image by more than IGNORED."""
    return torch.stack([(box_iou(b, t[t[:, 0] >= 0, 1:]) > IGNORED).any(1) for b, t in zip(boxes, truths)])


def detection_loss(outputs, truths, heads, size, smoothing=0.0):
    """A scalar, per assigned candidate: outputs are raw maps in fp32, truths [N, M, 5] in input pixels."""
    rows, boxes = flatten(outputs, heads, size)
    image, candidate, row = assign(truths, [raw.shape[2:] for raw in outputs], heads, size)
    known = truths[truths[..., 0] >= 0][row]
    wanted = torch.zeros_like(rows[..., 4])
    wanted[image, candidate] = 1
    with torch.no_grad():
        counts = (wanted > 0) | ~covered(boxes, truths)
    objectness = F.binary_cross_entropy_with_logits(rows[..., 4], wanted, reduction="none")[counts].sum()
    box = complete_box_iou_loss(boxes[image, candidate], known[:, 1:], reduction="sum")
    logits = rows[image, candidate, 5:]
    label = F.one_hot(known[:, 0].long(), logits.shape[1]) * (1 - smoothing) + smoothing / logits.shape[1]
    classes = F.binary_cross_entropy_with_logits(logits, label.to(logits.dtype), reduction="sum")
    return (BOX * box + OBJECTNESS * objectness + CLASSES * classes) / max(1, len(row))


def detection_distillation(outputs, teacher, heads, size):
    """How far raw maps are from a teacher's, per object that the teacher sees; no labels.

    Objectness: KL divergence of the teacher's probability, everywhere. Classes likewise, boxes as 1 - CIoU to the
    teacher's, each weighted by the teacher's objectness: what an empty cell says of its box means nothing (Mehta and
    Ozturk, "Object detection at 200 frames per second", 2018).
    """
    rows, boxes = flatten(outputs, heads, size)
    with torch.no_grad():
        taught, shown = flatten(teacher, heads, size)
        weight = taught[..., 4].sigmoid()
    box = complete_box_iou_loss(boxes.flatten(0, 1), shown.flatten(0, 1), reduction="none").view_as(weight)
    classes = bernoulli_divergence(rows[..., 5:], taught[..., 5:]).sum(-1)
    objectness = bernoulli_divergence(rows[..., 4], taught[..., 4])
    return (weight * (BOX * box + CLASSES * classes) + OBJECTNESS * objectness).sum() / weight.sum().clamp_min(1)


def bernoulli_divergence(logits, teacher):
    """KL divergence of the teacher's probabilities from ours, both sigmoids of logits."""
    p = teacher.sigmoid()
    return F.binary_cross_entropy_with_logits(logits, p, reduction="none") - \
        F.binary_cross_entropy_with_logits(teacher, p, reduction="none")
