"""Semantic representational similarity matrices from saved activations."""

__version__ = "0.1.0"
