#!/usr/bin/env python3
"""Fast checks of the training side: python3 weights/selftest.py (two minutes, no dataset needed)."""

import contextlib
import io
import json
import math
import os
import pickle
import struct
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from PIL import Image

import compensate
import export
import train
import unpack_cifar10
from selftest_binary import *  # noqa: F401, F403 - its test cases
from selftest_components import *  # noqa: F401, F403 - its test cases
from selftest_detection import *  # noqa: F401, F403 - its test cases
from selftest_detection import write_voc
from selftest_entropy import *  # noqa: F401, F403 - its test cases
from selftest_inputs import *  # noqa: F401, F403 - its test cases
from selftest_methods import *  # noqa: F401, F403 - its test cases
from selftest_study import *  # noqa: F401, F403 - its test cases
from qcnet_train import base, data, deployment, loop, methods, models, safetensors
from qcnet_train.compensator import Dequantizer, compensator
from qcnet_train.cutmix import CutMix, cutmix
from qcnet_train.data import cifar10, memory
from qcnet_train.erasure import Erasure
from qcnet_train.models.attention import SelfAttention, attend_fast
from qcnet_train.models.depthwise import DepthwiseConv2d, train_fast
from qcnet_train.models.wide import WIDEST, train_right
from qcnet_train.quantizer import Quantizer, binarize, features_first, lloyd_max, rows_of
from qcnet_train.runtime import Runtime

# torchrun of torch 1.13 fails under Python 3.11 unless told what to do with the ranks' output.
TORCHRUN = ("--redirects", "1", "--tee", "1", "--master_port", "29517")
HERE = Path(__file__).resolve().parent
INFO = os.environ.get("QCNET_INFO") and Path(os.environ["QCNET_INFO"]).resolve()  # the library's program that checks files
DETECTOR = ("--architecture", "yolov3-tiny", "--set", "width=2", "--optimizer", "adamw", "--lr", 3e-3)
SMALL = {"architecture": "resnet", "name": "small", "depths": (1, 2, 1, 1), "width": 8}


def randomized(spec, classes=10):
    """A model in eval mode whose batch normalization does something."""
    model = models.build(spec, classes, 3)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, 0, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


class Safetensors(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "file.safetensors"
        self.tensors = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.float16([1.5]),
                        "scalar": np.float32(2), "empty": np.zeros((0, 4), np.float32)}

    def test_round_trip(self):
        safetensors.save(self.path, self.tensors, {"classes": "Läufer\nball"})
        tensors, metadata = safetensors.load(self.path)
        self.assertEqual(metadata, {"classes": "Läufer\nball"})
        self.assertEqual(set(tensors), set(self.tensors))
        for name, array in self.tensors.items():
            self.assertEqual(tensors[name].dtype, array.dtype)
            np.testing.assert_array_equal(tensors[name], array)
        data = self.path.read_bytes()
        self.assertEqual(struct.unpack_from("<Q", data)[0] % 8, 0)

    def test_hostile_files(self):
        safetensors.save(self.path, self.tensors, {})
        whole = self.path.read_bytes()
        size = struct.unpack_from("<Q", whole)[0]

        def header(text):
            return struct.pack("<Q", len(text)) + text
        entry = b'{"x":{"dtype":"F32","shape":[%s],"data_offsets":[%s]}}'
        bad = [whole[:4], whole[:-1], whole + b"\0", struct.pack("<Q", 2 ** 64 - 1) + whole[8:],
               struct.pack("<Q", size + 8) + whole[8:], header(entry % (b"1", b"0,8")) + bytes(8),
               header(entry % (b"1", b"4,8")) + bytes(8), header(b'{"__metadata__":{},"__metadata__":{}}')]
        for data in bad:
            self.path.write_bytes(data)
            with self.assertRaises(ValueError):
                safetensors.load(self.path)


class QuantizerTest(unittest.TestCase):
    def test_lloyd_max_is_a_local_optimum_of_brute_force(self):
        generator = torch.Generator().manual_seed(3)
        for values in (torch.randn(4000, generator=generator),
                       torch.randn(4000, generator=generator).relu(),
                       torch.rand(999, generator=generator) ** 3):
            threshold, low, high = lloyd_max(values[None])[0].tolist()
            above = values > threshold
            self.assertAlmostEqual(low, float(values[~above].double().mean()), places=5)
            self.assertAlmostEqual(high, float(values[above].double().mean()), places=5)
            self.assertAlmostEqual(threshold, (low + high) / 2, places=3)

            def error(t):
                high_side = values > t
                return sum(float((part - part.mean()).square().sum())
                           for part in (values[high_side], values[~high_side]))
            grid = torch.linspace(float(values.min()), float(values.max()), 400)[1:-1]
            self.assertLessEqual(error(threshold), min(map(error, grid)) * 1.001)

    def test_rows_do_not_depend_on_each_other(self):
        generator = torch.Generator().manual_seed(4)
        rows = torch.randn(7, 501, generator=generator).exp()
        rows[3], rows[5] = 0.1, torch.tensor([1.0, 1.0000001]).repeat(251)[:501]
        together = lloyd_max(rows)
        for row, levels in zip(rows, together):
            self.assertEqual(lloyd_max(row[None])[0].tolist(), levels.tolist())
        self.assertEqual(together[3].tolist(), [float(rows[3, 0])] * 3)

    def test_tokens_have_thresholds_for_each_position(self):
        generator = torch.Generator().manual_seed(5)
        tokens = torch.randn(400, 5, 3, generator=generator) + 10 * torch.randn(5, 3, generator=generator)
        quantizer = Quantizer.fit([tokens[:100], tokens[100:]])
        self.assertEqual([tuple(v.shape) for v in (quantizer.thresholds, quantizer.low, quantizer.high,
                                                   quantizer.scale)], [(5, 3)] * 3 + [(3,)])
        torch.testing.assert_close(quantizer.scale, torch.ones(3), rtol=0, atol=0.1)
        bits = binarize(tokens, quantizer.thresholds)
        torch.testing.assert_close(bits.mean(0), torch.full((5, 3), 0.5), rtol=0, atol=0.15)
        # 1 - 2 / pi of the variance is what one bit leaves of a normal distribution, whatever its mean
        error = (Dequantizer(quantizer)(bits) - tokens).square().mean()
        self.assertAlmostEqual(float(error), 1 - 2 / math.pi, delta=0.02)

    def test_values_are_drawn_of_all_maps(self):
        generator = torch.Generator().manual_seed(6)
        for shapes in (((5, 3, 4, 4), (2, 3, 4, 4), (1, 3, 4, 4)), ((5, 7, 3), (2, 7, 3))):
            maps = [torch.randn(shape, generator=generator) for shape in shapes]
            maps[0] = maps[0].contiguous(memory_format=torch.channels_last) if maps[0].ndim == 4 else maps[0]
            together = torch.cat([features_first(z) for z in maps], 1)
            order = torch.randperm(together.shape[1], generator=torch.Generator().manual_seed(0))
            for most in (1, together.shape[1] - 1, together.shape[1]):
                expected = together if most == together.shape[1] else together[:, order[:most]]
                shape, values = rows_of(maps, most)
                self.assertEqual(tuple(shape), shapes[0][1:2] if maps[0].ndim == 4 else shapes[0][1:])
                self.assertTrue(torch.equal(values, expected))

    def test_dead_channels(self):
        maps = torch.rand(8, 3, 4, 4)
        maps[:, 1] = 0
        quantizer = Quantizer.fit([maps[:5], maps[5:]])
        self.assertEqual([float(v[1]) for v in (quantizer.thresholds, quantizer.low, quantizer.high,
                                                quantizer.scale)], [0, 0, 0, 0])
        self.assertEqual(float(binarize(maps, quantizer.thresholds)[:, 1].sum()), 0)
        restored = Dequantizer(quantizer)(binarize(maps, quantizer.thresholds))
        self.assertTrue(torch.isfinite(restored).all())
        self.assertEqual(quantizer.range.tolist(), [float(maps.min()), float(maps.max())])

    def test_training_starts_at_plain_dequantization(self):
        image, tokens = torch.rand(6, 8, 5, 5), torch.rand(6, 17, 8)
        for maps, block in ((image, "conv"), (image, "depthwise"), (tokens, "conv")):
            quantizer = Quantizer.fit([maps])
            bits = binarize(maps, quantizer.thresholds)
            restore = compensator(Dequantizer(quantizer), quantizer.scale, "relu", maps.shape, width=16, blocks=2,
                                  block=block).eval()
            torch.testing.assert_close(restore(bits), Dequantizer(quantizer)(bits))


