#!/usr/bin/env python3
"""The study: every method at every cut of every model family, trained here and measured by the C++ library.

For each cell (family, cut, seed): compensate.py trains, export.py writes the files of a deployment, and the program
`evaluate` runs them over the test set. What it says is kept in --results, one file a cell; cells that have one are not
run again, interrupted ones go on where they were. docs/study.md is made of these files by study_report.py.

  study.sh            all cells, some 38 hours on two cores; --families, --cuts and --seeds choose
  study.sh --quick    a cell of each family: the frozen QCNet after its reconstruction epochs, beside what is on record
  study.sh --times    what each method on record takes here, of networks that are not trained: on a machine without other work
"""

import argparse
import contextlib
import fcntl
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from qcnet_train import inputs, numbers, safetensors
from qcnet_train.data import detection, locate
from qcnet_train.outputs import out_folder, write_json
from qcnet_train.study import FAMILIES, METHODS, OF_COMPONENTS, SEEDS, Cell, percent
from qcnet_train.study_tables import DOCS, Place

WEIGHTS = Path(__file__).resolve().parent
SHIPPED_SEED = 0
# What each mode leaves of the options that choose.
CHOICES = {"quick": {"families"}, "shipped": {"families", "cuts"}, "times": set()}
FEW_PICTURES = ("--limit", 256)
UNTRAINED = (*FEW_PICTURES, "--calibration", 256, "--reconstruction-epochs", 0, "--distillation-epochs", 0, "--epochs", 0)
TIMED_PICTURES, TIMED_ROUNDS = 500, 2
# dataset -> names of its pictures, what to do if there are none, further options of `evaluate`
TEST_SETS = {"cifar10": (("cifar10-test.zip", "test"), "Give --data a folder with cifar10-train.zip and cifar10-test.zip, or "
                         "train/<class>/*.jpg and test/<class>/*.jpg, as unpack_cifar10.py makes it.", ()),
             "bccd": (("bccd.zip", "BCCD"), detection.BCCD_ADVICE, ("--split", "test"))}


def path(text):
    """As the user meant it: study.sh goes elsewhere, and so do the scripts that are run."""
    return (Path(os.environ.get("STUDY_FROM", ".")) / text).resolve()


def to_folder(text):
    return out_folder(path(text))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one row of each family, within 20 minutes on two cores")
    parser.add_argument("--shipped", action="store_true", help="measure the shipped files, train nothing")
    parser.add_argument("--times", action="store_true", help="write docs/study-times.json, some 20 minutes")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=list(FAMILIES))
    parser.add_argument("--cuts", nargs="+", help="only these")
    parser.add_argument("--seeds", nargs="+", type=numbers.seed, default=SEEDS)
    parser.add_argument("--rates", nargs="+", type=numbers.positive, default=(1,), metavar="BITS",
                        help="a feature; with others than 1 the klt methods of the cuts that have them (1)")
    parser.add_argument("--patches", nargs="+", type=numbers.count, metavar="P", help="only cells of patches of P x P pixels, 1 for none")
    parser.add_argument("--methods", nargs="+", default=METHODS + OF_COMPONENTS, choices=METHODS + OF_COMPONENTS,
                        metavar="METHOD", help=f"only these of {' '.join(METHODS + OF_COMPONENTS)}")
    parser.add_argument("--evaluate", type=path, required=True, help="the built program")
    parser.add_argument("--data", type=path, help="folder of the archives of CIFAR-10 and BCCD ($QCNET_DATA, then ../shared/data)")
    parser.add_argument("--work", type=to_folder, default=WEIGHTS / "runs" / "study", help="folder for what is trained")
    parser.add_argument("--results", type=to_folder, default=WEIGHTS.parent / "docs" / "study", help="folder of the records")
    parser.add_argument("--threads", type=numbers.count, default=os.cpu_count(), help="of training")
    arguments = parser.parse_args()
    for mode, kept in CHOICES.items():
        for name in ("families", "cuts", "seeds", "rates", "patches", "methods") if getattr(arguments, mode) else ():
            if name not in kept and getattr(arguments, name) != parser.get_default(name):
                parser.error(f"--{mode} has no --{name}")
    if arguments.data and not arguments.data.is_dir():
        parser.error(f"argument --data: {arguments.data} is no folder")
    if not (arguments.evaluate.is_file() and os.access(arguments.evaluate, os.X_OK)):
        parser.error(f"argument --evaluate: {arguments.evaluate} is no program; study.sh builds it")
    return arguments


