"""Checks of what detection adds to the training side; selftest.py runs them."""

import itertools
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps

from qcnet_train import data
from qcnet_train.data.deferred import Deferred, made
from qcnet_train.data.detection import DetectionDataset, zoomed
from qcnet_train.detection.anchors import k_means
from qcnet_train.detection.average_precision import OVERLAPS, RECALLS, Evaluation, iou, mean
from qcnet_train.detection.head import detect, flatten, heads
from qcnet_train.detection.letterbox import Letterbox
from qcnet_train.detection.loss import assign, detection_distillation, detection_loss
from qcnet_train.inputs import FileError
from qcnet_train.tasks import Detection

COLOURS = {"blue": (40, 60, 230), "red": (230, 60, 40)}
ANCHORS, MASKS = (4, 4, 8, 8, 12, 16, 24, 16, 24, 32, 48, 48), (3, 4, 5, 0, 1, 2)
SIZE = (64, 96)


def draw_picture(generator, count=3, size=(90, 70)):
    """Coloured rectangles that do not touch, on dark noise: (picture, [(colour's name, x0, y0, x1, y1)])."""
    pixels = Image.fromarray(generator.integers(0, 60, (*size[::-1], 3), dtype=np.uint8))
    pen, cells, rows = ImageDraw.Draw(pixels), generator.permutation(6)[:count], []
    for cell in cells:
        x, y = 30 * (cell % 3) + generator.integers(1, 6), 35 * (cell // 3) + generator.integers(1, 6)
        w, h = generator.integers(12, 24, 2)
        name = ("blue", "red")[generator.integers(2)]
        pen.rectangle((x, y, x + w - 1, y + h - 1), COLOURS[name])
        rows.append((name, *map(int, (x, y, x + w, y + h))))
    return pixels, rows


def write_voc(root, counts, seed=0):
    """Random pictures with VOC XML, so many for train, val and test; returns {name: rows}."""
    generator, known = np.random.default_rng(seed), {}
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for split, count in zip(("train", "val", "test"), counts):
        names = [f"{split}{i:02}" for i in range(count)]
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            picture, known[name] = draw_picture(generator)
            picture.save(root / "JPEGImages" / f"{name}.png")
            things = "".join(f"<object><name>{label}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax>"
                             f"<ymax>{y1}</ymax></bndbox></object>" for label, x0, y0, x1, y1 in known[name])
            (root / "Annotations" / f"{name}.xml").write_text(f"<annotation>{things}</annotation>")
    return known


def voc_as_yolo(root, target, known):
    """The same pictures in YOLO's layout."""
    target.mkdir()
    (target / "classes.txt").write_text("blue\nred\n")
    for name, rows in known.items():
        split = name[:-2]
        for folder in ("images", "labels"):
            (target / folder / split).mkdir(parents=True, exist_ok=True)
        picture = Image.open(root / "JPEGImages" / f"{name}.png")
        picture.save(target / "images" / split / f"{name}.png")
        w, h = picture.size
        (target / "labels" / split / f"{name}.txt").write_text("".join(
            f"{sorted(COLOURS).index(label)} {(x0 + x1) / 2 / w} {(y0 + y1) / 2 / h} {(x1 - x0) / w} {(y1 - y0) / h}\n"
            for label, x0, y0, x1, y1 in rows))


class LetterboxTest(unittest.TestCase):
    def test_is_pil_pad(self):
        generator = np.random.default_rng(1)
        for _ in range(100):
            w, h = map(int, generator.integers(1, 200, 2))
            rows, columns = map(int, generator.integers(20, 120, 2))
            if max(w / h / columns, h / w / rows) > 1:  # PIL refuses sides that would become zero
                continue
            picture = Image.fromarray(generator.integers(0, 256, (h, w, 3), dtype=np.uint8))
            padded = ImageOps.pad(picture, (columns, rows), Image.BILINEAR, color=(128, 128, 128))
            np.testing.assert_array_equal(Letterbox(w, h, (rows, columns)).draw(picture), np.asarray(padded))

    def test_boxes_there_and_back(self):
        for w, h in ((640, 480), (33, 71), (1, 5000), (5000, 1), (64, 64)):
            letterbox = Letterbox(w, h, SIZE)
            boxes = np.array([[0, 0, w, h], [w / 4, h / 3, w / 2, h]])
            placed = letterbox.place(boxes)
            np.testing.assert_allclose(letterbox.back(placed), boxes, atol=1e-9)
            np.testing.assert_allclose(placed[0, 2:] - placed[0, :2], [letterbox.width, letterbox.height])
            np.testing.assert_allclose(letterbox.back(placed + [-1e6, -1e6, 1e6, 1e6]), [[0, 0, w, h]] * 2)


class Boxes(unittest.TestCase):
    """Datasets of pictures with boxes."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name) / "voc"
        self.known = write_voc(self.root, (5, 2, 2))

    def load(self, root=None):
        return data.load("detection-folder", root or self.root, size=64, flips=("horizontal", "vertical"))

    def test_voc_and_yolo_say_the_same(self):
        voc_as_yolo(self.root, self.root.parent / "yolo", self.known)
        one, other = self.load(), self.load(self.root.parent / "yolo")
        self.assertEqual((one.classes, other.classes), (("blue", "red"),) * 2)
        for split, count in (("train", 5), ("validation", 2), ("test", 2)):
            self.assertEqual((one.count(split), other.count(split)), (count, count))
            for ours, theirs in zip(one.truths(split), other.truths(split)):
                np.testing.assert_allclose(ours, theirs, atol=1e-4)
            for ours, theirs in zip(one.batches(split, 2), other.batches(split, 2)):
                torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0)
        rows = [(one.classes[int(row[0])], *row[1:]) for row in one.truths("train")[0]]
        self.assertEqual(rows, self.known["train00"])

    def test_boxes_without_area_go_and_others_end_at_the_border(self):
        path = self.root / "Annotations" / "test00.xml"
        text = path.read_text().split("<bndbox>", 1)[0] + \
            "<bndbox><xmin>50</xmin><ymin>-3</ymin><xmax>1e3</xmax><ymax>20</ymax></bndbox></object>"
        text += text[len("<annotation>"):].replace("1e3", "50")
        path.write_text(text + "</annotation>")
        np.testing.assert_array_equal(self.load().truths("test")[0][:, 1:], [[50, 0, 90, 20]])

    def test_names_may_have_spaces(self):
        for folder, suffix in (("JPEGImages", "png"), ("Annotations", "xml")):
            (self.root / folder / f"test00.{suffix}").rename(self.root / folder / f"a test.{suffix}")
        (self.root / "ImageSets" / "Main" / "test.txt").write_text(" a test \n\n")
        self.assertEqual(self.load().count("test"), 1)

    def test_what_is_wrong_is_said(self):
        voc_as_yolo(self.root, self.root.parent / "yolo", self.known)
        labels = self.root.parent / "yolo" / "labels" / "val" / "val00.txt"
        for line in ("2 .5 .5 .1 .1", "0 .5 .5 .1", "red .5 .5 .1 .1", "0 nan .5 .1 .1", "0.5 .5 .5 .1 .1",
                     "0 .5 .5 1.1 .1"):
            labels.write_text("0 .5 .5 .1 .1\n" + line)
            with self.assertRaisesRegex(SystemExit, "val00.txt, line 2"):
                self.load(self.root.parent / "yolo")
        backwards = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>4</xmax><ymax>9</ymax></bndbox>"
        for text in ("<annotation><object></object></annotation>", "<annotation>", "",
                     f"<annotation><object><name>red</name>{backwards}</object></annotation>",
                     f"<annotation><object>{backwards.replace('4', '7')}</object></annotation>"):
            (self.root / "Annotations" / "train01.xml").write_text(text)
            with self.assertRaisesRegex(SystemExit, "train01.xml"):
                self.load()
        (self.root.parent / "yolo" / "labels" / "val").rename(self.root.parent / "yolo" / "labels" / "valid")
        with self.assertRaisesRegex(SystemExit, "no picture of the validation split has a box"):
            self.load(self.root.parent / "yolo")
        write_voc(self.root.parent / "other", (2, 1, 0))
        with self.assertRaisesRegex(SystemExit, "no pictures in the test split"):
            self.load(self.root.parent / "other")
        (self.root.parent / "other" / "JPEGImages" / "train01.png").write_bytes(b"no picture")
        with self.assertRaisesRegex(FileError, "train01.png"):
            self.load(self.root.parent / "other")
        with self.assertRaisesRegex(SystemExit, "no pictures with boxes"):
            self.load(self.root.parent)

    def test_epochs_can_be_repeated(self):
        def epoch(seed, number, **rest):
            return [(images, truths) for images, truths, _ in
                    self.load().batches("train", 2, augment=True, seed=seed, epoch=number, **rest)]
        first, again, later, other = epoch(3, 1), epoch(3, 1), epoch(3, 2), epoch(4, 1)
        torch.testing.assert_close(first, again, rtol=0, atol=0)
        self.assertEqual([tuple(images.shape) for images, _ in first], [(2, 3, 64, 64)] * 2)
        for changed in (later, other):
            self.assertFalse(torch.equal(first[0][0], changed[0][0]))
        ranks = [epoch(3, 1, rank=r, world=2) for r in (0, 1)]
        self.assertEqual([[len(images) for images, _ in rank] for rank in ranks], [[1, 1], [1, 1]])

    def test_images_that_were_made_before_are_made_when_needed(self):
        def epoch(dataset, count=None, deferred=True):
            batches = dataset.batches("train", 1, augment=True, seed=3, epoch=1, deferred=deferred)
            return [(images, truths) for images, truths, _ in itertools.islice(batches, count)]
        expected, dataset = epoch(self.load()), self.load()
        torch.testing.assert_close(epoch(dataset, deferred=False), expected, rtol=0, atol=0)
        self.assertEqual(dataset.known, {})  # nothing of what is made once
        for count, deferred in ((2, 0), (5, 2), (None, 5)):
            found = epoch(dataset, count)
            self.assertEqual([isinstance(images, Deferred) for images, _ in found],
                             [i < deferred for i in range(len(found))])
            torch.testing.assert_close([(made(images), truths) for images, truths in found], expected[:count], rtol=0, atol=0)
        with mock.patch.object(dataset, "augmented", side_effect=AssertionError):
            epoch(dataset)

    def test_truths_follow_the_augmented_picture(self):
        generator, seen = torch.Generator().manual_seed(5), 0
        dataset = self.load()
        for i in list(range(5)) * 8:
            pixels, truths = dataset.augmented("train", i, generator)
            self.assertTrue((truths[:, 1:] >= 0).all() and (truths[:, 1:] <= 64).all())
            for row in truths:
                strong, weak = (2, 0) if dataset.classes[int(row[0])] == "blue" else (0, 2)
                x0, y0, x1, y1 = row[1:].round().astype(int)
                inner = pixels[y0 + 2:y1 - 2, x0 + 2:x1 - 2].astype(int)
                if inner.size:
                    self.assertTrue((inner[..., strong] > inner[..., weak] + 20).all())
                    seen += 1
                for line in (pixels[y0:y1, max(x0 - 3, 0):max(x0 - 2, 0)], pixels[min(y1 + 2, 64):y1 + 3, x0:x1]):
                    self.assertFalse((line[..., strong].astype(int) > line[..., weak].astype(int) + 70).any())
        self.assertGreater(seen, 60)

    def test_extreme_pictures(self):
        generator = torch.Generator().manual_seed(0)
        for size in ((1, 1), (3000, 1), (1, 3000), (2, 7)):
            picture, truths = Image.new("RGB", size, (9, 99, 200)), np.array([[0.0, 0, 0, *size]])
            for _ in range(20):
                pixels, rows = zoomed(picture, truths, (32, 64), generator)
                self.assertEqual(pixels.shape, (32, 64, 3))
                self.assertTrue(np.isfinite(rows).all())


class Anchors(unittest.TestCase):
    def test_finds_the_shapes_there_are(self):
        generator = np.random.default_rng(2)
        centres = np.array([(9, 12), (40, 20), (60, 90)])
        shapes = np.concatenate([generator.normal(c, 0.5, (n, 2)) for c, n in zip(centres, (50, 400, 20))])
        found = k_means(shapes, 3)
        self.assertLessEqual(np.abs(found - centres).max(), 1)
        np.testing.assert_array_equal(found, k_means(shapes, 3))
        with self.assertRaisesRegex(SystemExit, "at least 6"):
            k_means(shapes[:5], 6)


def truths_of(*pictures):
    """Rows of each picture -> [N, M, 5], filled with class -1."""
    stacked = torch.full((len(pictures), max(map(len, pictures)), 5), -1.0)
    for rows, known in zip(stacked, pictures):
        rows[:len(known)] = torch.tensor(known).view(-1, 5)
    return stacked


def fresh_maps(n=2, classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, 3 * (5 + classes), h, w, generator=generator) for h, w in ((2, 3), (4, 6)))


class HeadAndLoss(unittest.TestCase):
    def setUp(self):
        self.heads = heads(ANCHORS, MASKS)
        self.truths = truths_of([(0, 10.0, 8, 19, 17), (1, 40, 20, 90, 60), (1, 3, 44, 9, 51), (0, 0, 33, 24, 64)], [])

    def test_boxes_by_hand(self):
        maps = fresh_maps()
        rows, boxes = flatten(maps, self.heads, SIZE)
        self.assertEqual(tuple(rows.shape), (2, 3 * (6 + 24), 7))
        # The second map, anchor 1 of its three (8 x 8), cell x = 4, y = 2, of stride 16.
        raw = maps[1][1, 7:14, 2, 4]
        at = 3 * 6 + (1 * 4 + 2) * 6 + 4
        torch.testing.assert_close(rows[1, at], raw)
        centre = (raw[:2].sigmoid() + torch.tensor([4, 2])) * 16
        torch.testing.assert_close(boxes[1, at], torch.cat([centre - 4 * raw[2:4].exp(), centre + 4 * raw[2:4].exp()]))

    def test_assignment(self):
        image, candidate, row = assign(self.truths, [(2, 3), (4, 6)], self.heads, SIZE)
        # 9 x 9 and 6 x 7 are most like the anchor 8 x 8, 50 x 40 like 48 x 48, 24 x 31 like 24 x 32, but like
        # 24 x 16 enough to count too.
        self.assertEqual(image.tolist(), [0] * len(image))
        found = {(int(r), int(c)) for r, c in zip(row, candidate)}
        first, second = (lambda a, y, x: (a * 2 + y) * 3 + x), (lambda a, y, x: 18 + (a * 4 + y) * 6 + x)
        self.assertEqual(found, {(0, second(1, 0, 0)), (1, first(2, 1, 2)), (2, second(1, 2, 0)),
                                 (3, first(1, 1, 0)), (3, first(0, 1, 0))})

    def test_what_overlaps_a_truth_is_not_called_empty(self):
        maps = fresh_maps()
        maps[0][0, 14:18, 1, 1] = torch.tensor([6.0, -1, 0, -0.18])  # beside the cell of 50 x 40, but with its box
        for raw in maps:
            raw.requires_grad_()
        detection_loss(maps, self.truths, self.heads, SIZE).backward()
        slopes = maps[0].grad[0, 4::7]
        self.assertEqual([tuple(at) for at in (slopes == 0).nonzero().tolist()], [(2, 1, 1)])

    def test_descent_finds_the_truths(self):
        """Raw maps as free parameters: what the loss drives them to is what detect() reads from them."""
        maps = fresh_maps()
        for raw in maps:
            raw[:, 4::7] -= 6
            raw.requires_grad_()
        optimizer = torch.optim.Adam(maps, 0.3)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.98)
        for _ in range(150):
            optimizer.zero_grad()
            value = detection_loss(maps, self.truths, self.heads, SIZE)
            value.backward()
            optimizer.step()
            schedule.step()
        self.assertLess(float(value), 0.2)
        found = detect([raw.detach() for raw in maps], self.heads, [Letterbox(*SIZE[::-1], SIZE)] * 2, score=0.5)
        known = self.truths[0].numpy()
        self.assertEqual((len(found[0]), len(found[1])), (4, 0))
        nearest = iou(known[:, 1:], found[0][:, 2:]).argmax(1)
        np.testing.assert_allclose(found[0][nearest][:, 2:], known[:, 1:], atol=0.5)
        np.testing.assert_array_equal(found[0][nearest][:, 0], known[:, 0])

    def test_nothing_and_extremes_are_finite(self):
        for truths in (truths_of([], []), self.truths):
            for scale in (1, 1e4):
                maps = [(raw * scale).requires_grad_() for raw in fresh_maps()]
                teacher = [raw * scale for raw in fresh_maps(seed=1)]
                value = detection_loss(maps, truths, self.heads, SIZE) + \
                    detection_distillation(maps, teacher, self.heads, SIZE)
                value.backward()
                for raw in maps:
                    self.assertTrue(torch.isfinite(raw.grad).all() and torch.isfinite(value))
                for rows in detect([raw.detach() for raw in maps], self.heads, [Letterbox(50, 40, SIZE)] * 2):
                    self.assertTrue(np.isfinite(rows).all())
                    self.assertTrue((rows[:, 2:] >= 0).all() and (rows[:, 2:] <= [50, 40, 50, 40]).all())

    def test_distillation_is_least_at_the_teacher(self):
        teacher = fresh_maps()
        maps = [raw.clone().requires_grad_() for raw in teacher]
        value = detection_distillation(maps, teacher, self.heads, SIZE)
        value.backward()
        self.assertAlmostEqual(float(value), 0, places=5)
        self.assertLess(max(float(raw.grad.abs().max()) for raw in maps), 1e-4)
        for field in range(7):
            moved = [raw.detach().clone() for raw in maps]
            moved[1][:, field::7] += 0.3
            self.assertGreater(float(detection_distillation(moved, teacher, self.heads, SIZE)), 1e-3)

    def test_suppression_is_by_class(self):
        maps = [torch.full((1, 21, h, w), -20.0) for h, w in ((2, 3), (4, 6))]
        for map, y, x, anchor, objectness, classes in ((0, 1, 1, 2, 3, (3, -20)), (0, 1, 1, 1, 2, (3, 3)),
                                                       (1, 0, 5, 2, 1, (-20, 3))):
            maps[map][0, 7 * anchor:7 * anchor + 7, y, x] = torch.tensor([0.0, 0, 0, 0, objectness, *classes])
        maps[0][0, 7:14, 1, 1] += torch.tensor([0, 0, 0.6, 0.3, 0, 0, 0])  # 24 x 32 grows to overlap 48 x 48 by 0.63
        rows = detect(maps, self.heads, [Letterbox(*SIZE[::-1], SIZE)])[0]
        self.assertEqual(rows[:, 0].tolist(), [0, 1, 1])
        self.assertEqual(rows[:, 1].tolist(), sorted(rows[:, 1], reverse=True))
        np.testing.assert_allclose(rows[0, 2:], [24, 24, 72, 64])  # 48 x 48 around (48, 48), cut off below


CASES = ((10, 3, 6), (1, 1, 60), (20, 4, 1), (3, 2, 12))  # pictures, classes, most truths; 60 give above 100 detections


def definition(detections, truths, label, least):
    """Average precision of a class straight from COCO's words."""
    verdicts, total = [], 0
    for found, true in zip(detections, truths):
        free = [row[1:] for row in true if row[0] == label]
        total += len(free)
        for row in sorted((r for r in found if r[0] == label), key=lambda r: -r[1])[:100]:
            overlaps = [iou(row[None, 2:], box[None])[0, 0] for box in free]
            best = max(range(len(free)), key=lambda i: (overlaps[i], i), default=None)
            right = best is not None and overlaps[best] >= least
            if right:
                del free[best]
            verdicts.append((row[1], right))
    if not total:
        return np.nan
    right = np.cumsum([v for _, v in sorted(verdicts, key=lambda v: -v[0])])
    precision = right / np.arange(1, len(right) + 1)
    return np.mean([precision[right / total >= r].max(initial=0) for r in RECALLS])


def random_answers(seed, pictures, classes, most):
    """Detections [D, 6] and truths [M, 5] of each picture, some found twice, some false; many equal scores."""
    generator = np.random.default_rng(seed)
    detections, truths = [], []
    for _ in range(pictures):
        corner = generator.uniform(0, 80, (generator.integers(most + 1), 2))
        true = np.concatenate([generator.integers(classes, size=(len(corner), 1)), corner,
                               corner + generator.uniform(4, 40, corner.shape)], 1)
        chosen = true[generator.integers(max(1, len(true)), size=2 * len(true))]
        chosen[:, 1:] += generator.normal(0, 2, chosen[:, 1:].shape)
        score = generator.integers(1, 33, (len(chosen), 1)) / 32
        detections.append(np.concatenate([chosen[:, :1], score, chosen[:, 1:]], 1))
        truths.append(true)
    return detections, truths


class AveragePrecision(unittest.TestCase):
    def test_by_hand(self):
        truth = np.array([[0.0, 0, 0, 10, 10], [0, 20, 0, 30, 10]])
        right, wrong, loose = [0, 0.9, 0, 0, 10, 10], [0, 0.8, 50, 50, 60, 60], [0, 0.7, 20, 0, 30, 7]
        for rows, expected in (([right], 51 / 101), ([right, wrong], 51 / 101), ([right, loose], 1.0),
                               ([right, wrong, loose], (51 + 50 * 2 / 3) / 101), ([right, right], 51 / 101),
                               ([wrong], 0.0), ([], 0.0)):
            detections = [np.array(rows, np.float64).reshape(-1, 6)]
            found = Evaluation(detections, [truth], ("one", "two")).precisions()
            self.assertAlmostEqual(found[0, 0], expected)
            self.assertTrue(np.isnan(found[:, 1]).all())
            self.assertAlmostEqual(mean(found[:1]), expected)
        exact = Evaluation([np.array([right, loose])], [truth], ("one",)).precisions()[:, 0]
        np.testing.assert_allclose(exact, [1.0] * 5 + [51 / 101] * 5)  # an IoU of 0.7 is enough for 0.7
        many = np.array([[0, 0.9, 50, 50, 60, 60]] * 100 + [[0, 0.8, 0, 0, 10, 10]])
        for first, expected in ((0, 0.0), (1, 51 / 101 / 100)):  # what comes after a hundred does not count
            self.assertAlmostEqual(Evaluation([many[first:]], [truth], ("one",)).precisions()[0, 0], expected)
        truth = np.array([[0.0, 0, 0, 10, 8], [0, 4, 0, 14, 8]])  # the first overlaps both equally and takes the later
        rows = np.array([[0, 0.5, 2, 0, 12, 8], [0, 0.3, 0, 0, 10, 8]])
        self.assertAlmostEqual(Evaluation([rows], [truth], ("one",)).precisions()[0, 0], 1.0)
        nothing = Evaluation([np.zeros((0, 6))], [np.zeros((0, 5))], ("one",))
        self.assertEqual(mean(nothing.precisions()), 0.0)

    def test_is_the_definition(self):
        for seed, (pictures, classes, most) in enumerate(CASES):
            detections, truths = random_answers(seed, pictures, classes, most)
            found = Evaluation(detections, truths, range(classes)).precisions()
            expected = [[definition(detections, truths, c, least) for c in range(classes)] for least in OVERLAPS]
            np.testing.assert_allclose(found, expected, atol=1e-12)

    def test_chosen_pictures_and_interval(self):
        detections, truths = random_answers(7, 20, 2, 6)
        evaluation = Evaluation(detections, truths, range(2))
        chosen = [3, 3, 0, 11]
        np.testing.assert_allclose(evaluation.precisions(chosen), Evaluation(
            [detections[i] for i in chosen], [truths[i] for i in chosen], range(2)).precisions())
        low, high = evaluation.interval(resamples=200)
        self.assertLess(low, mean(evaluation.precisions()[:1]))
        self.assertGreater(high, mean(evaluation.precisions()[:1]))
        self.assertLess(high - low, 0.5)

    def test_is_pycocotools(self):
        try:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
        except ImportError:
            self.skipTest("pycocotools is not installed")
        compare_with_pycocotools(self, COCO, COCOeval)


def compare_with_pycocotools(test, COCO, COCOeval):
    for seed, (pictures, classes, most) in enumerate(CASES):
        detections, truths = random_answers(seed, pictures, classes, most)

        def record(image, label, box, **rest):
            x0, y0, x1, y1 = map(float, box)
            return {"image_id": image + 1, "category_id": int(label) + 1, "bbox": [x0, y0, x1 - x0, y1 - y0], **rest}
        true = COCO()
        true.dataset = {
            "info": {}, "images": [{"id": i + 1} for i in range(pictures)],
            "categories": [{"id": c + 1} for c in range(classes)],
            "annotations": [record(i, row[0], row[1:], area=float((row[3:] - row[1:3]).prod()), iscrowd=0)
                            for i, rows in enumerate(truths) for row in rows]}
        for number, annotation in enumerate(true.dataset["annotations"], 1):
            annotation["id"] = number
        true.createIndex()
        found = true.loadRes([record(i, row[0], row[2:], score=float(row[1]))
                              for i, rows in enumerate(detections) for row in rows])
        evaluation = COCOeval(true, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        theirs = evaluation.eval["precision"][..., 0, 2].mean(1)  # [overlaps, classes]; -1 without truths
        ours = Evaluation(detections, truths, range(classes)).precisions()
        np.testing.assert_allclose(np.nan_to_num(ours, nan=-1), theirs, atol=1e-9)


class DetectionTask(unittest.TestCase):
    def test_suggests_anchors_of_the_training_split(self):
        with tempfile.TemporaryDirectory() as scratch:
            write_voc(Path(scratch) / "voc", (6, 1, 1))
            dataset = data.load("detection-folder", Path(scratch) / "voc", size=64)
        self.assertIsInstance(dataset, DetectionDataset)
        suggested = Detection.suggested(dataset)
        self.assertEqual((len(suggested["anchors"]), sorted(suggested["masks"])), (12, list(range(6))))
        self.assertTrue(all(8 <= side <= 20 for side in suggested["anchors"]))  # 12 to 24 pixels, times 64 / 90
