"""Checks of what the scripts say of mistaken options and files: python3 selftest_inputs.py."""

import contextlib
import gzip
import importlib
import io
import json
import tempfile
import unittest
import zipfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch
from PIL import Image

import train
from qcnet_train import base, data, deployment, inputs, loop, models, outputs, safetensors
from qcnet_train.data import locate, pictures
from qcnet_train.runtime import Runtime, versions
from selftest_detection import write_voc

NEEDED = {"train": ("--out", "o.pt"), "compensate": ("--base", "b", "--cut", "layer1", "--out", "o"),
          "binarize": ("--base", "b", "--cut", "layer1", "--out", "o.pt"), "export": ("--base", "b", "--name", "n", "--whole", "--out", "o")}


class Options(unittest.TestCase):
    def said(self, script, *options):
        """What parse() of a script says; None if it takes the options."""
        words = [f"{script}.py", "--dataset", "cifar10", *NEEDED[script], *options]
        with mock.patch("sys.argv", words), contextlib.redirect_stderr(io.StringIO()) as stderr:
            try:
                importlib.import_module(script).parse()
            except SystemExit:
                return stderr.getvalue()

    def test_numbers_that_mean_nothing(self):
        from_one, from_zero = "is not a whole number from 1 on", "is not a whole number from 0 on"
        for script, option, wrong, right, says in (
                ("train", "--batch", ("0", "-1", "2.5", "many"), "1", from_one), ("compensate", "--threads", ("0",), "2", from_one),
                ("export", "--limit", ("0",), "1", from_one), ("binarize", "--size", ("0",), "32", from_one),
                ("binarize", "--epochs", ("0",), "1", from_one),
                ("train", "--epochs", ("-1", "1.5"), "0", from_zero),
                ("compensate", "--seeds", ("-1", "4294967296"), "0", "is not a whole number from 0 to 2^32 - 1"),
                ("compensate", "--width", ("0",), "8", from_one), ("compensate", "--blocks", ("-1",), "0", from_zero),
                ("compensate", "--epochs", ("-1", "nan", "inf"), "1.5", "is not a number from 0 on"),
                ("binarize", "--lr", ("0", "-1", "nan", "inf"), "1e-3", "is not a number above 0"),
                ("train", "--cutmix", ("1.1", "-1", "nan"), "0.5", "is not a number from 0 to 1")):
            for value in wrong:
                self.assertIn(f"argument {option}: '{value}' {says}", self.said(script, option, value) or "")
            self.assertIsNone(self.said(script, option, right))

    def test_models_that_do_not_exist(self):
        for spec, says in (({"name": "resnet51"}, r"--model resnet51: there is no such model \(known: small, .*resnet50"),
                           ({"name": "vit_b_16"}, "--model vit_b_16: there is no such model"),
                           ({"name": "small", "depths": (1, 1)}, "--set depths: a ResNet has four stages, not 2"),
                           ({"name": "small", "block": "none"}, "--set block=none: there is no such model: 'none'")):
            with self.assertRaisesRegex(SystemExit, says):
                models.build({"architecture": "resnet", **spec}, 10, 3)
        for setting in ("width=0", "width=", "depths=1,x", "depths=1,0,1,1"):
            with self.assertRaisesRegex(SystemExit, f"--set {setting}: not a value such as "):
                models.specification("resnet", "small", [setting])

    def test_models_that_cannot_take_the_pictures(self):
        dataset = SimpleNamespace(classes=("a", "b"), channels=3, size=(16, 16))
        for family, setting in (("vit", "size=32"), ("convnext", "patch=32"), ("convnext", "depths=1,1,1,1,1,1")):
            with self.assertRaisesRegex(SystemExit, f"--set .*{setting}.* is no model for pictures of 16 x 16 pixels: "):
                train.build(models.specification(family, "small", [setting]), dataset)
        self.assertTrue(train.build(models.specification("vit", "small", ["size=16"]), dataset).training)

    def test_what_cannot_be_written_is_said_at_once(self):
        root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (root / "file").touch()
        for script, option in (("train", "--out"), ("binarize", "--out"), ("compensate", "--out"), ("export", "--predictions")):
            suffix = ".pt" if script in ("train", "binarize") else ""
            for path in (f"file/o{suffix}", *(("file",) if script in ("compensate", "export") else ())):
                self.assertIn(f"argument {option}: {root / 'file'} is a file, no folder", self.said(script, option, str(root / path)))
            self.assertIsNone(self.said(script, option, str(root / "new" / f"o{suffix}")))
        self.assertIn(f"argument --out: {root} is a folder, name a file", self.said("train", "--out", str(root)))
        for script in ("train", "binarize"):
            for name in ("x.json", "lr0.1"):
                self.assertIn(f"{name} is no name of a checkpoint, whose log is", self.said(script, "--out", str(root / name)))
            (root / "file.pt").touch()
            self.assertIn("file.pt is there already; --resume goes on with it", self.said(script, "--out", str(root / "file.pt")))
            self.assertIsNone(self.said(script, "--out", str(root / "file.pt"), "--resume"))
        for path in (root, root / "file" / "o"):
            for write in (loop.save, outputs.write_json):
                with self.assertRaisesRegex(SystemExit, f"{path}: cannot be written: (Is a|Not a) directory|File exists"):
                    write(path, {})
        with mock.patch("torch.save", side_effect=RuntimeError("the disk is full")), \
                self.assertRaisesRegex(SystemExit, "o: cannot be written: the disk is full"):
            loop.save(root / "o", {})

    def test_a_mistyped_folder_of_data_is_not_passed_over(self):
        with mock.patch.dict("os.environ", QCNET_DATA="/nowhere"):
            with self.assertRaisesRegex(inputs.FileError, r"^\$QCNET_DATA: there is no /nowhere; unset it to look in /"):
                locate.find(None, ("cifar10.tar.gz",), "advice")
            with self.assertRaisesRegex(locate.NotFound, "/else/cifar10.tar.gz"):
                locate.find("/else", ("cifar10.tar.gz",), "advice")


