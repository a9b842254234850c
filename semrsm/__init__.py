"""Semantic representational similarity matrices from saved activations."""

from semrsm.api.compare import compare
from semrsm.api.compute import compute, finish, status
from semrsm.api.evaluate import evaluate_predictions, evaluate_retrieval, evaluate_views
from semrsm.api.export import export
from semrsm.api.plot import plot
from semrsm.api.report import report
from semrsm.api.try_out import methods_on, pair
from semrsm.compute.array import rsm
from semrsm.errors import SemrsmError
from semrsm.record.recording import record
from semrsm.rsms import read_rsm
from semrsm.storage.activation_writer import ActivationWriter
from semrsm.version import __version__

__all__ = [
    "ActivationWriter",
    "SemrsmError",
    "__version__",
    "compare",
    "compute",
    "evaluate_predictions",
    "evaluate_retrieval",
    "evaluate_views",
    "export",
    "finish",
    "methods_on",
    "pair",
    "plot",
    "read_rsm",
    "record",
    "report",
    "rsm",
    "status",
]
