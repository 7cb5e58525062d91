#!/usr/bin/env python3
"""Trains the models with which node and server code bits in fewer bytes, on frames that the node wrote.

  node NODE.node.safetensors PICTURES -o pictures.frames
  entropy.py pictures.frames -o NAME.entropy.safetensors
  node NODE.node.safetensors PICTURES --entropy-model NAME.entropy.safetensors | server SERVER... --entropy-model ...

Any pictures like those to come will do, without labels, some thousand of them; not those that it is measured on. Deployed
files stay as they are. A tenth of the frames, drawn at random, are not trained on: what is printed is what a bit of them takes.
"""

import argparse

import torch

from qcnet_train import entropy, frames, numbers
from qcnet_train.outputs import out_file


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", help="written by node -o, without --compress")
    parser.add_argument("-o", "--out", required=True, type=out_file, help="NAME.entropy.safetensors")
    parser.add_argument("--neighbors", type=int, choices=range(len(entropy.NEIGHBORS) + 1),
                        help="pixels before that are looked at (6 for maps of up to 32 channels, 4 up to 64, else 2); each "
                             "takes two bytes for each pair of channels, and time")
    parser.add_argument("--steps", type=numbers.count, default=1200)
    parser.add_argument("--lr", type=numbers.positive, default=0.02)
    parser.add_argument("--seed", type=numbers.seed, default=0)
    parser.add_argument("--threads", type=numbers.count)
    return parser.parse_args()


def suggested(channels):
    return 6 if channels <= 32 else 4 if channels <= 64 else 2


def main():
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        model_hash, maps = frames.read(arguments.frames)
        models = {}
        for name, (shape, packed) in maps.items():
            # The order of a folder's pictures is that of their classes.
            packed = packed[torch.randperm(len(packed), generator=torch.Generator().manual_seed(arguments.seed)).numpy()]
            neighbors = suggested(shape[-1]) if arguments.neighbors is None else arguments.neighbors
            models[name], takes = entropy.fit(
                shape, packed, neighbors=neighbors, steps=arguments.steps, lr=arguments.lr, seed=arguments.seed,
                report=lambda step, bits: print(f"step {step}: {bits:.4f} bits a bit", flush=True))
            print(f"{name} {list(shape)}: {takes:.4f} bits a bit")
        entropy.save(arguments.out, model_hash, models)
    except (OSError, ValueError) as error:
        raise SystemExit(f"entropy.py: {error}") from None


if __name__ == "__main__":
    main()
