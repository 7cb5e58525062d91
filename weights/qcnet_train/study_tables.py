"""The tables of docs/study.md and README.md, made of the records of study.py.

`found` is what gather() makes of them: {place: {method: rows of its seeds}}.
"""

import re
import statistics
from dataclasses import dataclass
from pathlib import Path

from . import inputs
from .study import FAMILIES, percent

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TITLES = {
    "unpartitioned": "unpartitioned, float", "8-bit": "8 bit", "4-bit": "4 bit", "2-bit": "2 bit",
    "uniform": "uniform dequantization", "lloyd-max": "Lloyd-Max dequantization",
    "qcnet": "**QCNet, model frozen**",
    "autoencoder": "autoencoder, model frozen", "lloyd-max-finetuned": "Lloyd-Max dequantization, tuned tail",
    "autoencoder-finetuned": "autoencoder, tuned tail", "qat": "quantization-aware training of the whole model",
    "qcnet-finetuned": "**QCNet, tuned tail**",
    "klt": "principal components, model frozen, nothing trained", "klt-qcnet": "**QCNet on principal components, model frozen**",
    "klt-finetuned": "principal components, tuned tail",
    "klt-qcnet-finetuned": "**QCNet on principal components, tuned tail**", "control": "control: float map, tuned tail (PyTorch)"}
# Other ways to spend one bit a feature, tuned; and what to call them in a cell.
OTHERS = {"lloyd-max-finetuned": "dequantization", "autoencoder-finetuned": "autoencoder", "qat": "QAT"}
# Several bits of each of fewer features, untrained.
SEVERAL_BITS = {"2-bit": "2 bits", "4-bit": "4 bits", "8-bit": "8 bits"}
UNTRAINED = {"unpartitioned", "uniform", "lloyd-max", "klt", *SEVERAL_BITS}  # the same with each seed
FEW_SEEDS = {1: "\u00b9", 2: "\u00b2"}  # marks what is trained, but not with three
# README's: a cut of each family that has components of as many bytes, and what to call the families.
FRONT = {"resnet-cifar10": "layer2", "vit-cifar10": "encoder.layers.encoder_layer_1", "convnext-cifar10": "features.2",
         "yolo-bccd": "layers.5"}
NAMES = {"resnet-cifar10": "ResNet", "vit-cifar10": "ViT", "convnext-cifar10": "ConvNeXt", "yolo-bccd": "YOLOv3-Tiny"}
# Points by which seeds and JPEG decoders differ; 72 pictures resolve less.
CLEARLY = {"resnet-cifar10": 0.3, "vit-cifar10": 0.3, "convnext-cifar10": 0.3, "yolo-bccd": 1}


@dataclass(frozen=True, order=True)
class Place:
    """What the seeds of a cell share."""
    family: str
    cut: str
    patch: int
    rate: float

    @staticmethod
    def of(record):
        def option(name, default):
            words = record["options"].split()
            return words[words.index(name) + 1] if name in words else default
        return Place(record["family"], record["cut"], int(option("--patch", 1)), float(option("--rate", 1)))


# Where components of as many bytes as a cut's channels are, if not there.
AS_MANY_BYTES = {("resnet-cifar10", "layer1"): Place("resnet-cifar10", "layer2.0.add", 2, 2),
                 ("resnet-cifar10", "layer2"): Place("resnet-cifar10", "layer2.0.add", 2, 1),
                 ("resnet-cifar10", "layer3"): Place("resnet-cifar10", "layer3.0.add", 2, 1),
                 ("convnext-cifar10", "features.3"): Place("convnext-cifar10", "features.2", 1, 1),
                 ("yolo-bccd", "layers.3"): Place("yolo-bccd", "layers.6.bn", 2, 1),
                 ("yolo-bccd", "layers.5"): Place("yolo-bccd", "layers.8.bn", 2, 1),
                 ("yolo-bccd", "layers.7"): Place("yolo-bccd", "layers.8.bn", 2, 0.5)}


