"""Command-line options that the scripts share."""

import argparse
import os

from . import data
from .data.detection import FLIPS
from .numbers import count, not_negative, positive, seed, share, whole  # noqa: F401 - for the scripts
from .outputs import out_file
from .runtime import Runtime, versions


def parser(description):
    """A parser with the options of every script that reads a dataset."""
    made = argparse.ArgumentParser(description=description,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--dataset", required=True, choices=sorted(data.DATASETS))
    made.add_argument("--data", help="folder or zip of the dataset ($QCNET_DATA, then ../shared/data)")
    made.add_argument("--limit", type=count, help="only this many images of each split (a trial run)")
    made.add_argument("--resize", type=count, help="folder datasets: shorter side (256)")
    made.add_argument("--size", type=count, help="folder datasets: centre crop (224); boxes: side of the input (416)")
    made.add_argument("--flips", nargs="*", choices=FLIPS,
                      help="boxes: how pictures may be mirrored in training (BCCD: both ways, else horizontal)")
    made.add_argument("--threads", type=count, help="CPU threads of this process")
    return made


def add_training(made):
    """The options of scripts that train."""
    made.add_argument("--batch", type=count, default=256, help="images a step, over all ranks")
    made.add_argument("--fp32", action="store_true", help="train without bf16 autocast")
    made.add_argument("--cutmix", type=share, default=0, metavar="SHARE",
                      help="of the steps, with CutMix (Yun et al., 2019): against overfitting; classification only")


def add_checkpoint(made, example):
    made.add_argument("--out", required=True, type=out_file, help=f"checkpoint, e.g. {example}")
    made.add_argument("--resume", action="store_true", help="continue from --out if it exists")


def parse_checkpoint(made):
    """The options of a script that writes a checkpoint. Exits if it cannot be one, or would be written over."""
    arguments = made.parse_args()
    if arguments.out.suffix not in (".pt", ".pth"):  # lr0.1 and lr0.05 would have one log, lr0.json
        made.error(f"argument --out: {arguments.out} is no name of a checkpoint, whose log is the .json beside it; take .pt")
    started = int(os.environ.get("RANK", 0)) or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))  # by torchrun, before
    if arguments.out.exists() and not arguments.resume and not started:
        made.error(f"argument --out: {arguments.out} is there already; --resume goes on with it, else take another name")
    return arguments


def open_run(arguments):
    """(runtime, dataset) as the options say."""
    versions()  # of the code that runs, so not later
    runtime = Runtime(arguments.threads, bf16=not getattr(arguments, "fp32", True))
    return runtime, data.load(arguments.dataset, arguments.data, arguments.limit, resize=arguments.resize,
                              size=arguments.size, flips=arguments.flips)
