"""Exact assignment: the solvers behind the matcher `optimal`."""
