"""Command-line options that the scripts share."""

import argparse

from . import data
from .data.detection import FLIPS
from .numbers import count, not_negative, positive, seed, share, whole  # noqa: F401 - for the scripts
from .runtime import Runtime


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


def open_run(arguments):
    """(runtime, dataset) as the options say."""
    runtime = Runtime(arguments.threads, bf16=not getattr(arguments, "fp32", True))
    return runtime, data.load(arguments.dataset, arguments.data, arguments.limit, resize=arguments.resize,
                              size=arguments.size, flips=arguments.flips)
