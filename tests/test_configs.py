import tomllib
from pathlib import Path

import pytest

from semrsm.data import digits_path
from semrsm.rsms import open_rsms
from semrsm.storage.rsm_file import open_rsm
from tests.helpers import run

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.toml"))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_run_file_runs_on_the_embedded_example(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.rsm.h5"
    done = run("compute", digits_path(), "-o", out, "--config", config, "--samples", "0:6")
    assert done.exit_code == 0, done.stderr
    wanted = tomllib.loads(config.read_text())
    with open_rsm(out) as file:
        used = file.metadata["options"]
        assert {name: used[name] for name in wanted} == wanted
        assert used["samples"] == "0:6"
        for layer in file.layers().values():
            assert layer.matcher == wanted["matcher"]
            assert set(layer.sigmas) == set(wanted["kernel"])
    assert all(rsm.values().shape == (6, 6) for rsm in open_rsms(out))


def test_there_is_a_run_file_for_a_cnn_a_vit_and_the_baseline() -> None:
    found = [tomllib.loads(path.read_text()) for path in CONFIGS]
    assert {"optimal", "identity"} <= {options["matcher"] for options in found}
    assert any(options.get("skip_tokens") == 1 for options in found)
