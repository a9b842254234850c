"""Semantic representational similarity matrices from saved activations."""

from semrsm.compute.array import rsm
from semrsm.compute.run import compute
from semrsm.errors import SemrsmError
from semrsm.record.recording import record
from semrsm.rsms import read_rsm
from semrsm.storage.activation_writer import ActivationWriter
from semrsm.version import __version__

__all__ = ["ActivationWriter", "SemrsmError", "__version__", "compute", "read_rsm", "record", "rsm"]
