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


def check_tested(run, log):
    """Exits if the log of a run of compensate.py has no figures of the test split."""
    if not all("test" in figures for figures in (*log["runs"], *log["baselines"].values())):
        raise SystemExit(f"{run}: holds figures of the validation split alone, from --no-test; run compensate.py without it and "
                         "without --resume")


FROZEN = ("qcnet", "autoencoder", "klt-qcnet")  # whose tail is the base model's, after distillation; before it they are "...-mse"


def better_frozen(runs, method="qcnet"):
    """Which of a method of FROZEN to ship, "qcnet-mse" or "qcnet", say: the better on the validation split.

    None if there is neither.
    """
    means = {m: s["mean"] for m, s in summarize(runs, "validation").items() if m in (f"{method}-mse", method)}
    return max(means, key=means.get, default=None)
