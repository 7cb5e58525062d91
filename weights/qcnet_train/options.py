"""Command-line options that the scripts share."""

from . import data
from .runtime import Runtime


def add_common(parser):
    parser.add_argument("--dataset", required=True, choices=sorted(data.DATASETS))
    parser.add_argument("--data", help="folder or zip of the dataset (default: $QCNET_DATA, then ../shared/data)")
    parser.add_argument("--limit", type=int, help="use only this many images of each split (a trial run)")
    parser.add_argument("--resize", type=int, help="folder datasets: shorter side (256)")
    parser.add_argument("--size", type=int, help="folder datasets: centre crop (224)")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    parser.add_argument("--fp32", action="store_true", help="train without bf16 autocast")
    parser.add_argument("--batch", type=int, default=256, help="images a step, over all ranks")


def open_run(arguments):
    runtime = Runtime(arguments.threads, bf16=not arguments.fp32)
    dataset = data.load(arguments.dataset, arguments.data, arguments.limit, arguments.resize, arguments.size)
    return runtime, dataset