def gather(folder):
    """{place: {method: rows of its seeds}}; a row has its frame's bytes too.

    Baselines are measured again whenever a method is added to a cell: of each seed the first row counts.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        record = inputs.read_json(path, "family", "cut", "seed", "options", "trained", "measured")
        methods = found.setdefault(Place.of(record), {})
        if control := record["trained"].get("control"):
            methods.setdefault("control", []).append({"method": "control", "percent": 100 * control["test"], "seed": record["seed"]})
        for part in record["measured"]:
            for row in part["rows"]:
                rows = methods.setdefault(row["method"], [])
                if record["seed"] not in (known["seed"] for known in rows):
                    sent = part["bytes"]["frame" if row["from_bits"] else "float32"]
                    rows.append({**row, "percent": percent(row), "seed": record["seed"], "bytes": sent,
                                 "file": part["bytes"]["file"]})
    return found


def timed(found, path):
    """The same with a node's and a server's times of study.py --times, the least of its rounds: else the machine had other work."""
    def least(rows):
        return {key: min(row[key] for row in rows) for key in ("node_ms", "server_ms")}
    times = {}
    for cell in inputs.read_json(path, "processor", "cells")["cells"]:
        for row in cell["rows"]:
            times.setdefault(Place.of(cell), {}).setdefault(row["method"], []).append(row)
    return {place: {method: [{**row, **least(times[place][method])} for row in rows]
                    for method, rows in methods.items() if method in times.get(place, {})}
            for place, methods in found.items()}


def mean(rows, key):
    return statistics.mean(row[key] for row in rows)


def few(rows, seeds=None):
    """The mark of what is trained with fewer than three seeds."""
    return "" if rows[0]["method"] in UNTRAINED else FEW_SEEDS.get(len(seeds or rows), "")


def cell(rows):
    """Mean and, of several seeds, standard deviation; what is not trained is the same with each."""
    if not rows:
        return ""
    values = [row["percent"] for row in rows]
    spread = f" \u00b1 {statistics.stdev(values):.2f}" if len(set(values)) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}{few(rows)}"


def table(family, found):
    """Methods by cuts, mean ± standard deviation over the seeds, and what is sent."""
    of_cuts = {cut: found[place] for cut in FAMILIES[family].cuts if (place := Place(family, cut, 1, 1)) in found}
    metric = "mAP@0.5" if "bccd" in FAMILIES[family].dataset else "accuracy"
    lines = [f"| {family}, {metric}, % | " + " | ".join(f"`{cut}`" for cut in of_cuts) + " |",
             "|---|" + "---|" * len(of_cuts)]
    for method, title in TITLES.items():
        rows = [methods.get(method, []) for methods in of_cuts.values()]
        if any(rows):
            lines.append(f"| {title} | " + " | ".join(map(cell, rows)) + " |")
    sent = [next((methods[of][0]["bytes"] for of in ("lloyd-max", "klt") if of in methods), "")
            for methods in of_cuts.values()]
    return "\n".join([*lines, "| bytes of a frame of one bit a feature | " + " | ".join(map(str, sent)) + " |"])


def control_at(found, place):
    """The control's rows of a cut: it is the same with any patch and rate."""
    return next((methods["control"] for other, methods in found.items()
                 if (other.family, other.cut) == (place.family, place.cut) and "control" in methods), [])