def run(command):
    """Runs a command; it is printed first, as a user would type it."""
    print("$ " + shlex.join(map(str, command)), flush=True)
    if subprocess.run([str(word) for word in command], cwd=WEIGHTS, check=False, close_fds=False).returncode:
        raise SystemExit(f"study.py: {command[1] if command[0] == sys.executable else command[0]} failed, see above; "
                         "the same command goes on from here")


def test_set(dataset, work):
    """The folder and options that name the test set's pictures to `evaluate`: found, or unpacked from their archive."""
    names, advice, options = TEST_SETS[dataset]
    found = locate.find(None, names, advice)
    if found.suffix == ".zip":
        folder = work / found.stem
        if not folder.exists():
            with locate.archive(found) as archive, tempfile.TemporaryDirectory(dir=work) as own:
                archive.extractall(Path(own, found.stem))
                try:
                    Path(own, found.stem).rename(folder)
                except OSError:
                    if not folder.exists():  # else another process was first
                        raise
        found = folder / "test" if dataset == "cifar10" else folder
    return [found, *options]


def train(cell, methods, arguments, more=()):
    """Trains what is not trained yet, and what that goes on from, with `more` options; the folder of the results."""
    out = arguments.work / cell.name
    run([sys.executable, "compensate.py", *cell.options(), *more, "--base", cell.base(WEIGHTS), "--seeds", cell.seed,
         "--methods", *methods, "--threads", arguments.threads, "--out", out, "--resume"])
    return out


def export(cell, methods, trained, arguments, more=()):
    """Writes each method's files, with `more` options; {node's file: its servers'}."""
    out = arguments.work / "files" / cell.name
    if out.exists():
        shutil.rmtree(out)
    run([sys.executable, "export.py", *cell.family.dataset.split(), *more, "--base", cell.base(WEIGHTS), "--run", trained,
         "--name", cell.family.name, "--seed", cell.seed, "--methods", *methods, "--threads", arguments.threads,
         "--out", out])
    return pairs(out)


def pairs(folder, start=""):
    """{node's file: its servers'} of a folder. A server belongs to the node whose name its own begins with, the longest."""
    nodes = {node: [] for node in sorted(folder.glob(f"{start}*.node.safetensors"))}
    for server in sorted(folder.glob(f"{start}*.server.safetensors")):
        stems = {str(node).removesuffix(".node.safetensors"): node for node in nodes}
        nodes[stems[max((stem for stem in stems if str(server).startswith(stem)), key=len)]].append(server)
    return nodes


def measure(cell, files, arguments, more=()):
    """What `evaluate` says of these files, with `more` options: bytes of each node's frames, and its rows."""
    measured = []
    for node, servers in files.items():
        answer = arguments.work / f"{cell.name}.json"
        run([arguments.evaluate, *test_set(cell.family.data, arguments.work), node, *servers,
             "--threads", 1, "--json", answer, *more])
        measured.append(inputs.read_json(answer))
    return measured


def trained_figures(log, seed):
    """PyTorch's own figures in a log of compensate.py, what made them, and how long that took."""
    return {run["method"]: {"validation": run["validation"], "test": run["test"],
                            "seconds": round(sum(epoch["seconds"] for epoch in run["history"])),
                            **({"versions": run["versions"]} if "versions" in run else {})}
            for run in log["runs"] if run["seed"] == seed}