class Gradients(unittest.TestCase):
    def check_bf16_is_near(self, module, x, of_what):
        """Gradients under autocast against those of fp32."""
        found = []
        for enabled in (False, True):
            module.zero_grad(set_to_none=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                y = module(x)
            self.assertEqual(y.dtype, torch.bfloat16 if enabled else torch.float32)
            y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype))
            found.append(torch.cat([parameter.grad.flatten() for parameter in module.parameters()]))
        self.assertLess(float((found[0] - found[1]).norm() / found[0].norm()), 0.01, msg=of_what)

    def check_they_are_torchs(self, ours, theirs, x):
        """Outputs and gradients of two modules of double, which get the same weights."""
        theirs.load_state_dict(ours.state_dict())
        found = []
        for module in (ours, theirs):
            of_x = x.clone().requires_grad_()
            y = module(of_x)
            (y * y.detach().cos()).sum().backward()
            found.append((y, of_x.grad, *(parameter.grad for parameter in module.parameters())))
        torch.testing.assert_close(*found)


class Attends(torch.nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, tokens):
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


class Attention(Gradients):
    def test_gradients_are_torchs(self):
        random = torch.Generator().manual_seed(0)
        for batch, tokens, channels, heads, bias in ((2, 5, 12, 3, True), (1, 1, 4, 1, True), (3, 17, 10, 2, False), (0, 3, 4, 2, True)):
            ours, theirs = (Attends(torch.nn.MultiheadAttention(channels, heads, bias=bias, batch_first=True)).double() for _ in range(2))
            x = torch.randn(batch, tokens, channels, generator=random, dtype=torch.double)
            with mock.patch.object(torch.nn.MultiheadAttention, "forward", side_effect=AssertionError("torch's own")):
                self.assertEqual(attend_fast(ours)(x).shape, x.shape)
            self.check_they_are_torchs(ours, theirs, x)

    def test_in_bf16_they_are_near(self):
        x = torch.randn(64, 17, 24, generator=torch.Generator().manual_seed(0))
        self.check_bf16_is_near(attend_fast(Attends(torch.nn.MultiheadAttention(24, 3, batch_first=True))), x, "attention")

    def test_models_and_qcnets_have_it_and_only_where_it_is_the_same(self):
        maps = torch.rand(2, 17, 64)
        quantizer = Quantizer.fit([maps])
        for module in (models.build({"architecture": "vit", "name": "small"}, 10, 3),
                       compensator(Dequantizer(quantizer), quantizer.scale, "identity", maps.shape, width=16, blocks=2)):
            found = [part for part in Runtime(1).place(module).modules() if isinstance(part, torch.nn.MultiheadAttention)]
            self.assertTrue(found and all(type(part) is SelfAttention for part in found))
        for options in ({"batch_first": False}, {"dropout": 0.1}, {"kdim": 3}, {"add_bias_kv": True}, {"add_zero_attn": True}):
            other = torch.nn.MultiheadAttention(4, 2, **{"batch_first": True, **options})
            self.assertIs(type(attend_fast(other)), torch.nn.MultiheadAttention)

    def test_models_can_be_sent_to_other_ranks(self):
        for family in ("vit", "convnext"):
            model = models.build({"architecture": family, "name": "small"}, 10, 3).eval()
            images = torch.rand(2, 3, 32, 32)
            torch.testing.assert_close(pickle.loads(pickle.dumps(model))(images), model(images))

    def test_what_is_not_self_attention_is_left_to_torch(self):
        ours = attend_fast(torch.nn.MultiheadAttention(4, 2, batch_first=True))
        x, y = torch.rand(2, 3, 4), torch.rand(2, 5, 4)
        self.assertEqual(ours(x, x, x)[1].shape, (2, 3, 3))
        self.assertEqual(ours(x, y, y, need_weights=False)[0].shape, x.shape)
        hidden = torch.zeros(2, 3, dtype=torch.bool)
        hidden[:, 2] = True
        alone = ours(x[:, :2], *[x[:, :2]] * 2, need_weights=False)[0]
        torch.testing.assert_close(ours(x, x, x, hidden, need_weights=False)[0][:, :2], alone)


class DepthwiseConvolutions(Gradients):
    def test_gradients_are_torchs(self):
        random = torch.Generator().manual_seed(0)
        for batch, channels, height, width, kernel in ((2, 3, 5, 4, 3), (1, 2, 1, 1, 7), (3, 5, 2, 7, 5), (0, 2, 3, 3, 3),
                                                       (2, 2, 16, 16, 7), (1, 2, 17, 16, 3)):
            ours, theirs = (conv(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=kernel > 3).double()
                            for conv in (DepthwiseConv2d, torch.nn.Conv2d))
            x = torch.randn(batch, channels, height, width, generator=random, dtype=torch.double)
            self.check_they_are_torchs(ours, theirs, x)

    def test_in_bf16_they_are_near(self):
        x = torch.randn(64, 24, 8, 8, generator=torch.Generator().manual_seed(0))
        self.check_bf16_is_near(DepthwiseConv2d(24, 24, 7, padding=3, groups=24), x, "depthwise")

    def test_a_model_has_them_and_only_where_they_are_the_same(self):
        model = models.build({"architecture": "convnext", "name": "small"}, 10, 3)
        depthwise = [module for module in model.modules() if isinstance(module, DepthwiseConv2d)]
        self.assertEqual(len(depthwise), 10)
        same = {"padding": 1, "groups": 4}
        for options in ({"groups": 4}, {**same, "stride": 2}, {**same, "padding_mode": "circular"}, {"padding": 1, "groups": 2},
                        {**same, "dilation": 2}):
            other = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, **options))
            train_fast(other)
            self.assertIs(type(other[0]), torch.nn.Conv2d)


