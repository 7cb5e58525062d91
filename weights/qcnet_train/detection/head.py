"""From raw detection maps to boxes and detections, as YOLOv3 reads them (Redmon and Farhadi, 2018).

A raw map [N, A (5 + K), H, W] holds x, y, w, h, objectness and K classes for each anchor of each cell.
"""

import torch
from torchvision.ops import nms

LARGEST_EXPONENT = 10.0  # e^10 times any anchor covers any input, and a float still holds its area; e^-10 is nothing
SCORE, OVERLAP, MOST = 0.005, 0.45, 100  # to measure average precision, which needs the doubtful ones too


class Head:
    """One detection map: its anchors [A, 2] in input pixels."""

    def __init__(self, anchors):
        self.anchors = torch.as_tensor(anchors, dtype=torch.float32)

    def rows(self, raw):
        """[N, A (5 + K), H, W] -> [N, A, H, W, 5 + K]."""
        n, channels, height, width = raw.shape
        count = len(self.anchors)
        return raw.view(n, count, channels // count, height, width).permute(0, 1, 3, 4, 2)

    def boxes(self, rows, stride):
        """Raw rows [N, A, H, W, 5 + K] -> boxes [N, A, H, W, 4] in input pixels."""
        height, width = rows.shape[2:4]
        y, x = torch.meshgrid(torch.arange(height, device=rows.device), torch.arange(width, device=rows.device),
                              indexing="ij")
        centre = (rows[..., 0:2].sigmoid() + torch.stack([x, y], -1)) * stride
        anchors = self.anchors.to(rows.device)[None, :, None, None]
        half = 0.5 * anchors * rows[..., 2:4].clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT).exp()
        return torch.cat([centre - half, centre + half], -1)


def heads(anchors, masks):
    """The heads of flat numbers: "w h" pairs, and for two maps the indices of the pairs that each uses."""
    pairs = torch.tensor(anchors, dtype=torch.float32).view(-1, 2)
    each = torch.tensor(masks).view(2, -1)
    return [Head(pairs[mask]) for mask in each]


def flatten(outputs, heads, size):
    """All candidates of all maps: (rows [N, P, 5 + K], boxes [N, P, 4]); `size` is the input's (H, W)."""
    rows, boxes = [], []
    for raw, head in zip(outputs, heads):
        row = head.rows(raw)
        rows.append(row.flatten(1, 3))
        boxes.append(head.boxes(row, size[0] / raw.shape[2]).flatten(1, 3))
    return torch.cat(rows, 1), torch.cat(boxes, 1)


def suppress(scores, boxes, score=SCORE, overlap=OVERLAP, most=MOST):
    """One picture's detections [D, 6], highest score first: scores [P, K], boxes [P, 4] clipped to the picture.

    A candidate counts for each class that it scores above `score` in; in each class those that overlap a better one
    by an IoU above `overlap` go, and so does a box without area. The best `most` of all classes stay.
    """
    visible = (boxes[:, 2:] > boxes[:, :2]).all(1, keepdim=True)
    kept = []
    for c, column in enumerate(torch.where(visible, scores, torch.zeros_like(scores)).unbind(1)):
        above = (column > score).nonzero().flatten()
        above = above[nms(boxes[above], column[above], overlap)]
        kept.append(torch.cat([torch.full_like(column[above, None], c), column[above, None], boxes[above]], 1))
    found = torch.cat(kept)
    return found[found[:, 1].argsort(descending=True, stable=True)][:most]


def detect(outputs, heads, letterboxes, score=SCORE, overlap=OVERLAP):
    """Raw maps of a batch -> a list of one array [D, 6] a picture, boxes in its pixels."""
    rows, boxes = flatten([raw.float() for raw in outputs], heads, letterboxes[0].size)
    scores = (rows[..., 4:5].sigmoid() * rows[..., 5:].sigmoid()).double().cpu()
    boxes = boxes.double().cpu().numpy()
    return [suppress(s, torch.from_numpy(letterbox.back(b)), score, overlap).numpy()
            for s, b, letterbox in zip(scores, boxes, letterboxes)]