class Record:
    """What is known of a cell; kept in a file."""

    def __init__(self, cell, folder):
        self.path = folder / f"{cell.name}.json"
        self.content = {"family": cell.family.name, "cut": cell.cut, "seed": cell.seed, "options": shlex.join(cell.options()),
                        "trained": {}, "measured": []}
        self.read()
        if self.content["options"] != shlex.join(cell.options()):
            raise SystemExit(f"{self.path}: was trained with other options, {self.content['options']}; move it away, and the "
                             f"folder {cell.name} of --work")

    def read(self):
        """Takes what is in the file, if there is one."""
        if self.path.exists():
            self.content = inputs.read_json(self.path, *self.content)

    def rows(self):
        return {row["method"]: row for part in self.content["measured"] for row in part["rows"]}

    def lacks(self, method):
        """The control has no files to measure: its figure is PyTorch's."""
        return method not in (self.content["trained"] if method == "control" else self.rows())

    def add(self, trained, measured):
        """Adds to what is in the file by now. Figures of what was measured before stay: they are of the same models."""
        self.read()
        rows = self.rows()
        for method, figures in trained.items():
            if method not in self.content["trained"] or (method != "control" and method.removesuffix("-mse") not in rows):
                self.content["trained"][method] = figures
        self.content["measured"] += measured
        write_json(self.path, self.content)
        print(f"study.py: wrote {self.path}", flush=True)


@contextlib.contextmanager
def alone(cell, arguments):
    """Keeps other processes from the cell's folders and its record."""
    arguments.work.mkdir(parents=True, exist_ok=True)
    with open(arguments.work / f"{cell.name}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"study.py: another process works on {cell.name}; let it end, or choose other --cuts or --seeds"
                             ) from None
        os.set_inheritable(lock.fileno(), True)  # what is run holds it too, should this process end before
        yield


def run_cell(cell, methods, arguments):
    """Trains and measures those methods that are not on record."""
    with alone(cell, arguments):
        run_alone(cell, methods, arguments)


def run_alone(cell, methods, arguments):
    record = Record(cell, arguments.results)
    asked = [method for method in cell.methods if method in methods]
    missing = [method for method in asked if record.lacks(method)]
    if not missing:
        print(f"study.py: {cell.name} " + ("is on record" if asked else f"has no {', '.join(methods)}"), flush=True)
        return
    trained = train(cell, missing, arguments)
    deployed = [method for method in missing if method != "control"]
    files = export(cell, deployed, trained, arguments) if deployed else {}
    record.add(trained_figures(inputs.read_json(trained / "results.json"), cell.seed), measure(cell, files, arguments))


def shipped(family):
    """[(cell, {node's file: its servers'})] of what is shipped of a family."""
    found = {}
    for node, servers in pairs(WEIGHTS / "shipped", f"{family.name}-").items():
        about, of_map = (safetensors.load(path)[1] for path in (node, servers[0]))
        if about["qcnet.name"] != family.name:  # the same with a binary head
            continue
        sent = sum(map(int, about.get("qcnet.planes", "0").split()))
        rate = sent / int(of_map["qcnet.feature"].split()[-1]) or 1
        cell = Cell(family, about["qcnet.cut"], SHIPPED_SEED, rate, int(about.get("qcnet.patch", 1)))
        found.setdefault(cell.name, (cell, {}))[1][node] = servers
    return list(found.values())


def run_shipped(family, arguments):
    """Measures what is shipped of a family and is not on record."""
    logged = inputs.read_json(WEIGHTS / "logs" / f"{family.name}.json")["cuts"]
    for cell, files in shipped(family):
        if arguments.cuts and cell.cut not in arguments.cuts:
            continue
        with alone(cell, arguments):
            record = Record(cell, arguments.results)
            if not record.rows():
                trained = trained_figures(logged[cell.cut], cell.seed) if cell.cut in logged else {}
                record.add(trained, measure(cell, files, arguments))