class Files(unittest.TestCase):
    def setUp(self):
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def says(self, read, *arguments):
        """What a script ends with that reads so."""
        with mock.patch("sys.argv", ["/somewhere/script.py"]), self.assertRaises(SystemExit) as ended:
            inputs.run(lambda: read(*arguments))
        return str(ended.exception)

    def test_checks_that_differ_are_said(self):
        deployment.check_close(self.root, torch.ones(2), torch.ones(2), 0)
        self.assertIn(f"{self.root}: its check gives something else than is recorded in it",
                      self.says(deployment.check_close, self.root, torch.zeros(2), torch.ones(2), 1e-4))

    def test_what_is_wrong_with_them_is_said(self):
        path = self.root / "file"
        torch.save({"spec": 1}, self.root / "whole")
        whole, cut = (self.root / "whole").read_bytes(), "is no file of torch.save, or is damaged: "
        tensors, no_json = "is no safetensors file that can be read: ", "is no JSON: Expecting value"
        for read, content, says in (
                (inputs.checkpoint, b"", cut), (inputs.checkpoint, b"hello", cut), (inputs.checkpoint, whole[:-99], cut),
                (inputs.read_json, b"", no_json), (inputs.read_json, b"hello", no_json), (inputs.read_json, b"\xff", "is no text"),
                (inputs.read_json, b"[]", "is another file than is needed here, which has names and values"),
                (safetensors.load, b"{}", tensors + "2 bytes are too short"), (safetensors.load, bytes(8) + b"{}", tensors),
                (safetensors.load, b"\x02" + bytes(7) + b"[]", tensors), (safetensors.load, b"\x08" + bytes(7) + b'{"a": 1}', tensors)):
            path.write_bytes(content)
            self.assertIn(f"script.py: {path}: {says}", self.says(read, path))

    def test_results_of_before_hold_torchs_class_of_versions(self):
        torch.save({"versions": {"torch": torch.torch_version.TorchVersion("1.13.1")}}, self.root / "file")
        self.assertEqual(inputs.load(self.root / "file"), {"versions": {"torch": "1.13.1"}})

    def test_versions_are_of_the_code_that_was_loaded(self):
        found = versions()
        self.assertIs(type(found["torch"]), str)
        with mock.patch("subprocess.run", side_effect=AssertionError("the clone has gone on")):
            self.assertEqual(versions(), found)

    def test_of_another_kind(self):
        path = self.root / "file"
        torch.save([1], path)
        says = f"script.py: {path}: is another file than is needed here, which has spec, model"
        self.assertEqual(self.says(inputs.checkpoint, path, "spec", "model"), says)
        torch.save({"spec": 1}, path)
        self.assertEqual(self.says(inputs.checkpoint, path, "spec", "model"), says)
        path.write_text(json.dumps({"cut": 1}))
        self.assertIn("which has cut, runs", self.says(inputs.read_json, path, "cut", "runs"))
        self.assertEqual(inputs.read_json(path, "cut"), {"cut": 1})

    def test_of_another_model(self):
        spec = {"architecture": "resnet", "name": "small", "depths": (1, 1, 1, 1), "width": 8}
        model, path = models.build(spec, 2, 3), self.root / "file.pt"
        torch.save({"spec": spec, "model": model.state_dict(), "history": []}, path)
        dataset = SimpleNamespace(classes=("a", "b", "c"), channels=3, size=(16, 16), task="classification")
        self.assertIn(f"{path}: is of another model: ", self.says(base.read, path, dataset))
        checkpoint = loop.Checkpoint(Runtime(bf16=False), path, True, model=models.build(spec, 3, 3))
        self.assertIn(f"{path}: is of another model: ", self.says(checkpoint.load))
        checkpoint.parts["optimizer"] = None
        self.assertIn("which has model, optimizer, history", self.says(checkpoint.load))
        torch.save({"settings": {}, "classes": ["a", "b"], "history": []}, path)
        checkpoint = loop.Checkpoint(Runtime(bf16=False), path, True, {"settings": {}, "classes": ["a", "c"]})
        with self.assertRaisesRegex(SystemExit, "was trained for other classes; give the same --data again"):
            checkpoint.load()
        safetensors.save(self.root / "file.safetensors", {}, {"qcnet.role": "model"})
        file = self.root / "file.safetensors"
        self.assertIn("which has qcnet.specification, qcnet.input", self.says(base.read, file, dataset))
        about = {"qcnet.role": "model", "qcnet.classes": "a\nb\nc", "qcnet.dataset": "", "qcnet.accuracy.unpartitioned": "1"}
        for text, size, says in (("resnet", "16 16 3", "qcnet.specification is of no model: 'resnet'"),
                                 ("[1]", "16 16 3", "qcnet.specification is of no model: '[1]'"),
                                 ('{"name": "small"}', "16 16 3", "qcnet.specification names no architecture"),
                                 (json.dumps(spec), "16 16", "qcnet.input is no height, width and channels: '16 16'")):
            safetensors.save(file, {}, {**about, "qcnet.specification": text, "qcnet.input": size})
            self.assertEqual(self.says(base.read, file, dataset), f"script.py: {file}: its metadata {says}")

    def test_of_many_names_the_first_are_said(self):
        path, part = self.root / "file.pt", torch.nn.Sequential(*(torch.nn.Linear(2, 2) for _ in range(5)))
        self.assertEqual(self.says(inputs.fill, path, part, {}), f'script.py: {path}: is of another model: Error(s) in loading state_dict for '
                         'Sequential: Missing key(s) in state_dict: "0.weight", "0.bias", "1.weight" and 7 more.')
        said = self.says(inputs.fill, path, part, {name: torch.zeros(1) for name in part.state_dict()})
        self.assertRegex(said, r"Sequential: size mismatch for 0.weight: .* and 7 such lines more$")

    def test_a_state_dict_may_have_its_name(self):
        for name in ("state_dict", "model"):
            torch.save({name: {"w": torch.ones(2)}, "epoch": 3}, self.root / "file.pth")
            state, known, history = train.read_pretrained(self.root / "file.pth")
            self.assertEqual((state["w"].tolist(), known, history), ([1, 1], {}, []))

    def test_that_are_not_there_or_folders(self):
        self.assertEqual(self.says(inputs.checkpoint, self.root / "no"), f"script.py: {self.root}/no: No such file or directory")
        self.assertEqual(self.says(inputs.read_json, self.root), f"script.py: {self.root}: Is a directory")

    def test_what_is_our_own_mistake_is_not_hidden(self):
        for error in (ValueError("no file"), KeyError("x"), OSError("no file's")):
            with self.assertRaises(type(error)):
                inputs.run(mock.Mock(side_effect=error))


