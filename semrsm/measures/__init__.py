"""Measures: how alike two RSMs are."""
