#!/usr/bin/env python3
"""Compares the library with ONNX Runtime and PyTorch, side by side: models, operations, and its own targets.

Every engine is a process of its own that waits, asleep, until it is asked for one run; each round asks all of them in
turn, so that what disturbs the machine disturbs all alike. Medians over the rounds, on the same cores. What concerns
the library alone (bits, QCNet, split models) comes from qcnet_bench, interleaved likewise. Leaves results.json,
performance.md and performance.svg in --out. `run.sh` builds and fetches what this needs.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import workloads

HERE = Path(__file__).resolve().parent


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="folder of bench/qcnet_engine and qcnet_bench")
    parser.add_argument("--avx2", type=Path, help="qcnet_engine built for AVX2")
    parser.add_argument("--node-modules", type=Path, help="where onnxruntime-node is")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", help="these models and operations alone")
    return parser.parse_args()


class Engine:
    """A process that makes one run for each line it is sent, and answers with milliseconds."""

    def __init__(self, command, threads, **environment):
        cores = sorted(os.sched_getaffinity(0))[-threads:]
        settings = {"OMP_NUM_THREADS": str(threads), **environment}
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**os.environ, **settings},
                                        preexec_fn=lambda: os.sched_setaffinity(0, cores))
        self.times = []
        word, *about = (self.process.stdout.readline() or "nothing").split(maxsplit=2)
        if word != "ready":
            raise SystemExit(f"{' '.join(map(str, command))} did not start")
        self.peak, self.about = map(json.loads, about)

    def run(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def measure(self):
        self.times.append(self.run())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def engines(arguments, name, threads):
    """name -> Engine for one workload."""
    folder = arguments.out
    onnx = workloads.export(name, folder)
    model = name in workloads.MODELS
    shape, repeats = workloads.input_of(name)
    ours = ["model", onnx.with_suffix(".safetensors"), workloads.MODELS[name]] if model else [name, repeats]
    started = {"qcnet": Engine([arguments.build / "bench/qcnet_engine", *ours], threads)}
    if arguments.avx2:
        started["qcnet, AVX2"] = Engine([arguments.avx2, *ours], threads)
    if arguments.node_modules:
        started["ONNX Runtime"] = Engine(["node", HERE / "onnxruntime.js", onnx, repeats, threads, *shape], threads,
                                         NODE_PATH=str(arguments.node_modules))
    started["PyTorch"] = Engine([sys.executable, HERE / "pytorch.py", name, threads], threads)
    return started


def compare(arguments, name, threads):
    """Medians in milliseconds of each engine, and of ours the share of the FMA peak."""
    started = engines(arguments, name, threads)
    for _ in range(3):
        for engine in started.values():
            engine.run()
    for _ in range(arguments.rounds):
        for engine in started.values():
            time.sleep(0.1)  # whoever still waits busily for more work, as OpenBLAS does for 30 ms, is asleep then
            engine.run()     # whoever is about to be measured is awake, with both threads
            engine.measure()
    medians = {engine: statistics.median(process.times) for engine, process in started.items()}
    ours, narrow = started["qcnet"], started.get("qcnet, AVX2")
    result = {"workload": name, "threads": threads, "ms": {k: round(v, 4) for k, v in medians.items()},
              "spread": {k: round(max(p.times) / min(p.times), 3) for k, p in started.items()}}
    if ours.about:
        rate = 2e-6 * ours.about / medians["qcnet"]
        result.update(gflops=round(rate, 1), peak=round(ours.peak * threads, 1),
                      share=round(rate / (ours.peak * threads), 3))
        if narrow:
            result["avx2_peak"] = round(narrow.peak * threads, 1)
    for engine in started.values():
        engine.close()
    print(json.dumps(result), flush=True)
    return result


def profile(arguments, name):
    """Where a model's time goes, in one thread: layers that are alike together, the longest first."""
    weights = arguments.out / f"{name}.safetensors"
    engine = Engine([arguments.build / "bench/qcnet_engine", "layers", weights, workloads.MODELS[name]], 1)
    times = [engine.run() for _ in range(3 + arguments.rounds)][3:]
    engine.close()
    groups = {}
    for layer, ms in zip(engine.about, map(statistics.median, zip(*times))):
        group = groups.setdefault(label(layer), {"count": 0, "ms": 0, "multiply_adds": 0})
        for key, value in (("count", 1), ("ms", ms), ("multiply_adds", layer["multiply_adds"])):
            group[key] += value
    total = sum(group["ms"] for group in groups.values())
    rows = [{"layer": layer, "count": group["count"], "ms": round(group["ms"], 3),
             "time": round(group["ms"] / total, 3), "gflops": round(2e-6 * group["multiply_adds"] / group["ms"], 1),
             "share": round(2e-6 * group["multiply_adds"] / group["ms"] / engine.peak, 3)}
            for layer, group in groups.items()]
    return sorted(rows, key=lambda row: -row["ms"])