class Datasets(unittest.TestCase):
    def setUp(self):
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def refused(self, says, load, *arguments):
        with self.assertRaisesRegex(inputs.FileError, says):
            load(*arguments)

    def png(self, side=32):
        picture = io.BytesIO()
        Image.new("RGB", (side, side)).save(picture, "png")
        return picture.getvalue()

    def test_folders(self):
        for path in (self.root / split / name / f"{i}.png" for split in ("train", "test") for name in "ab" for i in range(3)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.png())

        def read():
            dataset = data.load("folder", self.root, resize=8, size=8)
            return [list(dataset.batches(split, 1)) for split in ("train", "test")]
        self.assertEqual(list(map(len, read())), [4, 6])
        for content in (b"", self.png()[:60]):
            for path in self.root.glob("train/a/*"):  # whichever is held out
                path.write_bytes(content)
            self.refused(r"^\S*train/a/\d.png: is no picture, or is damaged: [^<\n]*; replace it, or take it away$", read)
        (self.root / "train" / "none").mkdir()
        self.refused("no valid file for the classes none.*\nGive --data", read)

    def test_cifar10(self):
        path, good = self.root / "cifar10-train.zip", self.png()
        for members, says in (({}, "holds no pictures\nGive --data"), ({"cow/0.png": good}, "cow/0.png: is no picture of 32 x 32"),
                              ({"cat/0.png": self.png(16)}, "cat/0.png: is no picture of 32 x 32"),
                              ({"cat/0.png": b"x"}, "cat/0.png: is no picture, or is damaged"), ({"cat/0.png": good}, None)):
            with zipfile.ZipFile(path, "w") as archive:
                for name, content in members.items():
                    archive.writestr(f"train/{name}", content)
            if says:
                self.refused(says, data.load, "cifar10", self.root)
        whole = path.read_bytes()
        for content, says in ((b"", "is no zip, or is damaged"), (b"no zip", "is no zip"), (whole[:-30], "is no zip"),
                              (whole.replace(good[40:50], bytes(10), 1), "0.png: is no picture, or is damaged: Bad CRC")):
            path.write_bytes(content)
            self.refused(f"cifar10-train.zip.*{says}", data.load, "cifar10", self.root)

    def test_fashion_mnist(self):
        def idx(*shape):
            return gzip.compress(bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + bytes(int(np.prod(shape))))
        damaged, pictures = "ubyte.gz: is no idx file, or is damaged", idx(9, 4, 4)
        for images, labels, says in (
                (b"x", b"", damaged), (pictures[:-9], b"", damaged), (gzip.compress(b""), b"", damaged), (pictures, b"x", damaged),
                (pictures, idx(8), "not as many"), (idx(9, 4), idx(9), "not as many")):
            (self.root / "train-images-idx3-ubyte.gz").write_bytes(images)
            (self.root / "train-labels-idx1-ubyte.gz").write_bytes(labels)
            self.refused(says, data.load, "fashion-mnist", self.root)

    def test_16_bits_of_grey_are_their_upper_8(self):
        ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
        Image.fromarray(ramp).save(self.root / "deep.png")
        np.testing.assert_array_equal(np.asarray(pictures.rgb(self.root / "deep.png"))[..., 1], ramp >> 8)

    def test_options_that_a_dataset_does_not_have(self):
        for name, options, says in (("cifar10", {"size": 224, "resize": 256}, "has no --size, --resize"),
                                    ("bccd", {"resize": 256, "size": 416}, "has no --resize;"),
                                    ("folder", {"resize": 100}, "--resize 100 is less than --size 224")):
            with self.assertRaisesRegex(SystemExit, says):
                data.load(name, self.root, **options)

    def test_pictures_with_boxes(self):
        write_voc(self.root / "voc", (2, 1, 1))
        (self.root / "voc" / "ImageSets" / "Main" / "val.txt").write_bytes(b"\xff\xfe")
        self.refused("val.txt: is no text: ", data.load, "detection-folder", self.root / "voc")
        (self.root / "bccd.zip").write_text("no zip")
        for name, given in (("bccd", self.root), ("detection-folder", self.root / "bccd.zip")):
            self.refused("bccd.zip: is no zip, or is damaged", data.load, name, given)


if __name__ == "__main__":
    unittest.main()
