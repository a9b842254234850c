"""Comparing RSMs: files -> a table of measures."""

from semrsm.compare.pairs import Result
from semrsm.compare.run import DEFAULT_MEASURES, ComparisonTable, compare
from semrsm.measures.inference import Inference

__all__ = ["DEFAULT_MEASURES", "ComparisonTable", "Inference", "Result", "compare"]