def components(found):
    """Principal components at every cut, size of patches and rate."""
    columns = ("klt", "klt-qcnet", "klt-finetuned", "klt-qcnet-finetuned")
    lines = ["| model, cut | pixels | bits a feature | bytes | nothing trained | QCNet, frozen | tuned tail | QCNet, tuned | "
             "control | unpartitioned |", "|---|---|---|---|---|---|---|---|---|---|"]
    for place, methods in sorted(found.items()):
        if "klt" in methods:
            whole = next((of["unpartitioned"][:1] for other, of in found.items()
                          if other.family == place.family and "unpartitioned" in of), [])
            cells = [cell(rows) for rows in (*(methods.get(name, []) for name in columns), control_at(found, place), whole)]
            lines.append(f"| {place.family}, `{place.cut}` | {place.patch}x{place.patch} | {place.rate:g} | "
                         f"{methods['klt'][0]['bytes']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def lead(rows, others):
    """(points, seeds) of the means over the seeds that both have, all of ours if the others are untrained; None if there are none."""
    if not rows or not others:
        return None
    seeds = {row["seed"] for row in rows}
    if others[0]["method"] not in UNTRAINED:
        seeds &= {row["seed"] for row in others}
        others = [row for row in others if row["seed"] in seeds]
    return seeds and (mean([row for row in rows if row["seed"] in seeds], "percent") - mean(others, "percent"), seeds)


def difference(rows, others):
    found = lead(rows, others)
    return f"{found[0]:+.2f}{few(rows, found[1])}" if found else ""


def of_as_many_bytes(found, place):
    """({method: rows} of a cut and of components with as many bytes, where these are)."""
    at = AS_MANY_BYTES.get((place.family, place.cut), place)
    of_components = {name: rows for name, rows in found.get(at, {}).items() if name.startswith("klt")}
    return {**found.get(place, {}), **of_components}, at


def other_ways(found, place):
    """{what to call it: rows} of what else sends no more bytes: one bit a feature at this cut, one or several at another."""
    here = found.get(place, {})
    ways = {title: here[name] for name, title in OTHERS.items() if name in here}
    most = here["lloyd-max"][0]["bytes"] if ways and "lloyd-max" in here else 0
    for other, methods in sorted(found.items()):
        for name, title in {**OTHERS, **SEVERAL_BITS}.items() if other.family == place.family and other != place else ():
            if name in methods and methods[name][0]["bytes"] <= most:
                ways[f"{title}, `{short(other.cut)}`"] = methods[name]
    return ways


def best(ways):
    """The one of the best mean."""
    return max(ways, key=lambda title: mean(ways[title], "percent"))


def short(cut):
    return cut.removeprefix("encoder.layers.")


def named(place):
    return f"{NAMES[place.family]}, `{short(place.cut)}`"


def tuned_on_components(methods, others, at, place):
    """A cell: in bold where it is clearly ahead, with the cut where it is another."""
    rows = methods.get("klt-qcnet-finetuned", [])
    leads = [lead(rows, other) for other in (*others.values(), methods.get("qcnet-finetuned"))]
    bold = "**" if all(found and found[0] > CLEARLY[place.family] for found in leads) else ""
    return f"{bold}{cell(rows)}{bold}" + (f" (`{at.cut}`)" if rows and at != place else "")


def front(found):
    """README's first table: what crosses a cut of each family, and what comes of it."""
    lines = ["| model, cut after | float map, bytes | frame, bytes | unpartitioned | dequantization | **QCNet, frozen** | best other way | "
             "**QCNet on components, tuned** |", "|---|---|---|---|---|---|---|---|"]
    for place in (Place(family, cut, 1, 1) for family, cut in FRONT.items()):
        methods, at = of_as_many_bytes(found, place)
        others = other_ways(found, place)
        if not others or not {"unpartitioned", "lloyd-max", "qcnet"} <= methods.keys():
            continue
        first = best(others)
        sent = [f"{methods[name][0]['bytes']:,}" for name in ("unpartitioned", "lloyd-max")]
        cells = [named(place), *sent, *(cell(methods[name]) for name in ("unpartitioned", "lloyd-max")),
                 cell(methods["qcnet"]), f"{cell(others[first])} ({first})", tuned_on_components(methods, others, at, place)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def ways(found):
    """README's second one: every way to spend a frame's bytes."""
    lines = ["| % | bytes | dequantization | autoencoder | quantization-aware training | best at another cut | "
             "QCNet on channels | QCNet on components | control |", "|---|---|---|---|---|---|---|---|---|"]
    for place in (Place(family.name, cut, 1, 1) for family in FAMILIES.values() for cut in family.cuts):
        methods, at = of_as_many_bytes(found, place)
        others = other_ways(found, place)
        if others and "lloyd-max" in methods:
            elsewhere = {title: rows for title, rows in others.items() if title not in OTHERS.values()}
            most = f"{cell(elsewhere[best(elsewhere)])} ({best(elsewhere)})" if elsewhere else ""
            cells = [named(place), f"{methods['lloyd-max'][0]['bytes']:,}",
                     *(cell(others.get(title, [])) for title in OTHERS.values()), most,
                     cell(methods.get("qcnet-finetuned", [])), tuned_on_components(methods, others, at, place),
                     cell(methods.get("control", []))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def margins(found):
    """How far the QCNet is ahead of the other methods that send as many bytes, at every cut."""
    lines = ["| model, cut | frozen: QCNet less dequantization | less autoencoder | on components, less autoencoder | best other way | "
             "tuned QCNet, less that | on components, less that | less control |", "|---|---|---|---|---|---|---|---|"]
    for family in FAMILIES.values():
        for place in (Place(family.name, cut, 1, 1) for cut in family.cuts):
            of, at = of_as_many_bytes(found, place)
            others = other_ways(found, place)
            if not others:
                continue
            first = best(others)
            tuned = of.get("klt-qcnet-finetuned", [])
            where = "" if at == place or not tuned else f" (`{at.cut}`)"
            cells = [difference(of.get("qcnet"), of.get("lloyd-max")), difference(of.get("qcnet"), of.get("autoencoder")),
                     difference(of.get("klt-qcnet"), of.get("autoencoder")), f"{first} {cell(others[first])}",
                     difference(of.get("qcnet-finetuned"), others[first]), difference(tuned, others[first]) + where,
                     difference(tuned or of.get("qcnet-finetuned"), control_at(found, at if tuned else place))]
            lines.append(f"| {place.family}, `{place.cut}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def errors(found):
    """Relative error of the reconstruction beside the accuracy that it gives the same frozen tail."""
    lines = ["| model, cut | Lloyd-Max: error | accuracy | QCNet, frozen: error | accuracy |", "|---|---|---|---|---|"]
    for place, methods in sorted(found.items()):
        cells = [f"{mean(methods[name], 'reconstruction_error'):.3f} | {cell(methods[name])}"
                 for name in ("lloyd-max", "qcnet") if name in methods]
        if len(cells) == 2:
            lines.append(f"| {place.family}, `{place.cut}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def pages(found, study=DOCS / "study.md"):
    """{page: {mark: table}} of what is on record; of another page than the checkout's that alone."""
    families = {family: table(family, found) for family in FAMILIES if any(place.family == family for place in found)}
    made = {study: {**families, "components": components(found), "margins": margins(found), "errors": errors(found)}}
    return {**made, ROOT / "README.md": {"front": front(found), "ways": ways(found)}} if study == DOCS / "study.md" else made


def filled(path, tables):
    """The text of a page with these tables."""
    page = inputs.read_text(path)
    for name, text in tables.items():
        page, count = re.subn(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: m[1] + text + "\n" + m[2], page, flags=re.S)
        if count != 1:
            raise SystemExit(f"{path}: has no place for {name}: <!-- {name} --> and <!-- end -->")
    return page
