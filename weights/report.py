#!/usr/bin/env python3
"""Gathers the logs of one model (train.py's, and compensate.py's of each cut) into one JSON file.

Adds means and spreads, and prints the results as a Markdown table.
"""

import argparse
from pathlib import Path

from qcnet_train import base, inputs
from qcnet_train.outputs import out_file, write_json
from qcnet_train.summary import better_frozen, check_tested, summarize

ROWS = (("qcnet-mse", "QCNet, model frozen, reconstruction error only"),
        ("qcnet", "QCNet, model frozen, + distillation"),
        ("lloyd-max-finetuned", "Lloyd-Max dequantization + fine-tuned tail"),
        ("qcnet-finetuned", "QCNet + fine-tuned tail"),
        ("autoencoder-mse", "autoencoder, model frozen, reconstruction error only"),
        ("autoencoder", "autoencoder, model frozen, + distillation"),
        ("autoencoder-finetuned", "autoencoder + fine-tuned tail"),
        ("qat", "quantization-aware training of head and tail"),
        ("klt", "principal components, linear dequantization"),
        ("klt-qcnet-mse", "QCNet on principal components, model frozen, reconstruction error only"),
        ("klt-qcnet", "QCNet on principal components, model frozen, + distillation"),
        ("klt-finetuned", "principal components + fine-tuned tail"),
        ("klt-qcnet-finetuned", "QCNet on principal components + fine-tuned tail"),
        *((f"{bits}-bit{tuned}", f"{bits} bits a feature, evenly spaced levels{what}")
          for bits in (2, 4, 8) for tuned, what in (("", ""), ("-finetuned", " + fine-tuned tail"))),
        ("control", "control: float map, fine-tuned tail"))
BASELINES = (("unpartitioned", "unpartitioned, float"), ("uniform", "uniform dequantization"),
             ("lloyd-max", "Lloyd-Max dequantization"))


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="model name, e.g. resnet-cifar10")
    parser.add_argument("--base", required=True, type=Path,
                        help="checkpoint of train.py, a whole model's file, or a node's beside its frozen server's")
    parser.add_argument("--runs", required=True, nargs="+", type=Path, help="folders of compensate.py")
    parser.add_argument("--out", required=True, type=out_file, help="JSON file to write")
    return parser.parse_args()


def recovered(log, summary):
    """Share of the points lost by Lloyd-Max dequantization that the frozen-model QCNet regains (test).

    None if it loses nothing, or if there is none.
    """
    whole, plain = (log["baselines"][name]["test"] for name in ("unpartitioned", "lloyd-max"))
    frozen = better_frozen(log["runs"])
    if whole == plain or frozen is None:
        return None
    return round((summary[frozen]["mean"] - plain) / (whole - plain), 4)


def percent(figures):
    if figures is None:
        return ""
    if isinstance(figures, float):
        return f"{100 * figures:.2f}"
    several = len(figures["seeds"]) > 1
    return f"{100 * figures['mean']:.2f}" + (f" ± {100 * figures['spread']:.2f}" if several else " (1 seed)")


def share(recovered):
    return "none lost" if recovered is None else f"{100 * recovered:.0f} %"


def table(cuts):
    def row(title, cells):
        return f"| {title} | " + " | ".join(cells) + " |"
    logs = list(cuts.values())
    return "\n".join([
        row(f"test {logs[0].get('metric', 'accuracy')}, %", [f"cut after `{cut}`" for cut in cuts]),
        "|---|" + "---|" * len(cuts),
        *(row(title, [percent(log["baselines"][key]["test"]) for log in logs]) for key, title in BASELINES),
        *(row(title, [percent(log["summary"].get(key)) for log in logs]) for key, title in ROWS
          if any(key in log["summary"] for log in logs)),
        row("lost points that the frozen QCNet regains",
            [share(log["recovered"]) if log["shipped_frozen"] else "" for log in logs])])


def main():
    arguments = parse()
    cuts = {}
    for run in arguments.runs:
        log = inputs.read_json(run / "results.json", *inputs.LOG)
        check_tested(run, log)
        if log["cut"] in cuts:
            raise SystemExit(f"{run}: another of --runs is of cut '{log['cut']}' too; give each a report of its own, by --name "
                             "and --out")
        summary = summarize(log["runs"])
        cuts[log["cut"]] = {
            **log, "summary": summary, "summary_validation": summarize(log["runs"], "validation"),
            "shipped_frozen": better_frozen(log["runs"]), "recovered": recovered(log, summary)}
    write_json(arguments.out, {"name": arguments.name, "base": base.log(arguments.base), "cuts": cuts})
    print(table(cuts))


if __name__ == "__main__":
    inputs.run(main)
