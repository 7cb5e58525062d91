"""The machine that a process runs on, or the container's part of it."""

import os
from pathlib import Path


def ranks():
    """How many processes torchrun has made one of; else 1."""
    return int(os.environ.get("WORLD_SIZE", 1))


def memory():
    """This process's share of the memory, in bytes."""
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's
    found = limit.read_text().strip() if limit.exists() else "max"
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return (there if found == "max" else min(there, int(found))) // ranks()
