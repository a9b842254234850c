"""The house of DESIGN section 3: every import points downward, never up or sideways."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "semrsm"

# Room -> storey. A file may import its own room and those on lower storeys; rooms on one storey do
# not know each other.
STOREYS = {
    "version": 0,
    "errors": 0,
    "names": 1,
    "sample_numbers": 1,
    "machine": 1,
    "in_child": 1,
    "torch_archives": 1,
    "data": 1,
    "engine": 2,
    "storage": 2,
    "measures": 2,
    "kernel_rows": 3,
    "rsms": 4,
    "same_samples": 5,
    "compute": 6,
    "compare": 6,
    "evaluate": 6,
    "plot": 6,
    "record": 6,
    "export": 6,
    "api": 7,
    "experiments": 8,
    "__init__": 9,
    "cli": 9,
    "__main__": 10,
}

# Library -> the only rooms that may import it.
LIBRARIES = {
    "typer": ("cli",),
    "rich": ("cli",),
    "h5py": ("storage",),
    "matplotlib": ("plot",),
    "dask": ("compute/executors.py",),
    "distributed": ("compute/executors.py",),
    "pyarrow": ("export",),
    "zarr": ("export", "storage/formats"),
    "torch": ("engine", "compute", "record", "torch_archives.py"),
    "triton": ("engine/assignment/triton_",),
    "torchvision": ("record/models.py",),
    "timm": ("record/models.py",),
    "transformers": ("record/models.py",),
    "safetensors": ("record/weights.py",),
    "PIL": ("record/images.py",),
}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path, at_run_time: bool = False) -> Iterator[str]:
    """Yield the dotted name of every module that a file imports, wherever in it."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if at_run_time and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            assert node.module is not None
            yield node.module


def rooms_imported(path: Path) -> Iterator[str]:
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package == "semrsm":
            yield rest.split(".")[0] or "__init__"


def test_every_file_stands_in_a_room() -> None:
    assert {room_of(path) for path in FILES} <= STOREYS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path: Path) -> None:
    own = room_of(path)
    wrong = [
        room
        for room in rooms_imported(path)
        if room != own and STOREYS[room] >= STOREYS[own] and (own, room) != ("__init__", "cli")
    ]
    assert not wrong, f"{own} imports {', '.join(wrong)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_libraries_stay_in_their_rooms(path: Path) -> None:
    place = str(path.relative_to(PACKAGE))
    for name in imports(path, at_run_time=True):
        rooms = LIBRARIES.get(name.split(".")[0])
        assert rooms is None or place.startswith(rooms), f"{place} imports {name}"


def test_a_wrong_import_is_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f():\n    from semrsm.cli.console import say\n    import semrsm.rsms\n")
    assert list(rooms_imported(wrong)) == ["cli", "rsms"]
