"""Comparing RSMs: files -> a table of measures."""

from semrsm.compare.lookup import DEFAULT_MEASURES
from semrsm.compare.noise_ceiling import CeilingTable, noise_ceiling
from semrsm.compare.pairs import Result
from semrsm.compare.run import ComparisonTable, compare
from semrsm.measures.inference import Inference

__all__ = [
    "DEFAULT_MEASURES",
    "CeilingTable",
    "ComparisonTable",
    "Inference",
    "Result",
    "compare",
    "noise_ceiling",
]
