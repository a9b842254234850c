"""Semantic representational similarity matrices from saved activations."""

__version__ = "0.1.0"

from semrsm.arrays import rsm
from semrsm.compute import compute
from semrsm.errors import SemrsmError
from semrsm.rsms import read_rsm

__all__ = ["SemrsmError", "compute", "read_rsm", "rsm"]
