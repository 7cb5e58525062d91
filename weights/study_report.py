#!/usr/bin/env python3
"""Writes the tables and plots of docs/study.md and README.md from the records of study.py, between the marks that stand there."""

import argparse
from pathlib import Path

try:
    import matplotlib
except ImportError:
    raise SystemExit("study_report.py: there is no matplotlib, which draws; apt install python3-matplotlib") from None

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "qcnet"  # the same figures give the same file
import matplotlib.pyplot as plt  # noqa: E402: the backend comes first

from qcnet_train import inputs
from qcnet_train.outputs import write_text, written
from qcnet_train.study import FAMILIES
from qcnet_train.study_tables import DOCS, TITLES, filled, gather, mean, pages, timed

# Of 1.2 Mbit/s, as BLE 2M has it (docs/planner.md).
SECONDS_PER_BYTE = 8 / 1.2e6


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=DOCS / "study", help="folder of the records")
    parser.add_argument("--page", type=Path, default=DOCS / "study.md", help="to write to; with the default README.md, too")
    return parser.parse_args()


def style(method):
    """Marker and colour of a method in all plots."""
    if method.startswith("klt"):
        return {"marker": "P" if "qcnet" in method else "D", "color": "tab:cyan" if method.endswith("finetuned") else "teal"}
    if method.startswith("qcnet"):
        return {"marker": "*", "s": 90, "color": "tab:green" if method == "qcnet-finetuned" else "tab:olive"}
    if method.startswith("autoencoder"):
        return {"marker": "^", "color": "tab:purple" if method.endswith("finetuned") else "plum"}
    colours = {"unpartitioned": "black", "lloyd-max": "tab:orange", "lloyd-max-finetuned": "tab:red", "qat": "tab:brown"}
    return {"marker": "o" if method in colours else "s", "color": colours.get(method, "tab:blue")}


def plot(path, found, x, label, whole=None, hidden=("uniform", "control")):
    """Of each family the metric against x(row), which seeds share, a mark for each method and cut; of the picture as a file, `whole`(row)."""
    families = [family for family in FAMILIES if any(place.family == family for place in found)]
    figure, all_axes = plt.subplots(1, len(families), figsize=(3.4 * len(families), 3.9), squeeze=False)
    for axes, family in zip(all_axes[0], families):
        for methods in (methods for place, methods in found.items() if place.family == family):
            for method, rows in methods.items():
                if method not in hidden:
                    axes.scatter(x(rows[0]), mean(rows, "percent"), label=TITLES[method].strip("*"),
                                 zorder=2, **style(method))
                if whole and method == "unpartitioned":
                    axes.scatter(whole(rows[0]), mean(rows, "percent"), label="the picture's JPEG file",
                                 marker="x", color="black")
        axes.set(title=family, xlabel=label, xscale="log")
        axes.grid(alpha=0.3)
    all_axes[0][0].set_ylabel("accuracy or mAP@0.5, %")
    named = {}
    for axes in all_axes[0]:
        named.update({name: mark for mark, name in zip(*axes.get_legend_handles_labels())})
    figure.legend(named.values(), named.keys(), loc="lower center", ncol=4, frameon=False, fontsize="small")
    figure.tight_layout(rect=(0, 0.2, 1, 1))
    with written(path) as partial:
        figure.savefig(partial, format="svg", metadata={"Date": None})
    print(f"study_report.py: wrote {path}")


def main():
    arguments = parse()
    found = gather(arguments.results)
    if not found:
        raise SystemExit(f"{arguments.results}: holds no records; study.sh makes them")
    for path, text in [(path, filled(path, tables)) for path, tables in pages(found, arguments.page).items()]:
        write_text(path, text)
        print(f"study_report.py: wrote {path}")
    plot(arguments.page.with_name("study-bytes.svg"), found, lambda row: row["bytes"], "bytes a picture", lambda row: row["file"])
    plot(arguments.page.with_name("study-latency.svg"), timed(found, DOCS / "study-times.json"),
         lambda row: row["node_ms"] + row["server_ms"] + 1000 * SECONDS_PER_BYTE * row["bytes"],
         "node + link (1.2 Mbit/s) + server, ms")


if __name__ == "__main__":
    inputs.run(main)
