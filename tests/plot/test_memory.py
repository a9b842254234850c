"""Pictures within the memory granted: large RSMs by blocks, and what needs a whole one refused."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm import rsms
from semrsm.compute.parsers import parse_memory
from semrsm.errors import SemrsmError
from semrsm.plot import reduced
from semrsm.plot.figures import canvas
from semrsm.plot.figures.canvas import block_means, render
from semrsm.plot.figures.heatmaps import Panel, scales_of
from semrsm.plot.figures.scales import colour_scale
from semrsm.plot.kinds import draw_plot
from semrsm.plot.reduced import quartiles, reduce_rsm
from semrsm.plot.report import build_report
from semrsm.plot.request import PlotOptions
from semrsm.rsms import Rsm
from tests.helpers import fail, succeed, write_rsm

MIB = 1 << 20


def in_memory(matrix: np.ndarray) -> Rsm:
    square = matrix.shape[0] == matrix.shape[1]
    return Rsm(Path("m.npy"), None, None, None, matrix.shape, square, None, matrix.__getitem__)


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    cells=st.integers(1, 12),
    block=st.integers(1, 300),
    ordered=st.booleans(),
)
def test_cells_read_by_blocks_are_the_means_of_the_whole(
    seed: int, shape: tuple[int, int], cells: int, block: int, ordered: bool
) -> None:
    rng = np.random.default_rng(seed)
    n, m = (shape[0], shape[0]) if ordered else shape
    K = rng.standard_normal((n, m)).astype(np.float32)
    order = rng.permutation(n) if ordered else None
    whole = K.astype(np.float64) if order is None else K.astype(np.float64)[np.ix_(order, order)]
    before = canvas.CELLS, rsms.BLOCK
    canvas.CELLS, rsms.BLOCK = cells, block
    try:
        found, _ = reduce_rsm(in_memory(K), order, 10**9)
        expected = block_means(whole, canvas.cell_side((n, m)))
    finally:
        canvas.CELLS, rsms.BLOCK = before
    assert max(found.shape) <= cells
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("spread", [1 << 20, 3000])
def test_the_colours_span_the_entries_and_not_their_means(
    spread: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canvas, "CELLS", 10)
    monkeypatch.setattr(reduced, "SPREAD", spread)
    monkeypatch.setattr(rsms, "BLOCK", 700)
    K = rng.standard_normal((300, 300)) + 50 * np.eye(300)
    means, spread = reduce_rsm(in_memory(K), None, 10**9)
    [scale] = scales_of([Panel(means, zero_counts=True, whole=K.shape, spread=spread)])
    expected = colour_scale([K], True)
    assert (scale.colours, scale.extend) == (expected.colours, expected.extend)
    assert scale.high == pytest.approx(expected.high, rel=0.15)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.booleans())
def test_quartiles_are_those_of_all_pairs(seed: int, n: int, nan: bool) -> None:
    rng = np.random.default_rng(seed)
    K = rng.integers(-3, 4, (n, n)).astype(np.float32)
    K[0, 1] = np.nan if nan else 0.3
    views = rng.integers(0, 3, n)
    i, j = np.triu_indices(n, 1)
    for same in (None, True, False):
        kept = views[i] == views[j] if same else views[i] != views[j]
        pairs = K[i, j] if same is None else K[i, j][kept]
        pairs = pairs[np.isfinite(pairs)]
        found = quartiles(in_memory(K), views, same, 10**9)
        if not len(pairs):
            assert found == [None] * 3
        else:
            assert found == pytest.approx(np.quantile(pairs.astype(float), [0.25, 0.5, 0.75]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RSM files of 2 x 3000 and 200 samples with labels."""
    folder = tmp_path_factory.mktemp("plots")
    rng = np.random.default_rng(5)
    for name, n in (("large", 3000), ("middle", 900), ("small", 200)):
        for matcher in ("identity", "optimal"):
            x = rng.standard_normal((n, 8))
            path = folder / f"{name}.{matcher}.rsm.h5"
            write_rsm(path, {"a": x @ x.T}, kernels=("cosine",), matcher=matcher)
        np.save(folder / f"{name}.npy", np.arange(n) % 5)
    return folder


def peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kernel", ["cosine", "rbf"])
def test_a_heat_map_of_many_samples_takes_little_and_says_that_it_is_reduced(
    folder: Path, kernel: str
) -> None:
    path, memory = folder / "large.identity.rsm.h5", 280 * MIB
    options = PlotOptions(kernel=kernel, labels=str(folder / "large.npy"))
    figures = []

    def draw() -> None:
        figures[:] = []
        figures.append(draw_plot("heatmap", [str(path)], options, memory))
        render(figures[0], ".png")

    draw()  # what a first picture imports is not counted
    assert peak(draw) < memory
    svg = render(figures[0], ".svg")
    assert b"samples ordered by label; each cell is the mean of 2 x 2 entries" in svg
    [image] = figures[0].axes[0].images
    assert image.get_array().shape == (1500, 1500)
    assert image.get_extent() == [-0.5, 2999.5, 2999.5, -0.5]


@pytest.mark.parametrize(
    ("kind", "matchers", "options"),
    [
        ("heatmap", ("identity",), {}),
        ("heatmap", ("identity", "optimal"), {"order": "cluster"}),
        ("side-by-side", ("identity", "optimal"), {}),
        ("mds", ("identity", "optimal"), {}),
        ("dendrogram", ("identity",), {}),
    ],
)
@pytest.mark.parametrize("kernel", ["cosine", "linear"])
def test_a_number_that_is_needed_suffices_and_is_not_exceeded(
    folder: Path, kind: str, matchers: tuple[str, ...], options: dict, kernel: str
) -> None:
    paths = [str(folder / f"middle.{matcher}.rsm.h5") for matcher in matchers]
    asked = PlotOptions(kernel=kernel, **options)
    with pytest.raises(
        SemrsmError, match=f"drawing the {kind} of .* of 900 x 900 needs"
    ) as refused:
        draw_plot(kind, paths, asked, 10 * MIB)
    needed = parse_memory(re.findall(r"needs (\d+ .iB) and", str(refused.value))[0])
    render(draw_plot(kind, paths, asked, needed), ".png")
    assert peak(lambda: render(draw_plot(kind, paths, asked, needed), ".png")) < needed


def test_a_clustering_of_many_samples_is_refused_with_another_way(folder: Path) -> None:
    path = str(folder / "large.identity.rsm.h5")
    sentence = (
        r"clustering 3000 samples needs 4\d\d MiB and `memory` grants 300 MiB; .* another `order`"
    )
    with pytest.raises(SemrsmError, match=sentence):
        draw_plot("heatmap", [path], PlotOptions(order="cluster"), 300 * MIB)


def test_a_report_leaves_out_what_does_not_fit_and_says_so(folder: Path) -> None:
    paths = [str(folder / f"large.{matcher}.rsm.h5") for matcher in ("identity", "optimal")]
    page = build_report(paths, PlotOptions(), memory=400 * MIB)
    assert page.count("<img") == 1
    assert (
        len(re.findall(r"Left out: drawing the [a-z-]+ of 2 RSMs of 3000 x 3000 needs", page)) == 3
    )
    assert "`memory` grants 400 MiB" in page
    with pytest.raises(SemrsmError, match="a report of 2 RSMs of 3000 x 3000 needs"):
        build_report(paths, PlotOptions(), memory=100 * MIB)


def test_the_commands_take_memory(folder: Path, tmp_path: Path) -> None:
    path, out = folder / "small.identity.rsm.h5", tmp_path / "out.png"
    succeed("plot", path, "-o", out, "--memory", "100MiB")
    assert "needs 42 MiB and --memory grants 20 MiB; raise --memory or draw fewer layers" in fail(
        "plot", path, "-o", tmp_path / "b.png", "--kind", "mds", "--memory", "20MiB"
    )
    assert "memory must be a size" in fail("plot", path, "-o", tmp_path / "b.png", "--memory", "x")
    page = tmp_path / "r.html"
    assert "a report of an RSM of 200 x 200 needs" in fail(
        "report", path, "-o", page, "--memory", "20MiB"
    )
    succeed("report", path, "-o", page, "--memory", "400MiB")
    assert "Left out" not in page.read_text()
