"""Checks of principal components at a cut, part of selftest.py."""

import tempfile
import unittest
from pathlib import Path

import torch

from qcnet_train import base, components, methods, models, safetensors
from qcnet_train.compensator import Dequantizer, LinearDequantizer
from qcnet_train.components import Components, allocate, counts, planes_of, principal, rows
from qcnet_train.models.basis import Patches
from qcnet_train.quantizer import Quantizer, binarize
from qcnet_train.sender import ComponentCodes

CONVNEXT = {"architecture": "convnext", "name": "small", "depths": (1, 1), "width": 8}
RESNET = {"architecture": "resnet", "name": "small", "width": 8}
YOLO = {"architecture": "yolov3-tiny", "name": "small", "width": 2}
VIT = {"architecture": "vit", "name": "small", "depth": 2, "width": 32, "heads": 2}


def correlated(channels=12, seed=0):
    """A map [40, C, 5, 5] and tokens [300, 7, C] whose channels are mixtures of few sources, with means of their own."""
    generator = torch.Generator().manual_seed(seed)
    mixture = torch.randn(channels, channels, generator=generator) * 0.6 ** torch.arange(channels)
    mean = torch.randn(7, channels, generator=generator)
    tokens = torch.randn(300, 7, channels, generator=generator) @ mixture.T + mean
    z = torch.randn(40, 25, channels, generator=generator) @ mixture.T + mean[0]
    return z.transpose(1, 2).reshape(40, channels, 5, 5), tokens


def randomized(spec):
    """A model whose every parameter, and every statistic of a normalization, does something."""
    torch.manual_seed(1)
    model = models.build(dict(spec), 10, 3).eval()
    for parameter in model.parameters():
        if parameter.ndim < 2 or parameter.shape[0] == 1:
            torch.nn.init.normal_(parameter, 0.3, 0.5)
    for name, statistic in model.named_buffers():
        if name.endswith("running_mean") or name.endswith("running_var"):
            torch.nn.init.uniform_(statistic, 0.5, 1.5)
    return model


