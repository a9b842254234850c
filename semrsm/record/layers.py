"""Which modules of a model are meant: names and globs, part by part."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from semrsm.errors import SemrsmError
from semrsm.names import no_such

COMPILED = ("OptimizedModule", "ScriptModule", "RecursiveScriptModule")
WRAPPERS = ("DataParallel", "DistributedDataParallel")  # which have the model in .module


@dataclass(frozen=True)
class Chosen:
    """A module that is recorded, and whether it was named outright rather than matched by a glob."""

    name: str
    module: nn.Module
    outright: bool


def choose_modules(model: nn.Module, patterns: Sequence[str]) -> list[Chosen]:
    """Return the modules that names and globs mean, each once.

    A `*` stands for any text without a dot, so that "layer*" means layer1 and not layer1.0.conv1;
    "layer*.*" means what lies in them, and "**" whatever lies at any depth.

    Raises SemrsmError if a pattern matches no module.

    >>> model = nn.Sequential(nn.Sequential(nn.ReLU(), nn.ReLU()), nn.Tanh())
    >>> [c.name for c in choose_modules(model, ["*"])], [c.name for c in choose_modules(model, ["0.*"])]
    (['0', '1'], ['0.0', '0.1'])
    """
    root = unwrapped(model)
    modules = {name: m for name, m in root.named_modules(remove_duplicate=False) if name}
    chosen: dict[int, Chosen] = {}
    for pattern in patterns:
        outright = pattern in modules
        names = [pattern] if outright else [name for name in modules if _matches(name, pattern)]
        if not names:
            raise SemrsmError(_no_module(modules, pattern))
        for name in names:
            known = chosen.get(id(modules[name]))
            if known is None or (outright and not known.outright):
                chosen[id(modules[name])] = Chosen(name, modules[name], outright)
    if not chosen:
        raise SemrsmError("no layers are named; give names or globs of modules, such as 'layer*'")
    return list(chosen.values())


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside of DataParallel and DistributedDataParallel.

    Raises SemrsmError if it is spread over several devices at once, or compiled.
    """
    for module in model.modules():
        compiled = getattr(module, "_compiled_call_impl", None) is not None
        if compiled or type(module).__name__ in COMPILED:
            raise SemrsmError(
                "the model is compiled, and compiled code leaves out hooks; give the model that it was"
                " made from"
            )
        if isinstance(module, nn.DataParallel) and len(module.device_ids) > 1:
            raise SemrsmError(
                f"a DataParallel over {len(module.device_ids)} devices runs parts of a batch side by side;"
                " give its .module on one device"
            )
    while type(model).__name__ in WRAPPERS:
        inside = model.module
        assert isinstance(inside, nn.Module)
        model = inside
    return model


def _matches(name: str, pattern: str) -> bool:
    return _match_parts(name.split("."), pattern.split("."))


def _match_parts(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        starts = range(1, len(parts) + 1)
        return any(_match_parts(parts[k:], patterns[1:]) for k in starts)
    if not parts or not fnmatch.fnmatchcase(parts[0], patterns[0]):
        return False
    return _match_parts(parts[1:], patterns[1:])


def _no_module(modules: Iterable[str], pattern: str) -> str:
    names = list(modules)
    depth = pattern.count(".")
    level = [name for name in names if name.count(".") == depth] or names
    return no_such(level, pattern, "module")
