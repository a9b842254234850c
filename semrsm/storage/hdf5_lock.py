"""Whether HDF5 is at work: what is raised in the middle of it, as for a signal, may crash the process."""

from __future__ import annotations

from h5py._objects import phil  # the lock that all of h5py takes


def is_at_work() -> bool:
    """Say whether this thread is inside of h5py."""
    return phil._is_owned()
