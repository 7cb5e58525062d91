#!/usr/bin/env python3
"""Accuracy against packet loss: collects what `evaluate --packet-loss` wrote, prints Markdown tables, draws a plot.

Usage: packets.py --out packets.json --plot packets.svg [TITLE=]FILE...
Each FILE is a --json of evaluate; TITLE tells another QCNet of the same cut apart ("trained with loss=run.json"). What --out
holds of other cuts stays; tables and plot are made of all.
"""
import argparse
import json
from pathlib import Path

TITLES = {"lloyd-max": "Lloyd-Max dequantization", "qcnet": "QCNet, model frozen",
          "lloyd-max-finetuned": "Lloyd-Max dequantization, tuned tail", "qcnet-finetuned": "QCNet, tuned tail",
          "klt": "principal components, model frozen", "klt-qcnet": "QCNet on components, model frozen"}
OTHERS = ("qcnet", "klt-qcnet")  # of which there may be another one


def collect(named_files):
    """{"model cut": {"pictures", "packets", "packet_bytes", "unpartitioned", "accuracy": {row: {loss: percent}}}}"""
    cuts = {}
    for named in named_files:
        title, _, path = named.rpartition("=")
        found = json.loads(Path(path).read_text())
        cut = cuts.setdefault(f"{found['model']} {found['cut']}", {"pictures": found["pictures"], "accuracy": {}})
        cut.update({key: found[key] for key in ("packets", "packet_bytes") if key in found})
        for row in found["rows"]:
            if row["method"] == "unpartitioned":
                cut["unpartitioned"] = row["accuracy"]
            elif row["method"] in TITLES and not (title and row["method"] not in OTHERS):
                name = TITLES[row["method"]] + (f", {title}" if title else "")
                cut["accuracy"].setdefault(name, {})[str(found.get("loss", 0))] = row["accuracy"]
    return cuts


def losses(row):
    return sorted(row, key=float)


def table(name, cut):
    columns = losses(next(iter(cut["accuracy"].values())))
    print(f"\n| {name}, {cut['packets']} packets | " + " | ".join(f"{100 * float(c):.0f} %" for c in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for title, row in cut["accuracy"].items():
        print(f"| {title} | " + " | ".join(f"{row[c]:.2f}" if c in row else "" for c in columns) + " |")


def plot(cuts, path):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    matplotlib.rcParams.update({"svg.hashsalt": "qcnet", "font.size": 9})
    figure, panels = plt.subplots(1, len(cuts), figsize=(4.4 * len(cuts), 3.6), sharey=True, squeeze=False)
    colors = {title: f"C{i}" for i, title in enumerate(dict.fromkeys(t for c in cuts.values() for t in c["accuracy"]))}
    for panel, (name, cut) in zip(panels[0], cuts.items()):
        panel.axhline(cut["unpartitioned"], color="gray", linewidth=0.8, linestyle=":")
        for title, row in cut["accuracy"].items():
            panel.plot([100 * float(x) for x in losses(row)], [row[x] for x in losses(row)], marker="o", markersize=3,
                       color=colors[title], label=title)
        panel.set(title=f"{name}, {cut['packets']} packets", xlabel="packets lost, %", ylim=(0, 100))
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("accuracy, %")
    lines = {line.get_label(): line for panel in panels[0] for line in panel.get_lines() if line.get_label() in colors}
    panels[0][-1].legend(lines.values(), lines.keys(), fontsize=7, loc="lower left")  # the last one's corner is empty
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="[TITLE=]FILE")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    known = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    cuts = {**known, **collect(arguments.files)}
    arguments.out.write_text(json.dumps(cuts, indent=1) + "\n")
    for name, cut in cuts.items():
        table(name, cut)
    if arguments.plot:
        plot(cuts, arguments.plot)


if __name__ == "__main__":
    main()
