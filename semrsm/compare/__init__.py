"""Comparing RSMs: files -> a table of measures."""

from semrsm.compare.pairs import Inference, Result
from semrsm.compare.run import DEFAULT_MEASURES, ComparisonTable, compare

__all__ = ["DEFAULT_MEASURES", "ComparisonTable", "Inference", "Result", "compare"]
