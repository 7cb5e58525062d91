"""Checks of what nodes send and of the methods' parts, part of selftest.py."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch

import compensate
import export
import report
from qcnet_train import base, loop, methods, models, optimizers, tasks
from qcnet_train.compensator import CodeDequantizer, Dequantizer, round_to_half
from qcnet_train.components import Components
from qcnet_train.data.deferred import Deferred
from qcnet_train.latent import WINDOW
from qcnet_train.quantizer import Quantizer, binarize, even_levels, lloyd_max
from qcnet_train.sender import Codes, Encoder, LearnedComparison, Step
from qcnet_train.runtime import Runtime
from qcnet_train.stages import Frozen, Stages


def maps(seed=0):
    """A map behind a ReLU whose third channel is dead, and tokens."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(40, 6, 5, 5, generator=generator).relu() * torch.arange(1.0, 7).view(6, 1, 1)
    z[:, 2] = 0
    return z, torch.randn(300, 5, 6, generator=generator) + 3 * torch.randn(5, 6, generator=generator)


def cut_of(z):
    class Half(torch.nn.Identity):
        pass
    return methods.Cut(Half(), torch.nn.Conv2d(1, 1, 1), Quantizer.fit([z]), "relu", (1, *z.shape[1:]), 8, 1, "conv",
                       lambda bits: Quantizer.fit([z]).even([z], bits))


class Senders(unittest.TestCase):
    def test_even_levels_are_of_least_squares(self):
        values = torch.cat([torch.randn(3, 4000).abs() ** 2, torch.rand(1, 4000)]).double()
        one = even_levels(values, 1)
        torch.testing.assert_close(one, lloyd_max(values)[:, 1:], rtol=0.02, atol=0.01)

        def error(row, low, high, bits):
            levels = torch.linspace(float(low), float(high), 2 ** bits).double()
            return float((row[:, None] - levels).abs().amin(1).square().mean())
        for bits in (2, 4):
            for row, (low, high) in zip(values, even_levels(values, bits)):
                found = error(row, low, high, bits)
                for share in (0.2, 0.4, 0.6, 0.8, 0.9, 1.0):  # of the range, clipped from above as is usual
                    self.assertLess(found, error(row, row.min(), share * row.max(), bits) * 1.02)

    def test_codes_come_back_as_the_nearest_level(self):
        for z in maps():
            for bits in (2, 3, 8):
                levels = Quantizer.fit([z]).even([z], bits)
                planes = Codes(levels.low, levels.high, bits)(z)
                axis = 1 if z.ndim == 4 else 2
                self.assertEqual(planes.shape[axis], bits * z.shape[axis])
                self.assertEqual(set(planes.unique().tolist()), {0.0, 1.0})
                back = CodeDequantizer(levels, bits)(planes)
                step = (levels.high - levels.low) / (2 ** bits - 1)
                low, high, step = ((v.view(-1, 1, 1) if z.ndim == 4 else v) for v in (levels.low, levels.high, step))
                inside = (z >= low) & (z <= high)
                self.assertTrue((((back - z).abs() <= step / 2 + 1e-5) | ~inside).all())
                self.assertTrue(((back >= low - 1e-5) & (back <= high + 1e-5)).all())

    def test_an_encoder_starts_at_the_quantizers_bits(self):
        for z in maps():
            quantizer = Quantizer.fit([z])
            differ = Encoder.like(quantizer).eval()(z) != binarize(z, quantizer.thresholds)
            self.assertLess(float(differ.float().mean()), 1e-3)  # but for what lies on a threshold

    def test_bits_have_gradients_near_their_threshold(self):
        x = torch.tensor([-2 * WINDOW, -0.1, 0.0, 0.1, 2 * WINDOW], requires_grad=True)
        Step.apply(x).sum().backward()
        self.assertEqual(Step.apply(x).tolist(), [0, 0, 0, 1, 1])
        self.assertEqual([g > 0 for g in x.grad.tolist()], [False, True, True, True, False])
        for z in maps():
            quantizer = Quantizer.fit([z])
            sender = LearnedComparison(quantizer.thresholds, quantizer.scale)
            sender.train()(z).sum().backward()
            self.assertTrue((sender.thresholds.grad <= 0).all())  # a higher threshold, fewer bits
            self.assertTrue(torch.equal(sender.eval()(z), binarize(z, quantizer.thresholds)))