class WideConvolutions(Gradients):
    """Where a CPU has no matrix units for bf16, torch's own gradients would pass, too."""

    def test_in_bf16_gradients_are_near_those_of_fp32(self):
        for width, options in ((WIDEST, {"padding": 1}), (WIDEST + 8, {"padding": 1}), (416, {"padding": 1, "bias": False}),
                               (608, {"padding": 2, "dilation": 2}), (832, {"padding": 1, "stride": 2, "groups": 3})):
            x = torch.rand(2, 3, 24, width, generator=torch.Generator().manual_seed(0))
            self.check_bf16_is_near(train_right(torch.nn.Conv2d(3, 18, 3, **options)), x, f"{width} wide, {options}")

    def test_what_is_not_padded_with_zeros_stays(self):
        other = train_right(torch.nn.Sequential(torch.nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")))
        self.assertIs(type(other[0]), torch.nn.Conv2d)


class CutMixes(unittest.TestCase):
    def test_any_seed_will_do(self):
        CutMix(0.5, SimpleNamespace(task="classification", classes="ab"), 2 ** 32 - 1)(torch.zeros(2, 1, 2, 2), torch.tensor([0, 1]), 9, 9)
        Erasure(0.25)(torch.zeros(2, 3), 2 ** 32 - 1, 9, 9)

    def test_pixels_and_share_are_those_of_two_images(self):
        images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 2, 7, 9)
        shares = []
        for seed in range(200):
            mixed, source, share = cutmix(images, torch.Generator().manual_seed(seed))
            self.assertEqual(sorted(source.tolist()), [0, 1, 2, 3, 4])
            taken = mixed != images
            for i, j in enumerate(source.tolist()):
                self.assertTrue(set(mixed[i].unique().tolist()) <= {i, j})
                if i != j:
                    self.assertAlmostEqual(float(taken[i].float().mean()), 1 - share, places=5)
            shares.append(share)
        self.assertLess(min(shares), 0.2)
        self.assertGreater(max(shares), 0.9)

    def test_labels_are_mixed_as_the_pixels_are(self):
        class Dataset:
            task, classes = "classification", ("a", "b", "c", "d", "e")
        images, labels = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 8, 8), torch.arange(5)
        mix = CutMix(0.5, Dataset, seed=3)
        mixed = 0
        for index in range(100):
            pixels, shares = mix(images, labels, 0, index)
            if shares.ndim == 1:
                self.assertIs(pixels, images)
                continue
            mixed += 1
            expected = torch.stack([(pixels == i).flatten(1).float().mean(1) for i in range(5)], 1)
            torch.testing.assert_close(shares, expected)
            again = mix(images, labels, 0, index)
            torch.testing.assert_close((pixels, shares), again, rtol=0, atol=0)
        self.assertTrue(35 <= mixed <= 65, mixed)
        Dataset.task = "detection"
        with self.assertRaises(SystemExit):
            CutMix(0.5, Dataset, seed=3)
        CutMix(0, Dataset, seed=3)


class Erasures(unittest.TestCase):
    def test_each_picture_loses_its_own_share_of_scattered_bits(self):
        bits = (torch.ones(400, 8, 6, 6), torch.zeros(400, 10, 20))
        erase = Erasure(0.25)
        found = erase(bits, 1, 2, 3)
        torch.testing.assert_close(found, erase(bits, 1, 2, 3), rtol=0, atol=0)
        self.assertFalse(torch.equal(found[0], erase(bits, 1, 2, 4)[0]))
        lost = [(of_map == 0.5).float() for of_map in found]
        for of_map, was, erased in zip(found, bits, lost):
            self.assertTrue(torch.equal(of_map[erased == 0], was[erased == 0]))
            shares = erased.flatten(1).mean(1)
            self.assertAlmostEqual(float(shares.mean()), 0.25, delta=0.02)
            self.assertAlmostEqual(float(shares.std()), 0.5 / math.sqrt(12), delta=0.02)
            self.assertLess(float(shares.max()), 0.62)
        # Both maps of a picture lose as much, and no place or channel more than another.
        self.assertGreater(float(torch.corrcoef(torch.stack([x.flatten(1).mean(1) for x in lost]))[0, 1]), 0.9)
        torch.testing.assert_close(lost[0].mean((0, 2, 3)), torch.full((8,), 0.25), rtol=0, atol=0.03)
        torch.testing.assert_close(lost[0].mean((0, 1)), torch.full((6, 6), 0.25), rtol=0, atol=0.05)

    def test_without_loss_nothing_changes_and_more_than_all_cannot_be_lost(self):
        bits = torch.ones(2, 3, 4, 4)
        self.assertIs(Erasure(0)(bits, 0, 0, 0), bits)
        for rate in (-0.1, 0.6, float("nan")):
            with self.assertRaisesRegex(SystemExit, "--packet-loss"):
                Erasure(rate)

    def test_an_erased_bit_is_the_middle_of_its_levels_and_no_input_to_a_qcnet(self):
        maps = torch.rand(6, 8, 5, 5)
        quantizer = Quantizer.fit([maps])
        erased = torch.full_like(maps, 0.5)
        middle = ((quantizer.low + quantizer.high) / 2).view(1, -1, 1, 1).expand_as(maps)
        torch.testing.assert_close(Dequantizer(quantizer)(erased), middle)
        restore = compensator(Dequantizer(quantizer), quantizer.scale, "relu", maps.shape, width=16, blocks=1).eval()
        torch.testing.assert_close(restore.input(2 * erased - 1), restore.input(torch.zeros_like(maps)))


