"""Where a run happens: device, ranks (torchrun), mixed precision, seeds, versions."""

import functools
import os
import platform
import random
import subprocess
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
import torchvision

from . import machine
from .data.deferred import Deferred
from .models.attention import attend_fast
from .models.wide import train_right


class Runtime:
    """One process of a run. Under torchrun every rank has one; without it rank is 0 of 1."""

    def __init__(self, threads=None, bf16=True):
        if threads:
            torch.set_num_threads(threads)
        self.rank = int(os.environ.get("RANK", 0))
        self.world = machine.ranks()
        self.bf16 = bf16
        cuda = torch.cuda.is_available()
        self.device = torch.device("cpu")
        if cuda:
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.allow_tf32 = False  # what is said to be fp32 is
        if self.world > 1:
            # What the first rank does alone, measuring, may take longer than the usual half an hour.
            torch.distributed.init_process_group("nccl" if cuda else "gloo", timeout=timedelta(days=7))

    @property
    def is_main(self):
        return self.rank == 0

    def close(self):
        if self.world > 1:
            torch.distributed.destroy_process_group()

    def barrier(self):
        if self.world > 1:
            torch.distributed.barrier()

    def memory(self):
        """How many bytes there are where this process computes; on CPUs its share of them."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_properties(self.device).total_memory
        return machine.memory()

    def spare_memory(self):
        """How many of them nothing uses; on CPUs what the machine can still give, to other processes too."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        meminfo = Path("/proc/meminfo")
        if not meminfo.exists():
            return self.memory()
        return next(1024 * int(line.split()[1]) for line in meminfo.open() if line.startswith("MemAvailable:"))

    def autocast(self):
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def place(self, module):
        return train_right(attend_fast(module)).to(self.device, memory_format=torch.channels_last)

    def put(self, images):
        if isinstance(images, Deferred):
            return images.then(self.put)
        return images.to(self.device).contiguous(memory_format=torch.channels_last)

    def distribute(self, module):
        """Wraps a module in DDP when there are several ranks."""
        if self.world == 1:
            return module
        return torch.nn.parallel.DistributedDataParallel(module)

    def sum(self, *values):
        """Sums numbers over all ranks."""
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.world > 1:
            torch.distributed.all_reduce(total)
        return total.tolist()

    def share(self, make):
        """The value of rank 0's make() on every rank: only rank 0 needs to see the files."""
        if self.world == 1:
            return make()
        box = [make() if self.is_main else None]
        torch.distributed.broadcast_object_list(box)
        return box[0]

    def print(self, *words):
        if self.is_main:
            print(*words, flush=True)


def seed_everything(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@functools.cache
def versions():
    """Of all that has a part in what is trained; of this code the commit, where it is a clone, and whether it has changed since.

    As they were when this was first called: a clone may have another commit by the time that training ends.
    """
    git = ["git", "-C", Path(__file__).resolve().parents[1]]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        if subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "."], capture_output=True).returncode != 0:
            commit += "+changed"
    except (OSError, subprocess.CalledProcessError):
        commit = None
    return {"python": platform.python_version(), "torch": str(torch.__version__),
            "torchvision": torchvision.__version__, "commit": commit}
