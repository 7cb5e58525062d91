"""A picture of any size in an input of a fixed one: scaled to fit, centred, the rest grey.

Sizes and places are those of PIL's ImageOps.pad(picture, size, BILINEAR, color=128), but that no side becomes zero.
"""

import numpy as np
from PIL import Image

GREY = 128


class Letterbox:
    """Where a picture of `width` x `height` pixels lies in an input of `size` (H, W)."""

    def __init__(self, width, height, size):
        rows, columns = self.size = tuple(size)
        self.picture = (width, height)
        self.width, self.height = columns, rows
        if width / height > columns / rows:
            self.height = max(1, round(height / width * columns))
        elif width / height < columns / rows:
            self.width = max(1, round(width / height * rows))
        self.left, self.top = round((columns - self.width) * 0.5), round((rows - self.height) * 0.5)

    def draw(self, picture):
        """An RGB picture of PIL's -> uint8 [H, W, 3]."""
        canvas = np.full((*self.size, 3), GREY, np.uint8)
        canvas[self.top:self.top + self.height, self.left:self.left + self.width] = picture.resize(
            (self.width, self.height), Image.BILINEAR)
        return canvas

    def scale(self):
        """Input pixels a picture pixel, (x, y, x, y): the rounding of the sides makes x and y differ a little."""
        return np.tile(np.divide((self.width, self.height), self.picture), 2)

    def offset(self):
        return np.float64([self.left, self.top] * 2)

    def place(self, boxes):
        """Boxes [M, 4] of the picture in pixels of the input."""
        return boxes * self.scale() + self.offset()

    def back(self, boxes):
        """Boxes [M, 4] of the input in pixels of the picture, clipped to it."""
        return ((boxes - self.offset()) / self.scale()).clip(0, self.picture * 2)
