"""Mean and spread over seeds."""

import statistics


def summarize(runs, split="test"):
    """{method: {"mean", "spread" (sample standard deviation, 0 for one seed), "seeds", "values"}}."""
    methods = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        methods.setdefault(run["method"], []).append(run)
    summary = {}
    for method, members in methods.items():
        values = [run[split] for run in members]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        summary[method] = {"mean": round(statistics.mean(values), 6), "spread": round(spread, 6),
                           "seeds": [run["seed"] for run in members], "values": values}
    return summary


def better_frozen(runs):
    """Which frozen-model QCNet to ship, "qcnet-mse" or "qcnet": the better on the validation split."""
    means = {m: s["mean"] for m, s in summarize(runs, "validation").items() if m in ("qcnet-mse", "qcnet")}
    return max(means, key=means.get)