class PrincipalComponents(unittest.TestCase):
    def test_are_orthonormal_and_uncorrelated_the_greatest_first(self):
        x = rows(correlated()[0]).flatten(0, 1)
        mix = principal(x - x.mean(0), without_mean=False)
        torch.testing.assert_close(mix @ mix.T, torch.eye(12), atol=1e-5, rtol=0)
        covariance = torch.cov((x @ mix.T).T)
        variance = covariance.diagonal()
        self.assertLess(float((covariance - variance.diag()).abs().max()), 1e-3 * float(variance[0]))
        self.assertTrue(bool((variance.diff() <= 1e-5).all()))

    def test_without_their_mean_keep_what_a_layer_normalization_says(self):
        x = correlated()[1].flatten(0, 1)
        mix = principal(x - x.mean(0), without_mean=True)
        torch.testing.assert_close(mix.sum(0), torch.zeros(12), atol=1e-5, rtol=0)
        norm = torch.nn.LayerNorm(12, elementwise_affine=False)
        torch.testing.assert_close(norm(x @ mix.T) @ mix, norm(x), atol=1e-4, rtol=1e-4)

    def test_bits_go_where_they_take_most_from_the_error(self):
        generator = torch.Generator().manual_seed(0)
        deviations = torch.tensor([0.1, 8.0, 1.0, 1.0, 0.0, 2.0])
        bits, _ = allocate(deviations[:, None] * torch.randn(6, 4000, generator=generator), 8)
        self.assertEqual(int(bits.sum()), 8)
        self.assertEqual(bits.argmax(), 1)
        self.assertEqual((int(bits[0]), int(bits[4])), (0, 0))
        self.assertGreaterEqual(int(bits[5]), int(bits[2]))
        most, _ = allocate(deviations[:, None] * torch.randn(6, 4000, generator=generator), 48)
        self.assertEqual(most.tolist(), [components.MOST_BITS] * 6)

    def test_planes_are_the_bits_of_the_nearest_level(self):
        bits = torch.tensor([3, 2, 1, 0])
        self.assertEqual(counts(bits), [3, 2, 1])
        low, high = torch.tensor([0.0, -1, 0, 0]), torch.tensor([7.0, 2, 1, 0])
        y = torch.tensor([[5.2, 0.4, 0.4, 9], [-3, 7, 0.6, 9], [float("nan"), -1.4, 0.5, 9]])
        codes = torch.tensor([[5, 1, 0], [0, 3, 1], [0, 0, 1]])
        planes = planes_of(y, low, high, bits).int()
        for code, plane in zip(codes, planes):
            expected = [int(c) >> p & 1 for p, n in enumerate((3, 2, 1)) for c in code[:n]]
            self.assertEqual(plane.tolist(), expected)

    def test_the_same_bits_say_more_of_components(self):
        for z in correlated():
            quantizer, made = Quantizer.fit([z]), Components.fit([z], 1)
            sent = ComponentCodes(made)(z)
            self.assertEqual(sent.shape, z.shape)  # a bit a feature
            self.assertEqual(set(sent.unique().tolist()), {0.0, 1.0})
            error = (LinearDequantizer(made)(sent) - z).square().mean()
            plain = (Dequantizer(quantizer)(binarize(z, quantizer.thresholds)) - z).square().mean()
            self.assertLess(float(error), 0.25 * float(plain))
            half = Components.fit([z], 0.5)
            self.assertEqual(half.weight.shape, (12, 6))
            error = (LinearDequantizer(half)(ComponentCodes(half)(z)) - z).square().mean()
            self.assertLess(float(error), float(plain))

    def test_rates_that_cannot_be_are_refused(self):
        z = correlated()[0]
        for rate in (0, -1, 0.04, 8.1):
            with self.assertRaisesRegex(SystemExit, f"--rate {rate:g}: 12 channels can have 0.083 to 8 bits each"):
                Components.fit([z], rate)
        self.assertEqual(Components.fit([z], 0.08).weight.shape, (12, 1))

    def test_a_channel_that_never_changes(self):
        z = correlated()[0]
        z[:, 3] = 2
        made = Components.fit([z], 1)
        restored = LinearDequantizer(made)(ComponentCodes(made)(z))
        torch.testing.assert_close(restored[:, 3], z[:, 3], atol=0.02, rtol=0)

    def test_a_head_in_another_basis_does_no_more_work(self):
        images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        for spec, cut in ((CONVNEXT, "features.2"), (VIT, "encoder.layers.encoder_layer_0"),
                          (VIT, "encoder.layers.encoder_layer_1"), (RESNET, "layer2.0.add"),
                          ({**RESNET, "block": "bottleneck"}, "layer1.0.add"), (YOLO, "layers.8.bn")):
            with self.subTest(cut), torch.no_grad():
                model = randomized(spec)
                head, tail = models.partition(model, cut)
                before = [value.clone() for value in head.state_dict().values()]
                z = head(images)
                x = rows(z).flatten(0, 1)
                mix = principal(x - x.mean(0), without_mean=z.ndim == 3)
                for sent in (len(mix), 5):
                    made, channels = models.in_basis(model, cut, 1, mix, sent)
                    self.assertEqual(list(made.state_dict()), list(head.state_dict()))
                    self.assertTrue(all(len(own) <= len(of_model) for own, of_model in
                                        zip(made.parameters(), head.parameters())))
                    y = rows(made(images))
                    self.assertEqual(channels, sent if z.ndim == 4 else len(mix))
                    torch.testing.assert_close(y, rows(z) @ mix[:channels].T, atol=1e-4 * float(z.abs().max()), rtol=1e-3)
                    self.assertTrue(all(map(torch.equal, before, head.state_dict().values())))
                if z.ndim == 3:  # what lies in the basis is all that the tail sees
                    torch.testing.assert_close(tail(y @ mix), tail(z), atol=1e-3, rtol=1e-3)

    def test_patches_are_components_of_several_pixels(self):
        images = torch.randn(4, 3, 64, 128, generator=torch.Generator().manual_seed(0))
        for spec, cut, patch in ((CONVNEXT, "features.2", 2), (RESNET, "layer2.0.add", 2), (RESNET, "layer2.0.add", 4),
                                 ({**RESNET, "block": "bottleneck"}, "layer1.0.add", 3), (YOLO, "layers.8.bn", 2)):
            with self.subTest(cut, patch=patch), torch.no_grad():
                model = randomized(spec)
                head, tail = models.partition(model, cut, patch)
                pictures = images[..., :60, :66] if patch == 3 else images
                z = head(pictures)
                torch.testing.assert_close(tail(z), model(pictures))
                mix = torch.linalg.qr(torch.randn(z.shape[1], z.shape[1])).Q
                made, channels = models.in_basis(model, cut, patch, mix, 7)
                self.assertEqual(channels, 7)
                scale = float(z.abs().max())
                torch.testing.assert_close(rows(made(pictures)), rows(z) @ mix[:7].T, atol=1e-4 * scale, rtol=1e-3)
        with self.assertRaisesRegex(SystemExit, "a map of 13 x 13 pixels has no patches of 2 x 2"):
            Patches(2)(torch.zeros(1, 3, 13, 13))
        with self.assertRaisesRegex(SystemExit, "its map, of patches of 2 x 2 pixels, cannot be had in another basis"):
            models.in_basis(randomized(VIT), "encoder.layers.encoder_layer_0", 2, torch.eye(8), 8)

    def test_cuts_behind_what_is_not_linear_are_refused(self):
        for spec, cut in ((CONVNEXT, "features.1"), (CONVNEXT, "features.0"), (VIT, "conv_proj"),
                          (RESNET, "layer1"), (RESNET, "layer2.0"), (RESNET, "relu"), (YOLO, "layers.8"), (YOLO, "layers.7")):
            with self.assertRaisesRegex(SystemExit, f"cut '{cut}': its map cannot be had in another basis for free"):
                models.in_basis(randomized(spec), cut, 1, torch.eye(8), 8)

    def test_a_head_in_another_basis_is_no_base_model(self):
        path = Path(self.enterContext(tempfile.TemporaryDirectory())) / "m-features.2.klt.node.safetensors"
        safetensors.save(path, {}, {"qcnet.role": "node", "qcnet.planes": "3 1"})
        with self.assertRaisesRegex(SystemExit, "holds a head in the basis of principal components"):
            base.metadata(path)

    def test_methods_that_send_the_same_share_a_node(self):
        self.assertEqual({methods.node_of(name) for name in ("klt", "klt-finetuned", "klt-qcnet", "klt-qcnet-mse")}, {"klt"})
        self.assertEqual([methods.node_of(name) for name in ("qcnet", "qat", "autoencoder", "4-bit-finetuned")],
                         ["", "qat", "autoencoder", "4-bit"])
