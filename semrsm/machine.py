"""The machine that this process runs on: its cores, its memory, and what this job may take of them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_memory() -> int:
    """Return half of the machine's memory, or of what this job may take of it, in bytes."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    texts = [limit.read_text().strip() for limit in limits_of_this_job() if limit.exists()]
    limits = [int(text) for text in texts if text.isdigit()]
    return min([physical, *limits, *memory_of_slurm_job(os.environ)]) // 2


def memory_of_slurm_job(environment: Mapping[str, str]) -> list[int]:
    """Return the bytes that Slurm granted this job on this node, if it says so; not every node confines.

    >>> memory_of_slurm_job({"SLURM_MEM_PER_CPU": "1000", "SLURM_CPUS_ON_NODE": "4"})
    [4194304000]
    """
    per_node, per_cpu, cpus = (
        int(text) if (text := environment.get(f"SLURM_{name}", "")).isdecimal() else 0
        for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE")
    )
    return [mebibytes << 20 for mebibytes in (per_node, per_cpu * cpus) if mebibytes]


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


@functools.cache
def host() -> str:
    """Return what tells this system's processes from those of others: name, boot, process namespace.

    Two containers may have one name and number their processes alike; they differ in the namespace
    on one kernel, and in the boot on two.
    """
    parts = [platform.node()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            path = Path(source)
            parts.append(os.readlink(path) if path.is_symlink() else path.read_text().strip())
    digest = hashlib.blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()
    name = re.sub(r"[^A-Za-z0-9-]+", "-", platform.node())[:32]
    return f"{name}-{digest}"


def is_running(process: int) -> bool:
    """Say whether a process of this system is running, whoever it belongs to."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