def label(layer):
    """Such as "conv2d 3x3, 56x56x64 -> 56x56x64"."""
    first, output = layer["inputs"][0], layer["output"]
    kernel = ""
    if "conv2d" in layer["kind"]:
        channels = 1 if layer["kind"].startswith("depthwise") else first[-1]
        side = round(math.sqrt(layer["multiply_adds"] / (math.prod(output) * channels)))
        kernel = f" {side}x{side},"
    shapes = ["x".join(map(str, shape[1:])) for shape in (first, output)]
    return f"{layer['kind']}{kernel} {shapes[0]} -> {shapes[1]}" + (", pooled" if layer["pooled"] else "")


OWN = "^(lookup_conv|binarize|expand|read_limit|write_limit)/|^(head|head_to_bits|tail|qcnet_and_tail)/[123]"


def own_benchmarks(arguments):
    """name -> {median of the time in ms, counters}, of qcnet_bench on one core."""
    path = arguments.out / "qcnet_bench.json"
    core = str(sorted(os.sched_getaffinity(0))[-1])
    subprocess.run(["taskset", "-c", core, arguments.build / "bench/qcnet_bench", f"--benchmark_filter={OWN}",
                    "--benchmark_min_time=0.1", f"--benchmark_repetitions={arguments.rounds}",
                    "--benchmark_enable_random_interleaving=true", "--benchmark_report_aggregates_only=true",
                    f"--benchmark_out={path}", "--benchmark_out_format=json"],
                   check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    unit = {"ns": 1e-6, "us": 1e-3, "ms": 1}
    return {entry["run_name"]: {"ms": entry["real_time"] * unit[entry["time_unit"]],
                                **{k: v for k, v in entry.items() if k in ("GB/s", "GFLOP/s", "%peak")}}
            for entry in json.loads(path.read_text())["benchmarks"] if entry["aggregate_name"] == "median"}


def ratio(result, over):
    return result["ms"]["qcnet"] / result["ms"][over] if over in result["ms"] else None


def targets(results, own):
    """Rows of the speed targets that could be measured: what, its bound, the figure, and whether it is met."""
    def found(name, threads=1):
        return next((r for r in results if (r["workload"], r["threads"]) == (name, threads)), None)
    rows = []

    def row(what, bound, value, below=True):
        if value is not None:
            rows.append({"what": what, "target": f"{'at most' if below else 'at least'} {bound:g}",
                         "measured": round(value, 3), "met": value <= bound if below else value >= bound})
    for name, bound in (("resnet50", 0.77), ("yolov3_tiny", 0.62), ("vit_b_16", 0.90), ("convnext_tiny", 0.85)):
        if found(name):
            row(f"{name}: time over ONNX Runtime's", bound, ratio(found(name), "ONNX Runtime"))
    for name in ("depthwise7x7-96-56", "layer-norm-768", "gelu-3072", "attention-768"):
        if found(name):
            for engine in ("ONNX Runtime", "PyTorch"):
                row(f"{name}: time over {engine}'s", 1, ratio(found(name), engine))
    for name in workloads.MODELS:
        if found(name):
            avx2 = ratio(found(name), "qcnet, AVX2")
            row(f"{name}: AVX2's speed over that of the best instruction set", 0.9, avx2, below=False)
            if avx2:
                peaks = found(name)["avx2_peak"] / found(name)["peak"]
                row(f"{name}: the same, each as a share of its own FMA peak", 0.9, avx2 / peaks, below=False)
        if found(name) and found(name, 2):
            row(f"{name}: speed of two threads over one", 1.85,
                found(name)["ms"]["qcnet"] / found(name, 2)["ms"]["qcnet"], below=False)
    for name, figures in own.items():
        if name.startswith("lookup_conv"):
            row(f"{name}: speed over the FMA peak", 2.2, figures["%peak"] / 100, below=False)
    read, write = (next((f["GB/s"] for name, f in own.items() if name.startswith(f"{kind}_limit/512")), None)
                   for kind in ("read", "write"))
    for kind, limit, verb in (("binarize", read, "reading"), ("expand", write, "writing")):
        for name, figures in own.items():
            if name.startswith(kind + "/") and limit and is_in_l2(name):
                row(f"{name}: GB/s over plain {verb}", 0.7, figures["GB/s"] / limit, below=False)
    for i, cut in ((1, "layer1"), (2, "layer2"), (3, "layer3")):
        if f"head/{i}" in own:
            row(f"ResNet50, {cut}: time of head to bits over that of the float head", 1.02,
                own[f"head_to_bits/{i}"]["ms"] / own[f"head/{i}"]["ms"])
            row(f"ResNet50, {cut}: time of QCNet and tail over that of the tail", 1.10,
                own[f"qcnet_and_tail/{i}"]["ms"] / own[f"tail/{i}"]["ms"])
    return rows


def is_in_l2(name):
    """Whether the map of a benchmark named kind/pixels/channels, of floats, takes at most 512 KiB."""
    pixels, channels = map(int, name.split("/")[1:3])
    return 4 * pixels * channels <= 1 << 19


def markdown(results, rows, profiles):
    engine_names = list(dict.fromkeys(engine for r in results for engine in r["ms"]))
    lines = ["| workload | threads | " + " | ".join(f"{e}, ms" for e in engine_names) + " | GFLOP/s | % of FMA peak |",
             "|" + "---|" * (len(engine_names) + 4)]
    for r in results:
        times = " | ".join(f"{r['ms'][e]:.3g}" if e in r["ms"] else "" for e in engine_names)
        rate = f"{r['gflops']:.0f} | {100 * r['share']:.0f}" if "gflops" in r else " | "
        lines.append(f"| {r['workload']} | {r['threads']} | {times} | {rate} |")
    lines += ["", "| target | bound | measured | |", "|---|---|---|---|"]
    lines += [f"| {r['what']} | {r['target']} | {r['measured']:.3f} | {'met' if r['met'] else 'missed'} |"
              for r in rows]
    for name, layers in profiles.items():
        lines += ["", f"| {name}, layers of at least 2 % of the time | | ms | % of time | % of FMA peak |",
                  "|---|---|---|---|---|"]
        lines += [f"| {r['layer']} | {r['count']} | {r['ms']:.2f} | {100 * r['time']:.0f} | {100 * r['share']:.0f} |"
                  for r in layers if r["time"] >= 0.02]
    return "\n".join(lines) + "\n"


def plot(results, path):
    import matplotlib
    matplotlib.use("svg")
    import matplotlib.pyplot as plt
    chosen = [r for r in results if r["threads"] == 1]
    names = list(dict.fromkeys(engine for r in chosen for engine in r["ms"] if engine != "qcnet"))
    figure, axes = plt.subplots(figsize=(9, 0.45 * len(chosen) + 1.5))
    height = 0.8 / max(1, len(names))
    for i, engine in enumerate(names):
        bars = [(k + i * height, r["ms"][engine] / r["ms"]["qcnet"]) for k, r in enumerate(chosen) if engine in r["ms"]]
        axes.barh(*zip(*bars), height, label=engine)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks([k + 0.4 - height / 2 for k in range(len(chosen))], [r["workload"] for r in chosen])
    axes.invert_yaxis()
    axes.set_xlabel("time over qcnet's, one thread (above 1: qcnet is faster)")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main():
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    chosen = arguments.only or [*workloads.MODELS, *workloads.OPERATIONS]
    thread_counts = [n for n in (1, 2) if n <= len(os.sched_getaffinity(0))]
    results = [compare(arguments, name, threads) for name in chosen
               for threads in (thread_counts if name in workloads.MODELS else (1,))]
    own = {} if arguments.only else own_benchmarks(arguments)
    profiles = {name: profile(arguments, name) for name in chosen if name in workloads.MODELS}
    rows = targets(results, own)
    text = markdown(results, rows, profiles)
    everything = {"compared": results, "layers": profiles, "own": own, "targets": rows}
    (arguments.out / "results.json").write_text(json.dumps(everything, indent=1) + "\n")
    (arguments.out / "performance.md").write_text(text)
    plot(results, arguments.out / "performance.svg")
    print(text)


if __name__ == "__main__":
    main()