class Cifar10(unittest.TestCase):
    def setUp(self):
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        generator = np.random.default_rng(0)
        self.batches = {name: {b"labels": labels, b"data": generator.integers(0, 8, (len(labels), 3, 4, 4), np.uint8).repeat(
            8, 2).repeat(8, 3).reshape(-1, 3072) * 36} for name, labels in (
                *((f"data_batch_{i}", [3, i]) for i in range(1, 6)), ("test_batch", [9, 0, 9]))}

    def archive(self, **others):
        """The published layout, with others in the place of some files."""
        batches = self.root / unpack_cifar10.FOLDER
        batches.mkdir(exist_ok=True)
        for name, batch in {**self.batches, **others}.items():
            (batches / name).write_bytes(batch if isinstance(batch, bytes) else pickle.dumps(batch, 3))
        with tarfile.open(self.root / "archive.tar.gz", "w:gz") as packed:
            packed.add(batches, batches.name)
        return self.root / "archive.tar.gz"

    def unpack(self, archive):
        with mock.patch("sys.argv", ["unpack_cifar10.py", str(archive), str(self.root / "out")]), \
                contextlib.redirect_stdout(io.StringIO()):
            unpack_cifar10.main()

    def test_unpacked_pictures_are_the_archives(self):
        self.batches["data_batch_2"][b"data"] = np.asfortranarray(self.batches["data_batch_2"][b"data"])
        self.unpack(self.archive())
        out = self.root / "out"
        self.assertEqual(sorted(path.name for path in out.iterdir()), ["test", "train"])
        self.assertEqual(len(list((out / "train").iterdir())), 10)
        self.assertEqual(sorted(path.name for path in (out / "train/cat").iterdir()), [f"{i:04}.jpg" for i in range(6)])
        with Image.open(out / "train/cat/0000.jpg") as first:
            self.assertEqual((first.quantization[0][0], first.layer[0][1:3]), (8, (2, 2)))  # quality 75, 4:2:0
        for split, names in cifar10.BATCHES.items():
            pictures, labels = cifar10.from_folder(out / split)
            ours, expected = cifar10.from_batches(self.root / unpack_cifar10.FOLDER, names)
            order = torch.sort(expected, stable=True).indices
            self.assertEqual(labels.tolist(), expected[order].tolist())
            grey = [images.float().mean(1) for images in (pictures, ours[order])]
            self.assertLess(float((grey[0] - grey[1]).abs().mean()), 6)
        with self.assertRaisesRegex(SystemExit, "out/train is there already"):
            self.unpack(self.archive())

    def test_what_is_no_archive_of_it_is_said(self):
        class Hostile:
            def __reduce__(self):
                return os.mkdir, (str(wrong.root / "harm"),)
        wrong = self
        for batch in (pickle.dumps({b"data": Hostile()}), pickle.dumps(Hostile()), b"no pickle", pickle.dumps([]),
                      pickle.dumps({b"data": 1}), {**self.batches["test_batch"], b"labels": [1, 2]},
                      {**self.batches["test_batch"], b"labels": [1, 2, 10]}):
            with self.assertRaisesRegex(SystemExit, "archive.tar.gz, test_batch: is no batch of CIFAR-10's"):
                self.unpack(self.archive(test_batch=batch))
        self.assertFalse((self.root / "harm").exists() or (self.root / "out").exists())
        (self.root / "text").write_text("no archive")
        with self.assertRaisesRegex(SystemExit, "text: cannot be read .*; it takes cifar-10-python.tar.gz"):
            self.unpack(self.root / "text")
        with tarfile.open(self.root / "empty.tar", "w"):
            pass
        with self.assertRaisesRegex(SystemExit, "data_batch_1' not found; it takes cifar-10-python.tar.gz"):
            self.unpack(self.root / "empty.tar")


class HeldOut(unittest.TestCase):
    def test_of_each_class_of_a_folder_some_are_and_some_are_not(self):
        root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name, count in (("few", 2), ("many", 60), ("some", 39)):
            for split in ("train", "test"):
                (root / split / name).mkdir(parents=True)
                for i in range(count if split == "train" else 12):
                    Image.new("RGB", (8, 8)).save(root / split / name / f"{i}.png")
        dataset = data.load("folder", root, resize=8, size=8)
        for split, counts in (("train", [1, 57, 38]), ("validation", [1, 3, 1])):
            labels = torch.cat([labels for _, labels, _ in dataset.batches(split, 100)])
            self.assertEqual(labels.bincount().tolist(), counts)
        few = torch.cat([labels for _, labels, _ in data.load("folder", root, 12, resize=8, size=8).batches("test", 12)])
        self.assertEqual((few.shape, len(set(few.tolist()))), ((12,), 3), msg="not the first class alone")
        (root / "train" / "few" / "0.png").unlink()
        with self.assertRaisesRegex(SystemExit, "a single picture of few; a class needs two"):
            data.load("folder", root, resize=8, size=8)
        (root / "test" / "few").rename(root / "test" / "other")  # else labels would be numbered otherwise there
        with self.assertRaisesRegex(SystemExit, "must have the same classes, not only one of them few, other"):
            data.load("folder", root, resize=8, size=8)

    def test_what_was_held_out_of_archives_stays_so(self):
        """Models were trained on the rest."""
        labels = torch.arange(600) % 10
        dataset = memory.MemoryDataset("", (torch.arange(600).view(-1, 1, 1, 1), labels), None, range(10), (0,), (1,), 0, 60)
        held = dataset.splits["validation"][0].flatten()
        self.assertEqual((len(held), held[:6].tolist(), int(held.sum())), (60, [9, 40, 55, 58, 87, 88], 19420))
        with self.assertRaisesRegex(SystemExit, "of its 600 training pictures all are needed for validation, 60 of each class"):
            memory.MemoryDataset("few", (torch.zeros(600, 1, 1, 1), labels), None, range(10), (0,), (1,), 0, 600)


class Bases(unittest.TestCase):
    def test_files_of_two_deployments_are_no_base(self):
        root, start = Path(self.enterContext(tempfile.TemporaryDirectory())), "resnet-fashion-layer2"
        shipped = Path(__file__).parent / "shipped"
        shutil.copy(shipped / f"{start}.node.safetensors", root)
        arrays, about = safetensors.load(shipped / f"{start}-qcnet.server.safetensors")
        dataset = SimpleNamespace(classes=about["qcnet.classes"].split("\n"), name="", size=(28, 28))
        for model_hash, refused in ((about["qcnet.hash"], False), ("0" * 16, True)):
            safetensors.save(root / f"{start}-qcnet.server.safetensors", arrays, {**about, "qcnet.hash": model_hash})
            with self.assertRaisesRegex(SystemExit, "does not belong to") if refused else contextlib.nullcontext():
                base.read(root / f"{start}.node.safetensors", dataset)

    def test_a_base_of_another_size_or_of_another_run_is_refused(self):
        root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        dataset = SimpleNamespace(classes=("a", "b"), channels=3, size=(16, 16))
        model = models.build({"architecture": "resnet", "name": "small", "depths": (1, 1, 1, 1), "width": 8}, 2, 3)
        torch.save({"spec": model.spec, "model": model.state_dict(), "size": (32, 32)}, root / "base.pt")
        with self.assertRaisesRegex(SystemExit, "base.pt was trained for inputs of 32 x 32, here they are 16 x 16: give the same --size"):
            base.read(root / "base.pt", dataset)
        export.check_base(root, root / "base.pt", model)  # a run of before, which says nothing
        for made_of, refused in ((base.fingerprint(model), False), ("0" * 16, True)):
            (root / "settings.json").write_text(json.dumps({"base": made_of}))
            with self.assertRaisesRegex(SystemExit, "was made of another model than") if refused else contextlib.nullcontext():
                export.check_base(root, root / "base.pt", model)


