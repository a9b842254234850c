"""The machine that this process runs on: its cores, its memory, and what this job may take of them."""

from __future__ import annotations

import os
from pathlib import Path


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_memory() -> int:
    """Return half of the machine's memory, or of the limit of this job's control group, in bytes."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [limit.read_text().strip() for limit in limits_of_this_job() if limit.exists()]
    return min([physical, *(int(text) for text in texts if text.isdigit())]) // 2


def limits_of_this_job(
    membership: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")
) -> list[Path]:
    """Return the files that may limit this process's memory: its control group's and those above it."""
    limits = [groups / "memory" / "memory.limit_in_bytes"]
    for line in membership.read_text().splitlines() if membership.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = groups / controllers
            name = "memory.max" if not controllers else "memory.limit_in_bytes"
            own = root / path.strip("/")
            limits += [group / name for group in (own, *own.parents) if group.is_relative_to(root)]
    return limits