def quick(cells, arguments):
    """A QCNet of each family after its reconstruction epochs, measured beside the record's plain dequantization."""
    lines = []
    for cell in cells:
        record = Record(cell, arguments.results)
        with alone(cell, arguments):
            files = export(cell, ["qcnet"], train(cell, ["qcnet-mse"], arguments), arguments)
            rows = {row["method"]: percent(row) for part in measure(cell, files, arguments) for row in part["rows"]}
        known = {method: percent(row) for method, row in record.rows().items()}
        if of_log := record.content["trained"].get("qcnet-mse"):
            known["qcnet"] = 100 * of_log["test"]
        lines += [f"{cell.name:<56} {title:<24} {rows[method]:6.2f} %, on record {known.get(method, float('nan')):6.2f} %"
                  for method, title in (("unpartitioned", "unpartitioned"), ("lloyd-max", "Lloyd-Max dequantization"),
                                        ("qcnet", "QCNet, reconstruction"))]
    print("\n".join(lines))


def processor():
    """This machine's, as it calls itself."""
    about = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)", about.read_text(), re.M) if about.exists() else None
    return found[1] if found else platform.machine()


def times(arguments):
    """Measures what nodes and servers of the methods on record take, first making files of all, then one after the other."""
    arguments.work = arguments.work / "times"
    arguments.work.mkdir(parents=True, exist_ok=True)
    made = []
    for path in sorted(arguments.results.glob(f"*-seed{SHIPPED_SEED}.json")):
        place = Place.of(inputs.read_json(path, "family", "cut", "options"))
        cell = Cell(FAMILIES[place.family], place.cut, SHIPPED_SEED, place.rate, place.patch)
        methods = [method for method in cell.methods if method in Record(cell, arguments.results).rows()]
        with alone(cell, arguments):
            made.append((cell, export(cell, methods, train(cell, methods, arguments, UNTRAINED), arguments, FEW_PICTURES)))
    cells = [{"family": cell.family.name, "cut": cell.cut, "options": shlex.join(cell.options()), "rows": []} for cell, _ in made]
    for _ in range(TIMED_ROUNDS):
        for content, (cell, files) in zip(cells, made):
            for node, server in ((node, server) for node, servers in files.items() for server in servers):  # of several caches are cold
                for part in measure(cell, {node: [server]}, arguments, ("--limit", TIMED_PICTURES)):
                    content["rows"] += [{key: row[key] for key in ("method", "node_ms", "server_ms")} for row in part["rows"]]
    write_json(DOCS / "study-times.json", {"processor": processor(), "threads": 1, "cells": cells})
    print(f"study.py: wrote {DOCS / 'study-times.json'}")


def main():
    arguments = parse()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if data := arguments.data or os.environ.get("QCNET_DATA"):
        os.environ["QCNET_DATA"] = str(path(data))
    families = [FAMILIES[name] for name in arguments.families]
    known = {cell.cut for family in families for cell in family.cells(SHIPPED_SEED)}
    if unknown := set(arguments.cuts or ()) - known:
        raise SystemExit(f"study.py: no cut {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    for family in families:
        test_set(family.data, arguments.work)  # now, not after hours of training
    if arguments.quick:
        arguments.work = arguments.work / "quick"
        quick([Cell(family, family.quick, 0) for family in families], arguments)
        return
    if arguments.shipped:
        for family in families:
            run_shipped(family, arguments)
        return
    if arguments.times:
        times(arguments)
        return
    cells = [cell for seed in arguments.seeds for rate in arguments.rates for family in families
             for cell in family.cells(seed, rate)
             if cell.cut in (arguments.cuts or known) and cell.patch in (arguments.patches or (cell.patch,))]
    if not cells:
        raise SystemExit("study.py: no cell is all of that; see docs/study.md for the cuts, and their patches and rates")
    for cell in cells:
        run_cell(cell, arguments.methods, arguments)


if __name__ == "__main__":
    inputs.run(main)
