"""The examples in the docstrings give the results that stand beside them."""

import doctest
import importlib
import pkgutil

import pytest

import semrsm.measures

MODULES = ["semrsm.measures"] + [
    f"semrsm.measures.{module.name}" for module in pkgutil.iter_modules(semrsm.measures.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_to_run() -> None:
    modules = map(importlib.import_module, MODULES)
    assert sum(doctest.testmod(module).attempted for module in modules) > 15
