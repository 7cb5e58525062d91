"""Checks of binary heads, part of selftest.py."""

import unittest
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F

import binarize
from qcnet_train import latent, models
from qcnet_train.models.binary_head import BinaryHead, pack, unpack

SIZES = {"channels": (12, 12, 24, 24, 10), "strides": (2, 1, 2, 1, 1), "kernels": (3, 3, 3, 1, 3)}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def pictures(count, seed=0):
    """(integers of 0 to 255 [N, 3, 32, 32], the same normalized)."""
    q = torch.randint(0, 256, (count, 3, 32, 32), generator=torch.Generator().manual_seed(seed)).float()
    return q, (q / 255 - torch.tensor(MEAN).view(-1, 1, 1)) / torch.tensor(STD).view(-1, 1, 1)


def trained(seed=0):
    """A latent head in evaluation whose normalizations are of the maps that there are."""
    torch.manual_seed(seed)
    head = latent.LatentHead(3, MEAN, STD, **SIZES)
    for module in head.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, -1, 1)
            torch.nn.init.normal_(module.bias, 0, 0.3)
            module.momentum = None
    for layer in head.layers:
        torch.nn.init.normal_(layer.threshold, 0, 0.3)
    with torch.no_grad():
        head.train()(pictures(16)[1])
    return head.eval()


