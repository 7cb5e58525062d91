"""Checks of entropy models and of frames read back; run by selftest.py."""

import math
import struct
import tempfile
import unittest
from pathlib import Path

import numpy as np

from qcnet_train import entropy, frames, safetensors

CORPUS = Path(__file__).resolve().parent.parent / "tests" / "corpus" / "frame"


def file_of(path, *names):
    """Frames of the corpus as node -o writes them."""
    texts = [(CORPUS / f"{name}.frame").read_bytes() for name in names]
    path.write_bytes(b"".join(struct.pack("<I", len(text)) + text for text in texts))
    return path


def packed(bits):
    """Bits [frames, pixels, C] as frames have them."""
    return np.packbits(bits, axis=2, bitorder="little")


class Frames(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "frames"

    def test_what_a_node_wrote(self):
        model, maps = frames.read(file_of(self.path, "one_map", "one_map"))
        self.assertEqual(model, 0x0123456789ABCDEF)
        (name, (shape, bits)), = maps.items()
        self.assertEqual((name, shape, bits.shape), ("layer2", (1, 2, 2, 9), (2, 4, 2)))
        self.assertEqual(bits[1].tolist(), [[1, 0], [0, 1], [255, 1], [0, 0]])
        self.assertEqual(list(frames.read(file_of(self.path, "three_maps"))[1]),
                         ["8", "encoder.layers.encoder_layer_3", "a-b"])

    def test_what_is_wrong_is_said(self):
        for names, words in (((), "there are no frames"), (("coded_one_map",), "without --compress"),
                             (("one_map", "three_maps"), "not all of one node")):
            with self.assertRaisesRegex(ValueError, words):
                frames.read(file_of(self.path, *names))
        whole = file_of(self.path, "one_map").read_bytes()
        for size in range(1, len(whole)):
            self.path.write_bytes(whole[:size])
            with self.assertRaisesRegex(ValueError, "cut off"):
                frames.read(self.path)


class EntropyModels(unittest.TestCase):
    def maps(self, shape, count=40):
        """Bits that neighbors, other channels and the place tell much of."""
        lead, rows, columns = entropy.grid(shape)
        random = np.random.default_rng(0)
        places = np.add.outer(np.arange(rows), np.arange(columns)).reshape(1, -1, 1)
        waves = np.sin(places / 3 + random.uniform(0, 6, (count, 1, 1)) + np.arange(shape[-1]) / 4)
        waves = np.concatenate([random.normal(size=(count, lead, shape[-1])), waves], 1)
        return packed((waves + 0.3 * random.normal(size=waves.shape) > 0).astype(np.uint8))

    def test_grids_are_those_of_the_frame(self):
        self.assertEqual([entropy.grid(shape) for shape in ((1, 5, 7, 2), (1, 197, 2), (1, 196, 2), (1, 198, 2), (10, 2), (2,))],
                         [(0, 5, 7), (1, 14, 14), (0, 14, 14), (0, 1, 198), (1, 3, 3), (0, 1, 1)])

    def test_what_is_measured_is_what_the_saved_numbers_say(self):
        for shape in ((1, 5, 6, 9), (1, 17, 8), (1, 7, 3)):
            bits = self.maps(shape)
            before = []
            model, takes = entropy.fit(shape, bits, neighbors=3, steps=60, lr=0.05, seed=0,
                                       report=lambda step, figure: before.append(figure))
            self.assertLess(takes, 0.9)
            self.assertLess(abs(before[-1] - takes), 0.01)  # rounding costs little
            with tempfile.TemporaryDirectory() as folder:
                entropy.save(Path(folder) / "model", 7, {"a": model})
                tensors, about = safetensors.load(Path(folder) / "model")
            self.assertEqual(about, {"qcnet.role": "entropy", "qcnet.hash": f"{7:016x}"})
            self.assertAlmostEqual(takes, self.by_hand(shape, bits[-4:], tensors), places=5)

    def by_hand(self, shape, bits, tensors):
        """docs/frame.md's formula, bit by bit."""
        tensors = {name: value.astype(int) for name, value in tensors.items()}
        lead, rows, columns = entropy.grid(shape)
        information = 0
        for frame in np.unpackbits(bits, axis=2, count=shape[-1], bitorder="little"):
            for pixel, ones in enumerate(frame):
                y, x = divmod(pixel - lead, columns)
                alone = pixel < lead
                odds = tensors["a.bias"][4 if alone else (y > 0) + 2 * (x > 0)].copy()
                for (dy, dx), weights in zip(tensors["a.neighbors"], tensors["a.weights"]):
                    if not alone and y + dy >= 0 and 0 <= x + dx < columns:
                        odds += frame[lead + (y + dy) * columns + x + dx] @ weights
                for c in range(shape[-1]):
                    p = 1 / (1 + math.exp(-(odds[c] + ones[:c] @ tensors["a.own"][:c, c]) / 128))
                    information -= math.log2(p if ones[c] else 1 - p)
        return information / (len(bits) * (lead + rows * columns) * shape[-1])

    def test_a_few_frames_are_too_few(self):
        shape = (1, 5, 6, 9)
        with self.assertRaisesRegex(ValueError, "9 frames are too few"):
            entropy.fit(shape, self.maps(shape, 9), neighbors=1, steps=1, lr=0.05, seed=0)

    def test_sums_that_do_not_fit_are_refused(self):
        model = entropy.EntropyModel(20, 2)
        model.weights.data.fill_(6.3)  # 2 * 20 * 806 = 32240
        model.quantize()
        self.assertEqual(model.largest_sum(), 2 * 20 * 806)
        model.bias.data.fill_(4.2)
        model.quantize()
        self.assertGreater(model.largest_sum(), entropy.LARGEST_SUM)