class Partition(unittest.TestCase):
    def check(self, model, size):
        images, names = torch.randn(2, 3, size, size), set(model.state_dict())
        with torch.no_grad():
            expected = model(images)
            for cut in models.cuts(model):
                head, tail = models.partition(model, cut)
                torch.testing.assert_close(tail(head(images)), expected)
                ours, theirs = ({deployment.RENAMED.get(name, name) for name in part.state_dict()}
                                for part in (head, tail))
                self.assertEqual(ours | theirs, names)
                self.assertFalse(ours & theirs)

    def test_head_and_tail_are_the_model(self):
        self.check(randomized(SMALL), 32)
        self.check(randomized({**SMALL, "block": "bottleneck"}), 32)
        self.check(randomized({"architecture": "resnet", "name": "resnet50"}), 64)
        self.check(randomized({"architecture": "vit", "name": "small", "depth": 2}), 32)
        self.check(randomized({"architecture": "convnext", "name": "small", "depths": (1, 1, 2)}), 32)
        self.check(randomized({"architecture": "yolov3-tiny", "name": "small", "width": 4}), 64)

    def test_yolov3_tiny_is_the_published_one(self):
        model = models.build({"architecture": "yolov3-tiny", "name": "yolov3-tiny"}, 80, 3)
        self.assertEqual(sum(value.numel() for key, value in model.state_dict().items()
                             if not key.endswith("num_batches_tracked")), 8_858_734)  # floats of its .weights file
        self.assertEqual(models.metadata(model)["qcnet.masks"], "3 4 5 1 2 3")
        with torch.no_grad():
            maps = model.eval()(torch.zeros(1, 3, 64, 96))
            kept = models.partition(model, "layers.11")[0](torch.zeros(1, 3, 64, 96))
        self.assertEqual([tuple(map.shape) for map in maps], [(1, 255, 2, 3), (1, 255, 4, 6)])
        self.assertEqual([tuple(map.shape) for map in kept], [(1, 512, 2, 3), (1, 256, 4, 6)])
        with self.assertRaisesRegex(SystemExit, "masks"):
            models.build({"architecture": "yolov3-tiny", "name": "small", "masks": (0, 6)}, 1, 3)

    def test_options_have_the_types_of_their_defaults(self):
        spec = models.specification("convnext", "small", ["depths=1,2", "width=8"])
        self.assertEqual((spec["depths"], spec["width"]), ((1, 2), 8))
        self.assertEqual(models.specification("resnet", "resnet50", []),
                         {"architecture": "resnet", "name": "resnet50"})
        for wrong in ("depths=1,x", "width", "widht=8", "name=resnet50"):
            with self.assertRaisesRegex(SystemExit, "--set"):
                models.specification("vit", "small", [wrong])
        with self.assertRaisesRegex(SystemExit, "known: none"):
            models.specification("resnet", "resnet50", ["width=8"])

    def test_unknown_cut_names_the_known_ones(self):
        with self.assertRaisesRegex(SystemExit, "layer2.1"):
            models.partition(randomized(SMALL), "layer9")

    def test_hash_depends_on_head_thresholds_and_cut(self):
        head, thresholds = {"w": np.zeros(3, np.float32)}, {"qcnet.thresholds": np.zeros(2, np.float32)}
        seen = {deployment.fingerprint(*case) for case in (
            ({**head, **thresholds}, "layer1"), ({**head, **thresholds}, "layer2"),
            ({**head, "qcnet.thresholds": np.ones(2, np.float32)}, "layer1"),
            ({"w": np.ones(3, np.float32), **thresholds}, "layer1"))}
        self.assertEqual(len(seen), 4)


