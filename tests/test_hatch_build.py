"""Installing where there is no compiler: the build says so and goes on without the native core."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def hatch_build(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The build hook; hatchling is there while building only, so a stand-in gives its base class."""
    names = ["hatchling", "builders", "hooks", "plugin", "interface"]
    for k in range(1, len(names) + 1):
        monkeypatch.setitem(sys.modules, ".".join(names[:k]), ModuleType(names[k - 1]))
    sys.modules[".".join(names)].BuildHookInterface = object  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_compiler_the_package_is_built_without_the_core_and_says_so(
    hatch_build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    notes: list[str] = []
    hook = hatch_build.NativeCore()
    hook.root, hook.target_name = str(tmp_path), "wheel"
    hook.app = SimpleNamespace(display_warning=notes.append)
    (tmp_path / "semrsm" / "engine" / "native").mkdir(parents=True)
    data: dict[str, object] = {"artifacts": []}
    hook.initialize("standard", data)
    assert data == {"artifacts": []}
    assert len(notes) == 1
    assert "no C++17 compiler was found" in notes[0]
    assert "laprust" in notes[0]
