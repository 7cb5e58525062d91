"""Checks of the study's records and of what it finds in a folder, part of selftest.py."""

import contextlib
import io
import json
import subprocess
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import study
try:
    import study_report
except SystemExit:  # matplotlib is for the report alone
    study_report = None
from qcnet_train import study_tables
from qcnet_train.study import FAMILIES, Cell, percent


class Study(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.cell = Cell(FAMILIES["resnet-cifar10"], "layer1", 0)

    def test_a_server_belongs_to_the_node_with_the_longest_name_in_common(self):
        for name in ("m-layer1.node", "m-layer1-qcnet.server", "m-layer1.qat.node", "m-layer1.qat.server", "m-layer2.node"):
            (self.folder / f"{name}.safetensors").touch()
        found = {node.name: [server.name for server in servers]
                 for node, servers in study.pairs(self.folder, "m-layer1").items()}
        self.assertEqual(found, {"m-layer1.node.safetensors": ["m-layer1-qcnet.server.safetensors"],
                                 "m-layer1.qat.node.safetensors": ["m-layer1.qat.server.safetensors"]})

    def test_a_record_says_what_is_missing_and_keeps_what_was_there(self):
        record = study.Record(self.cell, self.folder)
        self.assertTrue(record.lacks("qcnet") and record.lacks("control"))
        record.add({"control": {"test": 0.5}}, [{"rows": [{"method": "qcnet", "accuracy": 80.0}]}])
        record.add({"qat": {"test": 0.6}}, [{"rows": [{"method": "qat", "accuracy": 60.0}]}])
        again = study.Record(self.cell, self.folder)
        self.assertFalse(any(again.lacks(method) for method in ("control", "qcnet", "qat")))
        self.assertTrue(again.lacks("autoencoder"))
        self.assertEqual(percent(again.rows()["qcnet"]), 80.0)
        self.assertEqual(percent({"mAP@0.5": 70.0}), 70.0)

    def test_a_record_keeps_what_another_process_added_and_what_was_measured(self):
        record, other = study.Record(self.cell, self.folder), study.Record(self.cell, self.folder)
        other.add({"qcnet": {"test": 0.5}}, [{"rows": [{"method": "qcnet"}]}])
        record.add({"qcnet": {"test": 0.6}, "qat": {"test": 0.7}}, [{"rows": [{"method": "qat"}]}])
        again = study.Record(self.cell, self.folder)
        self.assertEqual(list(again.rows()), ["qcnet", "qat"])
        self.assertEqual(again.content["trained"], {"qcnet": {"test": 0.5}, "qat": {"test": 0.7}})

    def test_a_figure_without_a_row_is_of_no_model_that_was_measured(self):
        record = study.Record(self.cell, self.folder)
        record.add({"qat": {"test": 0.03}, "control": {"test": 0.5}}, [])  # training that came to nothing, no files
        record.add({"qat": {"test": 0.6}, "control": {"test": 0.4}}, [{"rows": [{"method": "qat"}]}])
        record.add({"qat": {"test": 0.7}}, [])
        self.assertEqual(record.content["trained"], {"qat": {"test": 0.6}, "control": {"test": 0.5}})

    def test_differences_are_of_the_same_seeds(self):
        rows, others = ([{"method": "qat", "seed": seed, "percent": percent} for seed, percent in side]
                        for side in (((0, 80.0), (1, 90.0)), ((0, 79.0), (2, 60.0))))
        self.assertEqual(study_tables.difference(rows, others), "+1.00\u00b9")
        self.assertEqual(study_tables.difference(rows, others[1:]) + study_tables.difference(None, others), "")
        untrained = [{"method": "4-bit", "seed": 0, "percent": 84.0}]  # would be the same with each seed
        self.assertEqual(study_tables.difference(rows, untrained), "+1.00\u00b2")

    def test_a_cell_says_how_many_seeds_it_has_if_not_three(self):
        rows = [{"method": "qcnet", "percent": 80.0 + seed} for seed in range(3)]
        self.assertEqual([study_tables.cell(rows[:count]) for count in range(4)],
                         ["", "80.00\u00b9", "80.50 \u00b1 0.71\u00b2", "81.00 \u00b1 1.00"])
        self.assertEqual(study_tables.cell([{"method": "lloyd-max", "percent": 80.0}]), "80.00")

    def test_what_takes_no_more_bytes_at_another_cut_is_another_way(self):
        def row(method, percent, sent):
            return [{"method": method, "seed": 0, "percent": percent, "bytes": sent}]
        early, late = (study_tables.Place("resnet-cifar10", cut, 1, 1) for cut in ("layer1", "layer2"))
        found = {early: {"lloyd-max": row("lloyd-max", 70.0, 200), "qat": row("qat", 80.0, 200), "2-bit": row("2-bit", 85.0, 400)},
                 late: {"lloyd-max": row("lloyd-max", 71.0, 100), "qat": row("qat", 79.0, 100), "2-bit": row("2-bit", 81.0, 200),
                        "4-bit": row("4-bit", 84.0, 400)}}
        self.assertEqual(list(study_tables.other_ways(found, early)), ["QAT", "QAT, `layer2`", "2 bits, `layer2`"])
        self.assertEqual(study_tables.best(study_tables.other_ways(found, early)), "2 bits, `layer2`")
        self.assertEqual(list(study_tables.other_ways(found, late)), ["QAT"])

    def test_two_processes_do_not_work_on_one_cell(self):
        arguments = mock.Mock(work=self.folder)
        with study.alone(self.cell, arguments):
            with study.alone(Cell(FAMILIES["resnet-cifar10"], "layer2", 0), arguments):
                pass
            with self.assertRaisesRegex(SystemExit, "another process works on resnet-cifar10-layer1-seed0"):
                with study.alone(self.cell, arguments):
                    self.fail("it was not kept out")
            left = subprocess.Popen(["sleep", "60"], close_fds=False)  # what run() started, should the study be killed
        with self.assertRaises(SystemExit), study.alone(self.cell, arguments):
            self.fail("training goes on")
        left.kill()
        left.wait()
        with study.alone(self.cell, arguments):
            pass

    def test_options_that_a_mode_leaves_out_are_refused(self):
        for options, says in ((["--quick", "--cuts", "layer1"], "--quick has no --cuts"),
                              (["--shipped", "--seeds", "0"], "--shipped has no --seeds"),
                              (["--data", str(self.folder / "none")], "none is no folder"),
                              ([], f"argument --evaluate: {study.path('evaluate')} is no program")):
            said = io.StringIO()
            with mock.patch("sys.argv", ["study.py", "--evaluate", "evaluate", *options]), \
                    contextlib.redirect_stderr(said), self.assertRaises(SystemExit):
                study.parse()
            self.assertIn(says, said.getvalue())

    def test_a_test_set_is_unpacked_by_several_at_once(self):
        with zipfile.ZipFile(self.folder / "cifar10-test.zip", "w") as archive:
            archive.writestr("test/cat/0000.jpg", "a picture")
        extract, work = zipfile.ZipFile.extractall, self.folder / "work"
        work.mkdir()

        def extract_beside_another(archive, path):
            extract(archive, path)
            with mock.patch("zipfile.ZipFile.extractall", extract):
                study.test_set("cifar10", work)  # another is first
        with mock.patch.dict("os.environ", QCNET_DATA=str(self.folder)), \
                mock.patch("zipfile.ZipFile.extractall", extract_beside_another):
            for _ in range(2):
                found, = study.test_set("cifar10", work)
                self.assertEqual((found / "cat/0000.jpg").read_text(), "a picture")
        self.assertEqual([path.name for path in work.iterdir()], ["cifar10-test"])

    def two_seeds(self):
        """What is gathered of two records, each measured twice."""
        for seed, accuracy, milliseconds in ((0, 80.0, 9.0), (1, 82.0, 3.0)):
            def part(accuracy):
                row = {"method": "unpartitioned", "from_bits": False, "accuracy": accuracy, "ms": milliseconds}
                return {"bytes": {"frame": 1, "float32": 32, "file": 900}, "rows": [row]}
            (self.folder / f"{seed}.json").write_text(json.dumps({
                "family": "resnet-cifar10", "cut": "layer1", "seed": seed, "options": "--cut layer1", "trained": {},
                "measured": [part(accuracy), part(accuracy + 9)]}))
        return study_tables.gather(self.folder)

    def test_a_report_counts_a_seed_once(self):
        (methods,) = self.two_seeds().values()
        self.assertEqual(study_tables.cell(methods["unpartitioned"]), "81.00 ± 1.41")

    @unittest.skipUnless(study_report, "needs matplotlib")
    def test_a_plot_takes_times_of_one_machine(self):
        times, drawn = self.folder / "times", []
        times.write_text(json.dumps({"processor": "one", "cells": [
            {"family": "resnet-cifar10", "cut": "layer1", "options": "", "rows": [
                {"method": "unpartitioned", "node_ms": node, "server_ms": 1.0} for node in (9.0, 4.0)]}]}))
        with mock.patch("matplotlib.axes.Axes.scatter", lambda axes, x, y, **style: drawn.append((x, y))):
            study_report.plot(self.folder / "plot.svg", study_tables.timed(self.two_seeds(), times), lambda row: row["node_ms"], "ms")
        self.assertEqual(drawn, [(4.0, 81.0)])

    def test_bold_is_what_is_clearly_ahead_of_each_other_way_by_the_seeds_of_both(self):
        def rows(*percents):
            return [{"method": "qat", "seed": seed, "percent": percent} for seed, percent in enumerate(percents)]
        place = study_tables.Place("vit-cifar10", "a", 1, 1)
        for components, bold in ((rows(81.0, 99.0), False), (rows(81.4, 60.0), True), ([], False)):
            others = {"QAT": rows(81.0), "dequantization": rows(80.0)}
            methods = {"qcnet-finetuned": rows(80.5), "klt-qcnet-finetuned": components}
            self.assertEqual("**" in study_tables.tuned_on_components(methods, others, place, place), bold, components)

    def test_tables_leave_out_what_is_not_on_record(self):
        study, readme = study_tables.pages(self.two_seeds()).values()
        self.assertIn("| unpartitioned, float | 81.00 ± 1.41 |", study["resnet-cifar10"])
        for table in (*readme.values(), study["components"], study["margins"], study["errors"]):
            self.assertEqual(len(table.splitlines()), 2, table)  # its head

    def test_pages_hold_the_tables_of_what_is_on_record(self):
        for page, tables in study_tables.pages(study_tables.gather(study_tables.DOCS / "study")).items():
            self.assertEqual(study_tables.filled(page, tables), page.read_text(), page)

    def test_other_rates_are_cells_of_their_own(self):
        vit = FAMILIES["vit-cifar10"]
        half, = (cell for cell in vit.cells(0, 0.5) if cell.cut == vit.quick)
        self.assertEqual((half.name, half.methods[0]), (f"vit-cifar10-{vit.quick}-rate0.5-seed0", "klt"))
        self.assertNotIn("qcnet", half.methods)
        self.assertEqual(half.options(), [*Cell(vit, vit.quick, 0).options(), "--rate", "0.5"])

    def test_patches_are_cells_of_their_own(self):
        resnet, convnext = FAMILIES["resnet-cifar10"], FAMILIES["convnext-cifar10"]
        self.assertEqual([cell.name for cell in resnet.cells(0, 0.5)], [
            f"resnet-cifar10-{cut}.0.add-patch2-rate0.5-seed0" for cut in ("layer2", "layer3")])
        whole = resnet.cells(1)
        self.assertEqual([cell.cut for cell in whole], [*resnet.cuts, "layer2.0.add", "layer3.0.add"])
        self.assertEqual(whole[-1].options()[-4:], ["--width", "128", "--patch", "2"])
        self.assertEqual(whole[-1].methods, (*Cell(resnet, "layer3.0.add", 0, 0.5, 2).methods, "control"))
        names = [cell.name for cell in convnext.cells(0)]
        self.assertEqual((len(names), len(set(names))), (4, 4))  # features.2 and .4 are not there twice
        self.assertIn("klt", convnext.cells(0)[0].methods)

    def test_what_is_shipped_belongs_to_cells(self):
        found = {cell.name: sorted(path.name for servers in files.values() for path in servers)
                 for family in FAMILIES.values() for cell, files in study.shipped(family)}
        self.assertEqual(sum(map(len, found.values())), len(list((study.WEIGHTS / "shipped").glob(
            "*.server.safetensors"))) - len(list((study.WEIGHTS / "shipped").glob("*-fashion-*.server.*"))) - len(
                list((study.WEIGHTS / "shipped").glob("*-binary-*.server.*"))))
        self.assertEqual(found["resnet-cifar10-layer2.0.add-patch2-rate0.5-seed0"],
                         ["resnet-cifar10-layer2.0.add.klt-qcnet.server.safetensors"])
        self.assertIn("convnext-cifar10-features.2.klt.server.safetensors", found["convnext-cifar10-features.2-seed0"])
        self.assertIn("convnext-cifar10-features.2-qcnet.server.safetensors", found["convnext-cifar10-features.2-seed0"])

    def test_what_was_trained_is_told_seed_by_seed(self):
        runs = [{"method": "qcnet", "seed": seed, "validation": 0.1, "test": seed, "versions": {"torch": "1"},
                 "history": [{"seconds": 1.4}, {"seconds": 2}]}
                for seed in (0, 1)]
        self.assertEqual(study.trained_figures({"runs": runs}, 1),
                         {"qcnet": {"validation": 0.1, "test": 1, "versions": {"torch": "1"}, "seconds": 3}})

    def test_every_family_has_a_base_its_cuts_and_records_of_them(self):
        for family in FAMILIES.values():
            self.assertIn(family.quick, family.cuts)
            self.assertTrue(all(cut in family.cuts for cut, patch in family.components if patch == 1))
            self.assertTrue(Cell(family, family.quick, 0).base(study.WEIGHTS).exists())
            record = json.loads((study.WEIGHTS.parent / "docs/study" / f"{family.name}-{family.quick}-seed0.json").read_text())
            self.assertEqual(record["options"], " ".join(Cell(family, family.quick, 0).options()))


if __name__ == "__main__":
    unittest.main()