def plainly(head, q):
    """The deployed head in fp64, from integers, written to be read."""
    x = F.conv2d(q.double(), head.stem.weight.double(), head.stem.bias.double(), head.stem.stride, 1)
    for layer in head.layers:
        signs = (x > layer.threshold.double().view(-1, 1, 1)).double() * 2 - 1
        count = F.conv2d(signs, layer.weight.double(), stride=layer.stride, padding=layer.weight.shape[2] // 2)
        y = layer.scale.double().view(-1, 1, 1) * count + layer.bias.double().view(-1, 1, 1)
        if layer.stride == 2:
            x = F.max_pool2d(x, 2)
        if y.shape[1] == 2 * x.shape[1] and layer.stride == 2:
            x = torch.cat([x, x], 1)
        x = y + x if x.shape == y.shape else y
    return x


class BinaryHeads(unittest.TestCase):
    def test_deployed_is_exact(self):
        head, (q, images) = latent.fold(trained()), pictures(8, seed=1)
        self.assertTrue(torch.equal(head.pixels(images), q))
        head.check_exact(images)
        self.assertTrue(torch.equal(head(images).double(), plainly(head, q)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self.assertTrue(torch.equal(head(images), plainly(head, q).float()))

    def test_folding_keeps_each_layer(self):
        # Layer by layer: a bit that flips where a value lies within rounding of its threshold moves all that follows.
        head, (q, images) = trained(), pictures(32, seed=2)
        folded = latent.fold(head)
        with torch.no_grad():
            x = head.bn(head.stem(q / latent.PIXEL))
            self.assertLess(float((folded.stem(q) - x).square().mean() / x.var()), 1e-4)
            for layer, deployed in zip(head.layers, folded.layers):
                y = layer(x)
                rounding = latent.GRID / 2 * (1 + deployed.weight[0].numel())
                torch.testing.assert_close(deployed(x), y, rtol=0, atol=rounding)
                x = y
            self.assertTrue(torch.equal(x, head(images)))

    def test_folding_changes_nothing_on_the_grid(self):
        head, (_, images) = trained(), pictures(8, seed=3)
        with torch.no_grad():
            head.stem.weight.copy_(torch.randint_like(head.stem.weight, -127, 128) * 2.0 ** -14 * latent.PIXEL)
            head.stem.weight[:, 0, 0, 0] = 127 * 2.0 ** -14 * latent.PIXEL
            for bn in [head.bn, *(layer.bn for layer in head.layers)]:
                bn.eps = 0
                bn.running_mean.zero_()
                bn.running_var.fill_(1)
                bn.weight.copy_(1 if bn is head.bn else torch.randint_like(bn.weight, -200, 200) * latent.GRID)
                bn.bias.copy_(torch.randint_like(bn.bias, -999, 999) * latent.GRID)
            folded = latent.fold(head)
            folded.check_exact(images)
            self.assertGreater(min(float(layer.scale.min()) for layer in folded.layers), -1e-9)
            self.assertTrue(torch.equal(folded(images), head(images)))

    def test_stem_is_of_small_integers(self):
        head = trained()
        with torch.no_grad():
            head.stem.weight[0] *= 1e-3  # finer than sums may be made of
            head.bn.weight[0] *= 1e-3
        weight = latent.fold(head).stem.weight
        for i, channel in enumerate(weight):
            step = next(2.0 ** -k for k in range(30) if ((channel * 2 ** k).round() == channel * 2 ** k).all())
            self.assertLessEqual(float(channel.abs().max()), 127 * step)
            self.assertGreaterEqual(step, 2.0 ** -17)
            self.assertTrue(torch.equal(channel.half().float(), channel))
        self.assertTrue((weight[1:].abs().amax((1, 2, 3)) > 0).all())

    def test_what_is_not_exact_is_refused(self):
        images = pictures(2)[1]
        for spoil in (lambda head: head.layers[1].scale.fill_(1.5), lambda head: head.layers[1].scale.fill_(2.0 ** -13),
                      lambda head: head.layers[0].bias.fill_(128), lambda head: head.stem.bias.fill_(2.0 ** -18),
                      lambda head: head.stem.weight.fill_(0.125)):
            head = latent.fold(trained())
            spoil(head)
            with self.assertRaises(ValueError):
                head.check_exact(images)

    def test_that_a_node_cannot_compute_a_head_is_said(self):
        model = SimpleNamespace(binary=latent.fold(trained()))
        model.binary.stem.bias.fill_(2.0 ** -18)
        dataset = SimpleNamespace(batches=lambda *_: [(pictures(2)[1], None, 0)])
        of = SimpleNamespace(folded=SimpleNamespace(now=lambda: model), dataset=dataset, task=SimpleNamespace(batch=2),
                             runtime=SimpleNamespace(put=lambda images: images), arguments=SimpleNamespace(out=Path("o.pt")))
        with self.assertRaisesRegex(SystemExit, "o.pt: a node would compute something else than this head, as a stem's sum is no multiple of"):
            binarize.Binarization.figures(of)

    def test_maps_that_cannot_be_halved_are_refused(self):
        images = pictures(1)[1][..., :28, :28]
        of = SimpleNamespace(head=torch.nn.Identity(), latent=latent.LatentHead(3, MEAN, STD, channels=(8, 8, 8), strides=(2, 2, 2), kernels=(3, 3, 3)),
                             runtime=SimpleNamespace(put=lambda images: images),
                             dataset=SimpleNamespace(size=(28, 28), batches=lambda *_, **__: iter([(images, None, 0)])))
        with self.assertRaisesRegex(SystemExit, r"strides \(2, 2, 2\) is none for pictures of 28 x 28 pixels, as a layer of stride 2 needs"):
            binarize.Binarization.same_shape(of)

    def test_packing(self):
        generator = np.random.default_rng(0)
        for channels in (1, 3, 7, 8, 9, 31, 32, 33, 64, 80, 128):
            for kernel in (1, 3, 5):
                weight = generator.integers(0, 2, (5, channels, kernel, kernel)).astype(np.float32) * 2 - 1
                packed = pack(weight)
                self.assertEqual((packed.dtype, packed.shape), (np.uint8, (5, kernel, kernel, (channels + 7) // 8)))
                np.testing.assert_array_equal(unpack(packed, channels), weight)
                self.assertEqual(int(packed[..., -1].max()) >> ((channels - 1) % 8 + 1), 0)
        one = -np.ones((1, 10, 1, 1), np.float32)
        one[0, [0, 3, 9]] = 1
        self.assertEqual(pack(one).tolist(), [[[[0b1001, 0b10]]]])

    def test_gradients_pass_near_thresholds(self):
        x = torch.tensor([-2.0, -0.5, 0.25, 1.5], requires_grad=True)
        signs = latent.ActivationSign.apply(x, torch.float32)
        self.assertEqual(signs.tolist(), [-1, -1, 1, 1])
        signs.sum().backward()
        self.assertEqual(x.grad.tolist(), [0, 1, 1.5, 0])
        w = torch.tensor([-1.5, -0.5, 0.0, 2.0], requires_grad=True)
        latent.WeightSign.apply(w).sum().backward()
        self.assertEqual(w.grad.tolist(), [0, 1, 1, 0])

    def test_it_takes_a_heads_place(self):
        base = models.build({"architecture": "convnext", "name": "small", "depths": (1, 1), "width": 5}, 10, 3).eval()
        binary = latent.fold(trained())
        model = models.with_binary_head(base, "features.2", binary)
        self.assertEqual(models.cuts(model), {"features.2": "identity"})
        head, tail = models.partition(model, "features.2")
        images = pictures(2)[1]
        with torch.no_grad():
            self.assertTrue(torch.equal(head(images), binary(images)))
            self.assertTrue(torch.equal(tail(head(images)), models.partition(base, "features.2")[1](binary(images))))
        again = models.build(model.spec, 10, 3).eval()
        again.load_state_dict(model.state_dict())
        with torch.no_grad():
            self.assertTrue(torch.equal(again(images), model(images)))
        with self.assertRaisesRegex(SystemExit, "known: features.2"):
            models.partition(model, "features.1")
        with self.assertRaisesRegex(SystemExit, "not for vit"):
            models.with_binary_head(models.build({"architecture": "vit", "name": "small"}, 10, 3), "conv_proj", binary)
        with self.assertRaisesRegex(SystemExit, "as many"):
            BinaryHead(3, (8, 8), (2,), (3, 3))