class EndToEnd(unittest.TestCase):
    """The three scripts on a folder of random pictures, as a user runs them."""

    def run_script(self, script, *arguments, ranks=1, refused=False):
        launcher = [sys.executable] if ranks == 1 else [
            sys.executable, "-m", "torch.distributed.run", *TORCHRUN, f"--nproc_per_node={ranks}"]
        done = subprocess.run([*launcher, str(HERE / script), *map(str, arguments)], text=True,
                              capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        self.assertEqual(done.returncode, int(refused), done.stdout + done.stderr)
        return done.stderr if refused else done.stdout

    def check_in_library(self, folder):
        """The library loads what was exported, and finds for the check inputs in it what PyTorch found."""
        for path in sorted(folder.glob("*.safetensors")) if INFO else ():
            done = subprocess.run([INFO, path], text=True, capture_output=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def forget_settings(self, checkpoint):
        """So that a run of more epochs goes on, as if it had been interrupted: checkpoints of before have no settings."""
        kept = torch.load(checkpoint)
        del kept["settings"]
        torch.save(kept, checkpoint)

    def pictures(self, root):
        generator = np.random.default_rng(0)
        for split, count in (("train", 40), ("test", 6)):
            for name in ("blue", "red"):
                folder = root / split / name
                folder.mkdir(parents=True)
                for i in range(count):
                    pixels = generator.integers(0, 200, (40, 48, 3), dtype=np.uint8)
                    pixels[..., 0 if name == "red" else 2] += 50
                    Image.fromarray(pixels).save(folder / f"{i:03}.png")

    def dataset(self, root, size, boxes):
        """Makes a small dataset; returns the options that name it."""
        if boxes:
            write_voc(root, (32, 6, 6))
            return "--dataset", "detection-folder", "--data", root, "--size", size
        self.pictures(root)
        return "--dataset", "folder", "--data", root, "--resize", size + 4, "--size", size

    def chain(self, ranks=1, model=("--set", "depths=1,1,1,1", "width=8"), cut="layer2", size=32, boxes=False,
              block="conv"):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            data = self.dataset(root, size, boxes)
            base, run, out = root / "base.pt", root / "run", root / "out"
            training = ("--batch", 16, "--threads", 1, "--resume")
            for epochs in (1, 2):
                self.run_script("train.py", *data, *training, *model, "--epochs", epochs, "--out", base,
                                ranks=ranks)
                self.forget_settings(base)
            log = json.loads(base.with_suffix(".json").read_text())
            self.assertEqual([record["epoch"] for record in log["history"]], [1, 2])
            self.run_script("compensate.py", *data, *training, "--base", base, "--cut", cut, "--block", block,
                            "--epochs", 2, "--distillation-epochs", 1, "--calibration", 64, "--out", run,
                            ranks=ranks)
            said = self.run_script("export.py", *data, "--base", base, "--run", run, "--name", "tiny",
                                   "--whole", "--out", out, "--predictions", root)
            self.assertIn(f"tiny-{cut}-qcnet-finetuned", said)
            self.check_in_library(out)
            node, about = safetensors.load(out / f"tiny-{cut}.node.safetensors")
            self.assertEqual((about["qcnet.role"], about["qcnet.cut"]), ("node", cut))
            server, about = safetensors.load(out / f"tiny-{cut}-qcnet.server.safetensors")
            maps = [key for key in node if key.startswith("qcnet.check.map")]
            self.assertEqual(len(maps), len(models.maps(deployment.build_as(about), cut)))
            for key in maps:
                self.assertEqual(node[key].shape, server[key].shape)
            self.assertEqual(node["qcnet.check.input"].dtype, np.float16)
            self.assertEqual(about["qcnet.classes"], "blue\nred")
            used = 25 if boxes else 64  # of 32 pictures a batch of 25, as more do not fill a second
            self.assertEqual(json.loads(about["qcnet.training"])["calibration"], used)
            self.assertEqual(len(list(out.iterdir())), 5)
            # The whole model's file serves as a base just as the checkpoint does.
            whole = out / "tiny.safetensors"
            self.run_script("export.py", *data, "--base", whole, "--name", "tiny", "--whole", "--out", root / "again")
            self.assertEqual((root / "again" / "tiny.safetensors").read_bytes(), whole.read_bytes())
            # So does the deployment, whose head and frozen tail are the model.
            node = out / f"tiny-{cut}.node.safetensors"
            self.run_script("export.py", *data, "--base", node, "--name", "tiny", "--whole", "--out", root / "third")
            self.assertEqual((root / "third" / "tiny.safetensors").read_bytes(), whole.read_bytes())
            self.assertIn("QCNet + fine-tuned tail", self.run_script(
                "report.py", "--name", "tiny", "--base", whole, "--runs", run, "--out", root / "log.json"))
            return about, np.load(root / f"tiny-{cut}-qcnet.npy")

    def test_methods_with_nodes_of_their_own(self):
        trained = ("autoencoder", "autoencoder-finetuned", "qat", "2-bit", "4-bit-finetuned")
        components = ("klt", "klt-finetuned", "klt-qcnet", "klt-qcnet-finetuned")
        resnet = ("--set", "depths=1,1,1,1", "width=8")
        for model, cut, size, asked, *options in (
                (resnet, "layer2", 32, trained), (resnet, "layer2.0.add", 32, components, "--patch", 2, "--rate", 0.5),
                (("--architecture", "vit", "--set", "depth=1", "width=32", "heads=2"),
                 "encoder.layers.encoder_layer_0", 32, (*trained, *components)),
                (("--architecture", "convnext", "--set", "depths=1,1", "width=8"), "features.2", 32, components),
                (DETECTOR, "layers.9", 64, trained), (DETECTOR, "layers.8.bn", 64, components, "--patch", 2)):
            with self.subTest(cut), tempfile.TemporaryDirectory() as scratch:
                root = Path(scratch)
                data = self.dataset(root, size, model is DETECTOR)
                base, run, out = root / "base.pt", root / "run", root / "out"
                self.run_script("train.py", *data, "--batch", 16, "--threads", 1, *model, "--epochs", 1, "--out", base)
                compensate = ("compensate.py", *data, "--batch", 16, "--threads", 1, "--base", base, "--cut", cut,
                              "--epochs", 2, "--distillation-epochs", 1, "--calibration", 32, "--out", run, *options)
                self.run_script(*compensate, "--methods", *asked)
                starts = {methods.METHODS[method].start for method in asked} - {None}
                self.assertEqual(len(list(run.glob("*-seed0.pt"))), len(asked) + len(starts))  # those came along
                self.assertNotIn("seed 0", self.run_script(*compensate, "--resume", "--methods", *asked))
                # Each export verifies its files against the figures of the run.
                self.run_script("export.py", *data, "--base", base, "--run", run, "--name", "tiny", "--out", out,
                                "--methods", *asked)
                self.check_in_library(out)
                nodes = {method: f"tiny-{cut}.{methods.node_of(method)}.node.safetensors" for method in asked}
                servers = [f"tiny-{cut}.{method}.server.safetensors" for method in asked]
                self.assertEqual(sorted(path.name for path in out.iterdir()), sorted({*nodes.values(), *servers}))
                nodes = {method: safetensors.load(out / name) for method, name in nodes.items()}
                self.assertEqual(len({about["qcnet.hash"] for _, about in nodes.values()}),
                                 len(set(map(methods.node_of, asked))))
                for method, (node, about) in nodes.items():
                    bits = {"2-bit": "2", "4-bit-finetuned": "4"}.get(method)
                    self.assertEqual((about.get("qcnet.bits"), "qcnet.planes" in about), (bits, method in components))
                    server, _ = safetensors.load(out / f"tiny-{cut}.{method}.server.safetensors")
                    for key in (key for key in node if key.startswith("qcnet.check.map")):
                        channels = 1 if node[key].ndim == 4 else 2
                        planes = about.get("qcnet.planes", f"{node[key].shape[channels] * int(bits or 1)}")
                        self.assertEqual(sum(map(int, planes.split())), server[key].shape[channels])
                    self.assertEqual(about.get("qcnet.patch"), "2" if "--patch" in options else None)
                said = self.run_script("report.py", "--name", "tiny", "--base", base, "--runs", run,
                                       "--out", root / "log.json")
                for title in (("quantization-aware training",) if "qat" in asked else ()) + (
                        ("principal components",) if "klt" in asked else ()):
                    self.assertIn(title, said)

    def test_small_resnet(self):
        self.chain()

    def test_small_vit(self):
        self.chain(model=("--architecture", "vit", "--set", "depth=2", "width=32", "heads=2",
                          "--optimizer", "adamw", "--lr", 1e-3), cut="encoder.layers.encoder_layer_0")

    def test_small_convnext(self):
        self.chain(model=("--architecture", "convnext", "--set", "depths=1,1", "width=8",
                          "--optimizer", "adamw", "--lr", 1e-3), cut="features.1", block="depthwise")

    def test_binary_head(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            self.pictures(root)
            data = ("--dataset", "folder", "--data", root, "--resize", 36, "--size", 32)
            training = ("--batch", 16, "--threads", 1)
            base, binary, run, out = root / "base.pt", root / "binary.pt", root / "run", root / "out"
            self.run_script("train.py", *data, *training, "--architecture", "convnext", "--optimizer", "adamw",
                            "--set", "depths=1,1", "width=8", "--lr", 1e-3, "--epochs", 1, "--out", base)
            sizes = ("--set", "channels=8,8,16", "strides=2,1,2", "kernels=3,3,3")
            binarize = ("binarize.py", *data, *training, "--resume", *sizes, "--base", base, "--cut", "features.2",
                        "--calibration", 64, "--out", binary)
            self.run_script(*binarize, "--epochs", 1)
            said = self.run_script(*binarize, "--epochs", 2, "--seed", 1, refused=True)
            self.assertIn("binary.pt: was trained with another --epochs, --seed; give the same again, or another --out", said)
            self.forget_settings(binary)
            self.run_script(*binarize, "--epochs", 2)
            log = json.loads(binary.with_suffix(".json").read_text())
            self.assertEqual([record["epoch"] for record in log["history"]], [1, 2])
            self.assertEqual(log["bytes"]["binary_head"], 2 * 12 + (2 * 216 + 32) + (32 + 72 + 64) + (32 + 144 + 128))
            self.run_script("compensate.py", *data, *training, "--base", binary, "--teacher", base,
                            "--cut", "features.2", "--epochs", 1, "--reconstruction-epochs", 1,
                            "--distillation-epochs", 1, "--calibration", 64, "--out", run)
            self.run_script("export.py", *data, "--base", binary, "--run", run, "--name", "tiny", "--out", out)
            self.check_in_library(out)
            node, about = safetensors.load(out / "tiny-features.2.node.safetensors")
            self.assertEqual((about["qcnet.architecture"], about["qcnet.binary.strides"]), ("convnext", "2 1 2"))
            self.assertEqual(sorted(name for name in node if not name.startswith("qcnet.")), [
                "binary.input.scale", "binary.input.shift",
                *(f"binary.layers.{i}.{name}" for i in range(2) for name in ("bias", "scale", "threshold", "weight")),
                "binary.stem.bias", "binary.stem.weight"])
            weight = node["binary.layers.1.weight"]
            self.assertEqual((weight.dtype, weight.shape), (np.uint8, (16, 3, 3, 1)))
            self.assertEqual(node["binary.stem.weight"].dtype, np.float16)
            own = {name: array for name, array in node.items() if name.startswith("binary.")}
            own["qcnet.thresholds"] = node["qcnet.thresholds"]
            self.assertEqual(about["qcnet.hash"], deployment.fingerprint(own, "features.2"))
            head = models.partition(deployment.build_as(about), "features.2")[0]
            deployment.read_part(out / "tiny-features.2.node.safetensors", head)
            kept = torch.load(binary)["model"]
            for name, value in head.state_dict().items():
                self.assertTrue(torch.equal(value, kept[name]), name)

    def test_small_yolov3_tiny(self):
        about, found = self.chain(model=DETECTOR, cut="layers.10", size=64, boxes=True)
        self.assertEqual((about["qcnet.beside"], about["qcnet.metric"]), ("layers.8", "mAP@0.5"))
        self.assertEqual((about["qcnet.letterbox"], about["qcnet.feature.layers.8"]), ("1", "4 4 32"))
        self.assertEqual(found.shape[1], 7)

    @unittest.skipUnless("--all" in sys.argv, "slow: run with --all")
    def test_yolov3_tiny_cut_before_the_fork(self):
        about, _ = self.chain(model=DETECTOR, cut="layers.7", size=64, boxes=True, ranks=2)
        self.assertNotIn("qcnet.beside", about)
        self.assertEqual(about["qcnet.feature"], "4 4 16")

    @unittest.skipUnless("--all" in sys.argv, "slow: run with --all")
    def test_two_ranks(self):
        self.chain(ranks=2)

    @unittest.skipUnless("--all" in sys.argv, "slow: run with --all")
    def test_models_of_torchvision(self):
        for size, *model in ((64, "--model", "resnet50"), (64, "--architecture", "convnext", "--model", "convnext_tiny"),
                             (224, "--architecture", "vit", "--model", "vit_b_16")):
            with self.subTest(model[-1]):
                cut = {"vit_b_16": "conv_proj", "convnext_tiny": "features.2"}.get(model[-1], "layer2")
                self.chain(model=model, cut=cut, size=size)

    def train_here(self, *arguments):
        """train.py in this process, which need not start."""
        said = io.StringIO()
        with mock.patch("sys.argv", ["train.py", *map(str, arguments)]), contextlib.redirect_stdout(said):
            train.main()
        return said.getvalue()

    def test_training_that_diverges_ends(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            self.pictures(root)
            with self.assertRaisesRegex(SystemExit, "train: weights are no numbers after epoch 1; give a smaller --lr, or --fp32"):
                self.train_here("--dataset", "folder", "--data", root, "--resize", 36, "--size", 32, "--batch", 16, "--lr", 1e30,
                                "--epochs", 3, "--out", root / "base.pt", "--set", "width=8", "depths=1,1,1,1")
            self.assertFalse((root / "base.pt").exists())

    def test_that_there_are_no_components_is_said_before_anything_is_measured(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            self.pictures(root)
            data = ("--dataset", "folder", "--data", root, "--resize", 36, "--size", 32)
            self.train_here(*data, "--epochs", 0, "--out", root / "base.pt", "--set", "width=8", "depths=1,1,1,1")
            command = ("compensate.py", *data, "--base", root / "base.pt", "--cut", "layer2", "--methods", "klt-qcnet", "--out", root / "run")
            with mock.patch("sys.argv", [*map(str, command)]), mock.patch("compensate.Experiment.baselines") as baselines, \
                    self.assertRaisesRegex(SystemExit, "cut 'layer2': its map cannot be had in another basis"):
                compensate.main()
            baselines.assert_not_called()

    def test_a_checkpoint_knows_its_classes(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            self.pictures(root)
            self.train_here("--dataset", "folder", "--data", root, "--resize", 36, "--size", 32, "--epochs", 0, "--out", root / "base.pt",
                            "--set", "width=8", "depths=1,1,1,1")
            self.assertIsNotNone(base.read(root / "base.pt", data.load("folder", root, resize=36, size=32)))
            for split in ("train", "test"):
                (root / split / "red").rename(root / split / "amber")
            with self.assertRaisesRegex(SystemExit, "base.pt knows other classes than .* has, or in another order: blue, red"):
                base.read(root / "base.pt", data.load("folder", root, resize=36, size=32))

    def test_a_pretrained_model_is_the_one_that_is_asked_for(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            self.pictures(root)
            vit = ("--dataset", "folder", "--data", root, "--resize", 36, "--size", 32, "--architecture", "vit", "--epochs", 0,
                   "--batch", 64, "--set", "depth=1", "width=32")
            self.train_here(*vit, "heads=2", "--out", root / "base.pt")
            saved = torch.load(root / "base.pt")
            arrays = {name: value.numpy() for name, value in saved["model"].items()}
            safetensors.save(root / "plain.safetensors", arrays, {"qcnet.heads": "2"})
            whole = {**deployment.as_arrays(saved["model"]), "qcnet.check": arrays["heads.head.bias"]}
            safetensors.save(root / "whole.safetensors", whole, {"qcnet.specification": json.dumps(saved["spec"])})
            for name, exact in (("base.pt", True), ("plain.safetensors", True), ("whole.safetensors", False)):
                again = root / f"{name}-again.pt"
                given = ("--pretrained", root / name, "--out", again)
                with self.assertRaisesRegex(SystemExit, f"{name} is of another model: give .*--set .*heads=2"):
                    self.train_here(*vit, *given)
                self.train_here(*vit, "heads=2", *given)
                for key, value in torch.load(again)["model"].items():
                    torch.testing.assert_close(value, saved["model"][key], rtol=0, atol=0 if exact else 1e-3)
            with self.assertRaisesRegex(SystemExit, "base.pt is of another model: give --architecture vit --model small "
                                                    "--set size=32 patch=4 depth=1 heads=2 width=32"):
                self.train_here(*vit[:4], "--epochs", 0, "--pretrained", root / "base.pt", "--out", root / "again.pt")

    def test_a_pretrained_detector_keeps_its_anchors(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            own = "anchors=9,9,20,20,30,30,40,40,50,50,60,60"
            command = (*self.dataset(root, 64, True), *DETECTOR, "--epochs", 0, "--set", "width=2")
            self.train_here(*command, own, "--out", root / "base.pt")
            spec = torch.load(root / "base.pt")["spec"]
            self.train_here(*command, "--pretrained", root / "base.pt", "--out", root / "again.pt")
            self.assertEqual(torch.load(root / "again.pt")["spec"], spec)
            settings = models.as_options(spec).removeprefix("--architecture yolov3-tiny --model small --set ").split()
            self.assertEqual(models.specification("yolov3-tiny", "small", settings), spec)
            with self.assertRaisesRegex(SystemExit, "of another model: give .*anchors=9.0,9.0,20.0"):
                self.train_here(*command, own.replace("9", "8"), "--pretrained", root / "base.pt", "--out", root / "other.pt")

    def test_what_layers_drop_depends_on_the_epoch_alone(self):
        root, runtime = Path(self.enterContext(tempfile.TemporaryDirectory())), Runtime(bf16=False)
        images = torch.rand(64, 4, 1, 1, generator=torch.Generator().manual_seed(0))
        dataset = memory.MemoryDataset("", (images, torch.arange(64) % 2), None, range(2), 4 * (0,), 4 * (1,), 0, 8)

        def train_to(path, *ends):
            for epochs in ends:
                torch.manual_seed(epochs)  # an interruption leaves no state
                model = torch.nn.Linear(4, 2, bias=False)
                torch.nn.init.ones_(model.weight)
                optimizer = torch.optim.SGD(model.parameters(), 0.1)
                schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
                checkpoint = loop.Checkpoint(runtime, path, True, model=model, optimizer=optimizer, schedule=schedule)
                loop.fit(runtime, dataset, lambda x, labels, *_: torch.nn.functional.cross_entropy(
                    model(torch.nn.functional.dropout(x.flatten(1))), labels), optimizer, schedule, checkpoint, epochs=epochs,
                         batch=8, seed=0, mix=lambda images, labels, *_: (images, labels))
            return model.weight.detach()
        with contextlib.redirect_stdout(io.StringIO()):
            torch.testing.assert_close(train_to(root / "a.pt", 1, 3), train_to(root / "b.pt", 3), rtol=0, atol=0)

    def test_training_goes_on_only_as_it_began(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            self.pictures(root)
            command = ("--dataset", "folder", "--data", root, "--resize", 36, "--size", 32, "--batch", 64,
                       "--set", "width=8", "depths=1,1,1,1", "--epochs", 1, "--out", root / "base.pt")
            self.train_here(*command)
            self.train_here(*command, "--resume", "--set", "depths=1,1,1,1", "width=8", "block=basic")
            for options, named in ((("--lr", 0.1, "--epochs", 2), "--epochs, --lr"), (("--set", "width=16"), "--set"),
                                   (("--batch", 32, "--fp32"), "--batch, --fp32")):
                with self.assertRaisesRegex(SystemExit, f"base.pt: was trained with another {named}; give the same again"):
                    self.train_here(*command, "--resume", *options)
            self.forget_settings(root / "base.pt")
            self.train_here(*command, "--resume", "--lr", 0.1)

    def test_a_trained_model_as_it_is(self):
        with tempfile.TemporaryDirectory() as scratch:
            root = Path(scratch)
            self.pictures(root)
            data = ("--dataset", "folder", "--data", root, "--resize", 36, "--size", 32)
            spec = {"architecture": "resnet", "name": "small", "width": 8, "depths": (1, 1, 1, 1)}
            torch.manual_seed(0)
            state = models.build(dict(spec), 2, 3).state_dict()
            torch.save(state, root / "trained.pth")
            command = (*data, "--set", "depths=1,1,1,1", "width=8", "--epochs", 0, "--pretrained", root / "trained.pth",
                       "--out", root / "base.pt")
            self.train_here(*command)
            kept = torch.load(root / "base.pt")["model"]
            self.assertEqual([name for name, value in state.items() if not torch.equal(value, kept[name])], [])
            torch.save(models.build(dict(spec), 5, 3).state_dict(), root / "trained.pth")
            with self.assertRaisesRegex(SystemExit, "trained.pth is for other classes: with --epochs 0 fc.weight would stay random"):
                self.train_here(*command, "--resume")

    def test_last_layers_start_anew_for_other_classes(self):
        resnet = {"architecture": "resnet", "name": "small", "width": 8, "depths": (1, 1, 1, 1)}
        detector = {"architecture": "yolov3-tiny", "name": "small", "width": 2}
        for spec, names in ((resnet, ["fc.weight", "fc.bias"]), (detector, [f"layers.{i}.conv.{part}" for i in (15, 22) for part in ("weight", "bias")])):
            state, model = models.build(spec, 5, 3).state_dict(), models.build(spec, 2, 3)
            own = {name: value.clone() for name, value in model.state_dict().items()}
            with contextlib.redirect_stdout(io.StringIO()) as said:
                self.assertEqual(train.load_pretrained(Path("five.pth"), state, model, Runtime(bf16=False)), names)
            self.assertIn(f"five.pth is for other classes: {', '.join(names[:-1])} and {names[-1]} start anew", said.getvalue())
            for name, value in model.state_dict().items():
                self.assertTrue(torch.equal(value, own[name] if name in names else state[name]), name)


if __name__ == "__main__":
    run = unittest.main(argv=[a for a in sys.argv if a != "--all"], exit=False).result
    for test, reason in run.skipped:
        print(f"skipped: {test.id()}: {reason}")
    sys.exit(not run.wasSuccessful())
