"""The examples of all docstrings give what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import semrsm
from semrsm.errors import SemrsmError

MODULES = [
    module.name
    for module in pkgutil.walk_packages(semrsm.__path__, "semrsm.")
    if "triton" not in module.name
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    known = vars(module) | {"np": np, "torch": torch, "semrsm": semrsm, "SemrsmError": SemrsmError}
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    for example in finder.find(module, globs=known):
        runner.run(example)
    assert runner.failures == 0


def test_a_wrong_example_would_be_found() -> None:
    runner = doctest.DocTestRunner(verbose=False)
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    runner.run(wrong, out=lambda text: None)
    assert runner.failures == 1