class Methods(unittest.TestCase):
    def test_all_start_where_lloyd_max_is(self):
        for z in maps():
            cut = cut_of(z)
            plain = Dequantizer(cut.quantizer)(binarize(z, cut.quantizer.thresholds))
            for name in ("qcnet", "autoencoder", "qat", "lloyd-max-finetuned"):
                parts = methods.assemble(methods.METHODS[name], cut).eval()
                far = (parts.restore(parts.send(z)) - plain).abs() > 1e-5
                self.assertLess(float(far.float().mean()), 1e-3, name)

    @mock.patch.object(Runtime, "spare_memory", lambda runtime: 1 << 40)
    def test_what_is_trained_on_are_the_maps_of_a_node(self):
        torch.manual_seed(1)
        head, images = torch.nn.Conv2d(3, 4, 3), torch.rand(2, 3, 8, 8)
        frozen = Frozen(Runtime(bf16=True), head, torch.nn.Identity())
        z = frozen.map(images, (0,))
        with torch.no_grad():
            self.assertTrue(torch.equal(z, head(images)))
            self.assertTrue(torch.equal(frozen.exact_map(images, (0,)), z))
        self.assertIs(frozen.map(None, (0,)), z)  # kept

    def test_ranks_ask_in_one_order_for_what_is_there(self):
        asked = []
        experiment = SimpleNamespace(
            arguments=SimpleNamespace(methods=["klt-qcnet", "qcnet", "autoencoder"], resume=False),
            is_there=lambda name, seed: asked.append(name) or name == "qcnet-mse")
        self.assertEqual(compensate.Experiment.order(experiment, 0), ["qcnet", "autoencoder-mse", "autoencoder", "klt-qcnet-mse", "klt-qcnet"])
        self.assertEqual(asked, sorted(asked))

    def test_what_results_were_made_with_stays(self):
        out, z = Path(self.enterContext(tempfile.TemporaryDirectory())), maps()[0]
        quantizer, fitted = Quantizer.fit([z]), Components.fit([z], 1)

        def keep():
            """What there is for a process that goes on in this folder."""
            loop.save(out / "quantizer.pt", vars(quantizer))
            loop.save(out / "components.pt", vars(fitted))
            compensate.keep_settings(SimpleNamespace(**dict.fromkeys(compensate.SETTINGS), out=out), {})
            return compensate.quantizer_of_before(out), compensate.components_of_before(out)
        self.assertEqual(keep(), (None, None))
        (out / "klt-qcnet-mse-seed0.running").touch()  # its first epochs had these
        for again, first in zip(keep(), (quantizer, fitted)):
            for name, value in vars(first).items():
                self.assertTrue(torch.equal(getattr(again, name), value), name)

    def test_components_of_before_are_in_results(self):
        out, z = Path(self.enterContext(tempfile.TemporaryDirectory())), maps()[0]
        cut, fitted = cut_of(z), Components.fit([z], 1)
        cut.components = lambda: fitted
        for name in ("klt", "klt-finetuned", "klt-qcnet-mse"):
            method = methods.METHODS[name]
            loop.save(out / f"{name}-seed0.pt", methods.state(method, methods.assemble(method, cut)))
            again = compensate.components_of_before(out)
            (out / f"{name}-seed0.pt").unlink()
            for field, value in vars(fitted).items():
                self.assertTrue(torch.equal(getattr(again, field), value), (name, field))

    def test_large_pictures_are_evaluated_fewer_at_a_time(self):
        sizes = {(28, 28): 500, (32, 32): 500, (64, 64): 500, (224, 224): 41, (2000, 1000): 1, (2000, 3000): 1}
        self.assertEqual({size: tasks.Classification(None, SimpleNamespace(size=size)).batch for size in sizes}, sizes)

    def test_classes_above_255_are_kept(self):
        path = Path(self.enterContext(tempfile.TemporaryDirectory())) / "said.npy"
        for classes in ([0, 255], [0, 255, 256, 999], []):
            tasks.classification.Classification.save(None, (torch.tensor(classes, dtype=torch.long),), path)
            self.assertEqual(np.load(path).tolist(), classes)

    def test_patches_are_of_one_map(self):
        for z in (torch.rand(2, 5, 4), (torch.rand(1, 2, 4, 4),) * 2):
            with self.assertRaisesRegex(SystemExit, "--patch: patches of pixels are for cuts that one map crosses"):
                models.basis.Patches(2)(z)

    @mock.patch.object(Runtime, "spare_memory")
    def test_outputs_are_kept_where_maps_leave_off(self, spare_memory):
        spare_memory.return_value = 1 << 40
        frozen = Frozen(Runtime(), torch.nn.Identity(), torch.nn.Linear(64, 2))
        images = torch.rand(2, 64)
        frozen.most = 3 * images.nelement() * 4
        for i in range(5):
            frozen.outputs(images, frozen.map(images, (i,)), (i,))
        self.assertEqual(sorted(frozen.kept), [("map", 0), ("map", 1), *(("outputs", i) for i in range(5))])
        frozen.outputs(images, Deferred(lambda: self.fail("what is kept needs no map")), (4,))
        frozen.forget()
        frozen.map(images, (7,))
        spare_memory.return_value = frozen.most  # others use the rest
        frozen.map(images, (8,))
        self.assertEqual(list(frozen.kept), [("map", 7)])

    def test_what_trains_its_head_trains_what_a_node_computes(self):
        torch.manual_seed(1)
        head = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).requires_grad_(True)
        images = torch.rand(2, 3, 8, 8)
        expected = head.eval()(images)
        chain = methods.Parts(head, None, None, torch.nn.Identity()).chain("images", "finetune").train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = chain(images)
        self.assertTrue(torch.equal(z, expected))
        z.sum().backward()
        self.assertIsNotNone(head[0].weight.grad)

    def test_bits_of_every_kind_are_lost_but_where_they_are_trained(self):
        z = maps()[0]
        cut = cut_of(z)
        cut.components = lambda: Components.fit([z], 1)
        lossy, lossless = (Stages(SimpleNamespace(device="cpu", rank=0), None, None, None, cut.quantizer, None, batch=1,
                                  cutmix=0, resume=False, packet_loss=rate) for rate in (0.25, 0))
        for name, method in methods.METHODS.items():
            if method.feed != "bits":
                self.assertTrue(method.send is None or "send" in method.trains, name)
                continue
            send = methods.assemble(method, cut).send
            sent, arrived = (stages.fed("bits", send, None, z, 0, 0, 0) for stages in (lossless, lossy))
            self.assertTrue(torch.equal(sent, send(z)), name)
            lost = arrived == 0.5
            self.assertTrue(torch.equal(arrived[~lost], sent[~lost]), name)
            self.assertAlmostEqual(float(lost.float().mean()), 0.25, delta=0.1)

    def test_what_is_kept_is_what_comes_back(self):
        z = maps()[0]
        for name, method in methods.METHODS.items():
            torch.manual_seed(1)
            parts = methods.assemble(method, cut_of(z))
            for part in (parts.send, parts.restore, parts.tail):
                for parameter in part.parameters() if part is not None and method.trains else ():
                    torch.nn.init.normal_(parameter)
            again = methods.load(methods.assemble(method, cut_of(maps(5)[0])), methods.state(method, parts))
            for part in ("send", "restore"):
                if method.own_node or part == "restore" and "restore" in method.trains:
                    for key, value in getattr(parts, part).state_dict().items():
                        self.assertTrue(torch.equal(value, getattr(again, part).state_dict()[key]), (name, part, key))

    def test_a_folder_of_results_is_for_one_model_and_one_set_of_options(self):
        out = Path(self.enterContext(tempfile.TemporaryDirectory()))

        def keep(read=None, **settings):
            compensate.keep_settings(SimpleNamespace(**{**dict.fromkeys(compensate.SETTINGS), "out": out, **settings}),
                                     read or {"base": "1a", "teacher": None})
        keep(epochs=5.0)
        keep(epochs=6.0)  # nothing was trained yet
        for left in ("qcnet-seed0.pt", "qcnet-mse-seed0.running"):
            (out / left).touch()
            for resume in (True, False):
                keep(epochs=6.0, resume=resume)
                with self.assertRaisesRegex(SystemExit, "another --epochs, --packet-loss; take another --out, or empty it"):
                    keep(epochs=5.0, packet_loss=0.25, resume=resume)
                for read in ({"base": "2b", "teacher": None}, {"base": "1a", "teacher": "2b"}):
                    with self.assertRaisesRegex(SystemExit, "another --(base|teacher); take"):
                        keep(read, epochs=6.0, resume=resume)
            (out / left).unlink()
        (out / left).touch()
        (out / "settings.json").write_text(json.dumps({**dict.fromkeys(compensate.SETTINGS), "epochs": 6.0}))
        keep(epochs=6.0)  # of before models were told apart
        with self.assertRaisesRegex(SystemExit, "another --base;"):
            keep({"base": "2b", "teacher": None}, epochs=6.0)

    def test_options_that_would_do_nothing_are_refused(self):
        def said(*options):
            words = ["compensate.py", "--dataset", "cifar10", "--base", "b", "--cut", "c", "--out", "o", *options]
            with mock.patch("sys.argv", words), mock.patch("sys.stderr", io.StringIO()) as stderr:
                try:
                    compensate.parse()
                except SystemExit as ended:
                    return stderr.getvalue() or str(ended)
        self.assertIn("--packet-loss is a mean share of bits between 0 and 0.5, not 0.6", said("--packet-loss", "0.6", "--methods", "qcnet"))
        for option in ("--rate", "--patch"):
            self.assertIn(f"{option} is for methods of principal components (klt...), not for qcnet, qat",
                          said(option, "2", "--methods", "klt", "qcnet", "qat", "control"))
            self.assertIsNone(said(option, "2", "--methods", "klt", "klt-qcnet", "control"))
        for patch in ("0", "9"):
            self.assertIn(f"--patch is a number of pixels from 1 to 8, not {patch}", said("--patch", patch, "--methods", "klt"))
        for rate in ("0", "-1", "8.5", "nan"):
            self.assertIn("--rate is a number of bits a feature, more than 0 and at most 8",
                          said("--rate", rate, "--methods", "klt"))
        shorter = ("--epochs", "2", "--reconstruction-epochs", "3", "--methods")
        self.assertIn("--epochs 2 are fewer than --reconstruction-epochs 3, which count among those of qcnet-finetuned",
                      said(*shorter, "qcnet", "qcnet-finetuned", "control"))
        self.assertIsNone(said(*shorter, "qcnet", "control"))

    def test_what_a_run_does_not_hold_is_not_exported(self):
        def run(method, seed=0, **figures):
            return {"method": method, "seed": seed, "validation": 0.5, **figures}
        whole = {"unpartitioned": {"validation": 0.9, "test": 0.9}}
        klt = {"runs": [run("klt", test=0.5), run("klt-qcnet-mse", test=0.5), run("qcnet", seed=1, test=0.5)], "baselines": whole}
        self.assertEqual(export.sources(klt, ("klt", "klt-qcnet"), 0, "run"), {"klt": "klt", "klt-qcnet": "klt-qcnet-mse"})
        for asked in ("qcnet", "autoencoder", "qat"):
            with self.assertRaisesRegex(SystemExit, f"run: holds no {asked} of seed 0; it holds klt, klt-qcnet-mse of it"):
                export.sources(klt, (asked, "klt"), 0, "run")
        for log in ({**klt, "baselines": {"unpartitioned": {"validation": 0.9}}}, {**klt, "runs": [run("klt")]}):
            with self.assertRaisesRegex(SystemExit, "figures of the validation split alone"):
                export.sources(log, ("klt",), 0, "run")

    def test_a_file_that_is_not_its_record_is_refused_with_both_figures(self):
        labels = torch.arange(2000) % 2
        for wrong, refused in ((0, False), (1, False), (3, True)):
            task, said = tasks.Classification(None, SimpleNamespace(size=(32, 32))), labels.clone()
            said[:wrong] += 1
            with mock.patch.object(task, "answers", lambda *_: (said, labels)), mock.patch("sys.stdout", io.StringIO()), \
                    self.assertRaisesRegex(SystemExit, "m: compensate.py measured accuracy 1.0000, this file has 0.9985 over the test set; "
                                           ) if refused else contextlib.nullcontext():
                export.verify(None, None, task, "m", None, 1.0, None)

    def test_a_run_is_exported_with_the_pictures_that_it_was_made_of(self):
        run = Path(self.enterContext(tempfile.TemporaryDirectory()))

        def check(dataset="folder", **given):
            export.check_pictures(SimpleNamespace(run=run, dataset=dataset, **{**dict.fromkeys(("limit", "size", "resize", "flips")), **given}))
        check(limit=9)  # a run of before, which says nothing
        (run / "settings.json").write_text(json.dumps({"dataset": "folder", "limit": None, "size": 224, "resize": None, "epochs": 5}))
        for same in ({}, {"size": 224}, {"resize": 256}):
            check(**same)
        for other, named in (({"limit": 9}, "--limit"), ({"size": 64, "resize": 64}, "--resize, --size"), ({"dataset": "bccd"}, "--dataset, --size")):
            with self.assertRaisesRegex(SystemExit, f"was trained with another {named}; give the same here"):
                check(**other)

    def test_a_report_has_each_cut_once_and_figures_of_the_test_split(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name, cut in (("a", "layer1"), ("b", "layer2"), ("c", "layer1")):
            (folder / name).mkdir()
            figures = {key: {"validation": 0.5, "test": 0.5} for key in ("unpartitioned", "uniform", "lloyd-max")}
            (folder / name / "results.json").write_text(json.dumps({"cut": cut, "baselines": figures, "runs": []}))
        (folder / "base.json").write_text("{}")

        def of(*runs):
            words = ("report.py", "--name", "m", "--base", folder / "base.pt", "--out", folder / "log.json", "--runs",
                     *(folder / run for run in runs))
            with mock.patch("sys.argv", list(map(str, words))), mock.patch("sys.stdout", io.StringIO()):
                report.main()
        of("a", "b")
        self.assertEqual(list(json.loads((folder / "log.json").read_text())["cuts"]), ["layer1", "layer2"])
        with self.assertRaisesRegex(SystemExit, "c: another of --runs is of cut 'layer1' too"):
            of("a", "b", "c")
        log = json.loads((folder / "b" / "results.json").read_text())
        log["runs"] = [{"method": "qcnet", "seed": 0, "validation": 0.5}]
        (folder / "b" / "results.json").write_text(json.dumps(log))
        with self.assertRaisesRegex(SystemExit, "b: holds figures of the validation split alone"):
            of("a", "b")

    def test_base_models_differ_by_their_weights_and_by_what_these_do_not_say(self):
        vits = [{"architecture": "vit", "name": "small", "depth": 1, "width": 32, "heads": heads} for heads in (2, 4)]
        seen = set()
        for spec in vits:
            torch.manual_seed(0)
            model = models.build(spec, 10, 3)
            seen.add(base.fingerprint(model))
            rounded = round_to_half(models.build(json.loads(json.dumps(spec)), 10, 3))
            rounded.load_state_dict(model.state_dict())
            self.assertEqual(base.fingerprint(round_to_half(rounded)), base.fingerprint(model))
            torch.nn.init.normal_(model.class_token)
            seen.add(base.fingerprint(model))
        self.assertEqual(len(seen), 4)

    def test_an_optimizer_is_the_one_that_was_named(self):
        for name, kind in (("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)):
            self.assertIs(type(optimizers.make(name, torch.nn.Linear(2, 2), 0.1, 0.1)), kind)

    def test_thresholds_and_levels_do_not_decay(self):
        cut = cut_of(maps()[1])
        for name in ("qat", "autoencoder"):
            parts = methods.assemble(methods.METHODS[name], cut)
            levels = getattr(parts.restore, "dequantizer", parts.restore)
            groups = optimizers.make("sgd", parts.chain("map", "reconstruct"), 0.1, 0.1).param_groups
            free = {id(p) for p in groups[1]["params"]}
            for parameter in (parts.send.thresholds, levels.low, levels.high):
                self.assertIn(id(parameter), free)
