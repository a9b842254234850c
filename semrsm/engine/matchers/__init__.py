"""Matchers: how the positions of two samples are put together."""
