#!/usr/bin/env python3
"""Plots what `plan --json FILE` wrote: where the time of each way goes, and what it buys."""
import argparse
import json

try:
    import matplotlib
except ImportError:
    raise SystemExit("plan.py: there is no matplotlib, which draws; apt install python3-matplotlib") from None

matplotlib.use("agg")  # no display; the name of --output says the format
import matplotlib.pyplot as plt  # noqa: E402: the backend comes first


def label(way):
    return f"{way['sends']}, {way['method']}" if way["method"] else way["sends"]


def total(way):
    return way["node_ms"] + way["send_ms"] + way["server_ms"]


def plot_times(axes, ways):
    """A bar for each way, from the picture on the left to the answer on the right."""
    start = [0] * len(ways)
    for part in "node", "send", "server":
        lengths = [way[f"{part}_ms"] for way in ways]
        axes.barh(range(len(ways)), lengths, left=start, label=part)
        start = [a + b for a, b in zip(start, lengths)]
    axes.set_yticks(range(len(ways)), [label(way) for way in ways])
    axes.invert_yaxis()
    axes.set_xlabel("ms")
    axes.legend()


def plot_choice(axes, plan):
    """Accuracy over time, or bytes where no accuracy is known; ways that others outdo are pale and nameless."""
    known = any(way["accuracy"] is not None for way in plan["ways"])
    height = "accuracy" if known else "bytes"
    for way in plan["ways"]:
        if way[height] is None:
            continue
        axes.plot(total(way), way[height], "o", color="C0", alpha=1 if way["pareto"] else 0.3)
        if way["pareto"]:
            axes.annotate(label(way), (total(way), way[height]), xytext=(0, 6), textcoords="offset points",
                          ha="center", fontsize="small")
    way = None if plan["best"] is None else plan["ways"][plan["best"]]
    if way and way[height] is not None:
        axes.plot(total(way), way[height], "o", color="C3", fillstyle="none", markersize=12, label=f"best {plan['goal']}")
        axes.legend(loc="lower right")
    axes.set_xscale("log")
    axes.margins(0.2)  # for the names
    axes.set_xlabel("ms from picture to answer")
    axes.set_ylabel(f"{plan['metric']}, %" if known else "bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plan", type=argparse.FileType(), help="the file that `plan --json` wrote")
    parser.add_argument("-o", "--output", default="plan.svg", help="SVG, PNG or PDF (default plan.svg)")
    arguments = parser.parse_args()
    try:
        plan = json.load(arguments.plan)
        if not plan["ways"]:
            raise ValueError("no ways in it")
        figure, (times, choice) = plt.subplots(1, 2, figsize=(14, 2 + 0.28 * len(plan["ways"])))
        plot_times(times, plan["ways"])
        plot_choice(choice, plan)
        figure.suptitle(f"{plan['model'] or 'the model'} over {plan['link']['name']}")
    except (ValueError, TypeError, KeyError) as wrong:
        parser.error(f"{arguments.plan.name}: is not what `plan --json FILE` writes ({wrong})")
    figure.tight_layout()
    try:
        figure.savefig(arguments.output)
    except (OSError, ValueError) as wrong:
        parser.error(f"{arguments.output}: cannot be written ({wrong})")


if __name__ == "__main__":
    main()
