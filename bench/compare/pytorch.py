"""Times PyTorch for compare.py: pytorch.py WORKLOAD THREADS; prints as onnxruntime.js does."""

import sys
import time

import torch

from workloads import input_of, make


def main():
    name, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    module, (shape, repeats) = make(name), input_of(name)
    value = torch.randn(shape)
    if len(shape) == 4:  # what PyTorch is fastest with
        module, value = (part.to(memory_format=torch.channels_last) for part in (module, value))
    print("ready 0 0", flush=True)
    with torch.inference_mode():
        for _ in sys.stdin:
            start = time.perf_counter()
            module(value)
            print((time.perf_counter() - start) * 1e3 / repeats, flush=True)


main()
