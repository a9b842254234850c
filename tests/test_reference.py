"""Whole runs against values that others computed: the paper's implementation, and plain SciPy."""

from pathlib import Path

import h5py
import numpy as np
import pytest

import semrsm
from tests.helpers import scipy_matched, scipy_rsm, vectors

CASES = ("digits_layer4", "digits_layer3", "digits_layer2", "tokens")
MATCHERS = ("identity", "optimal")


def reference(folder: Path, case: str, matcher: str) -> dict[str, tuple[np.ndarray, float | None]]:
    with h5py.File(folder / "reference_rsms.h5") as file:
        group = file[f"rsm/{case}/{matcher}"]
        return {k: (d[:], d.attrs.get("sigma")) for k, d in group.items()}


def assert_agree(rsm: np.ndarray, reference: np.ndarray) -> None:
    """Equal to 1e-6, relative to the two maps' norms: the reference summed in float32."""
    scale = np.sqrt(np.abs(reference.diagonal()))
    assert (np.abs(rsm - reference) <= 1e-6 * np.outer(scale, scale)).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("matcher", MATCHERS)
def test_a_computed_file_agrees_with_the_published_implementation(
    case: str, matcher: str, shared_data: Path, tmp_path: Path
) -> None:
    wanted = reference(shared_data, case, matcher)
    address, out = f"{shared_data / 'reference_rsms.h5'}::activations/{case}", tmp_path / "o.rsm.h5"
    sigma = float(wanted["rbf"][1] or 0)
    semrsm.compute(address, out, matcher=matcher, kernel=list(wanted), sigma=sigma)
    for kernel, (values, _) in wanted.items():
        rsm, about = semrsm.read_rsm(out, kernel=kernel)
        assert about["layer"] == f"activations/{case}"
        assert about["sigma"] == (sigma if kernel == "rbf" else None)
        assert_agree(rsm, values)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("matcher", MATCHERS)
def test_an_array_in_memory_agrees_with_the_published_implementation(
    case: str, matcher: str, shared_data: Path
) -> None:
    with h5py.File(shared_data / "reference_rsms.h5") as file:
        array = file[f"activations/{case}"][:]
    for kernel, (values, sigma) in reference(shared_data, case, matcher).items():
        options = {} if sigma is None else {"sigma": float(sigma)}
        rsm = semrsm.rsm(array, matcher, kernel, **options)
        assert_agree(rsm, values)


def resnet(shared_data: Path, layer: str, n: int) -> np.ndarray:
    with h5py.File(shared_data / "resnet18_imagenet_24.h5") as file:
        return file[layer][:n]


@pytest.mark.parametrize(
    ("layer", "n"),
    [
        ("layer4", 24),
        ("layer3", 8),
        pytest.param("layer3", 24, marks=pytest.mark.slow),
        ("layer2", 2),
        pytest.param("layer2", 5, marks=pytest.mark.slow),
    ],
)
def test_optimal_on_resnet18_equals_a_plain_scipy_loop(
    layer: str, n: int, shared_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.rsm.h5"
    source = shared_data / "resnet18_imagenet_24.h5"
    semrsm.compute(source, out, layer=layer, samples=f"0:{n}", kernel="linear")
    rsm, _ = semrsm.read_rsm(out)
    x = vectors(resnet(shared_data, layer, n))
    norms = np.linalg.norm(x.reshape(n, -1), axis=1)
    upper = np.triu_indices(n)
    expected = np.array([scipy_matched(x[i], x[j]) for i, j in zip(*upper, strict=True)])
    np.testing.assert_allclose(rsm[upper], (expected / np.outer(norms, norms)[upper]), rtol=1e-6)
    np.testing.assert_array_equal(rsm, rsm.T)


@pytest.mark.slow
def test_optimal_on_resnet18_layer1_equals_scipy_on_a_pair(shared_data: Path) -> None:
    array = resnet(shared_data, "layer1", 2)
    x = vectors(array)
    m = semrsm.rsm(array, kernel="linear")[0, 1]
    assert m == pytest.approx(scipy_matched(x[0], x[1]), rel=1e-6)


def test_the_slow_loop_and_the_engine_agree_on_float64(rng: np.random.Generator) -> None:
    x = rng.normal(size=(4, 30, 7))
    np.testing.assert_allclose(
        semrsm.rsm(x, kernel="linear", dtype="float64"), scipy_rsm(x), rtol=1e-12
    )
