"""Tables of measures: what is in them, that each RSM is prepared once, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.compare import ComparisonTable, Inference, compare, pairs
from semrsm.compare.plan import ComparisonPlan, plan_comparison
from semrsm.compare.samples import ComparedRsm, as_compared
from semrsm.errors import SemrsmError
from semrsm.measures import MEASURES, Measure, matrices
from semrsm.measures.inference import bootstrap, permutation_test
from semrsm.rsms import Rsm, open_rsms
from tests.helpers import write_rsm
from tests.measures.slow_measures import SLOW

GIB = 2**30


def gram(rng: np.random.Generator, n: int = 14, d: int = 5) -> np.ndarray:
    x = rng.normal(size=(n, d))
    return x @ x.T


def save(path: Path, matrix: np.ndarray) -> Path:
    np.save(path, matrix)
    return path


def values(table: ComparisonTable) -> dict[tuple[str, str | None, str, str | None, str], float]:
    keys = ("a", "layer_a", "b", "layer_b", "measure")
    return {tuple(r[k] for k in keys): r["value"] for r in table.records()}


@pytest.fixture
def two_files(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    a = write_rsm(tmp_path / "a.rsm.h5", {f"layer{i}": gram(rng) for i in (1, 2, 3)})
    b = write_rsm(tmp_path / "b.rsm.h5", {f"layer{i}": gram(rng) for i in (2, 3, 4, 5)})
    return a, b


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_gives_what_it_gives_for_arrays(
    name: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    K, L = gram(rng, 20), gram(rng, 20)
    table = compare([save(tmp_path / "K.npy", K), save(tmp_path / "L.npy", L)], measures=[name])
    [record] = table.records()
    assert record["value"] == pytest.approx(MEASURES[name](K, L), abs=1e-12)
    assert record["reason"] is None


def test_two_files_give_all_pairs_of_layers(two_files: tuple[Path, Path]) -> None:
    a, b = two_files
    found = values(compare(two_files))
    assert len(found) == 3 * 4 * 2
    K = open_rsms(a)[2].values()
    L = open_rsms(b)[0].values()
    expected = MEASURES["cka-debiased"](K, L)
    assert found[str(a), "layer3", str(b), "layer2", "cka-debiased"] == pytest.approx(expected)


def test_matched_layers_are_those_with_equal_names(two_files: tuple[Path, Path]) -> None:
    table = compare(two_files, matched_layers=True)
    assert [(k[1], k[3]) for k in values(table)][::2] == [("layer2",) * 2, ("layer3",) * 2]
    assert all(name in table.notes[0] for name in ("a.rsm.h5::layer1", "layer4", "layer5"))
    with pytest.raises(SemrsmError, match=r"no layer of .*a.rsm.h5 has its name in .*b.rsm.h5"):
        compare([f"{two_files[0]}::layer1", two_files[1]], matched_layers=True)


def test_layers_are_chosen_by_globs_also_of_plain_matrices(
    two_files: tuple[Path, Path], tmp_path: Path, rng: np.random.Generator
) -> None:
    plain = tmp_path / "c.npz"
    np.savez(plain, layer2=gram(rng), other=gram(rng))
    found = values(compare([two_files[0], plain], layers=("layer[23]",)))
    assert {(k[1], k[3]) for k in found} == {("layer2", "layer2"), ("layer3", "layer2")}
    with pytest.raises(SemrsmError, match=r"c.npz: there is no layer 'layer1'"):
        compare([two_files[0], plain], layers=("layer1",))


def test_a_file_with_itself_gives_a_symmetric_table_of_ones_on_the_diagonal(
    two_files: tuple[Path, Path],
) -> None:
    alone, twice = compare(two_files[:1]), compare([two_files[0]] * 2)
    assert values(alone) == values(twice)
    found = values(alone)
    assert len(found) == 3 * 3 * 2
    for (a, layer_a, b, layer_b, measure), value in found.items():
        assert value == found[b, layer_b, a, layer_a, measure]
        assert (value == pytest.approx(1, abs=1e-12)) == (layer_a == layer_b)


def test_many_files_give_the_model_by_model_table(tmp_path: Path, rng: np.random.Generator) -> None:
    files = [save(tmp_path / f"m{i}.npy", gram(rng)) for i in range(4)]
    found = values(compare([*files, files[0]], measures=["rsa-spearman", "cknna"]))
    assert len(found) == 4 * 4 * 2
    K, L = np.load(files[3]), np.load(files[1])
    for measure in ("rsa-spearman", "cknna"):
        assert found[str(files[3]), None, str(files[1]), None, measure] == pytest.approx(
            MEASURES[measure](K, L)
        )


def test_of_many_files_matched_layers_are_paired_across_all(two_files: tuple[Path, Path]) -> None:
    table = compare([*two_files, f"{two_files[0]}::layer1"], matched_layers=True, measures=["cka"])
    assert all(k[1] == k[3] for k in values(table))
    assert len([k for k in values(table) if k[1] == "layer2"]) == 4


def test_kernels_are_finished_on_the_fly(tmp_path: Path, rng: np.random.Generator) -> None:
    K, L = gram(rng), gram(rng)
    a, b = (write_rsm(tmp_path / f"{n}.rsm.h5", {"x": m}) for n, m in (("a", K), ("b", L)))
    norms = [np.sqrt(np.outer(m.diagonal(), m.diagonal())) for m in (K, L)]
    [record] = compare([a, b], measures=["cka"], kernel="cosine").records()
    assert record["kernel"] == "cosine"
    assert record["value"] == pytest.approx(MEASURES["cka"](K / norms[0], L / norms[1]))
    [record] = compare([a], measures=["cka"], kernel_b="cosine").records()
    assert record["kernel"] == "linear/cosine"
    assert record["value"] == pytest.approx(MEASURES["cka"](K, K / norms[0]), abs=1e-6)


def test_without_a_kernel_all_files_take_the_one_that_the_first_stores(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    a = write_rsm(tmp_path / "a.rsm.h5", {"x": gram(rng)}, kernels=["rbf"])
    b = write_rsm(tmp_path / "b.rsm.h5", {"x": gram(rng)}, kernels=["linear"])
    plain = save(tmp_path / "c.npy", gram(rng))
    assert {r["kernel"] for r in compare([a, b]).records()} == {"rbf"}
    assert {r["kernel"] for r in compare([plain, b]).records()} == {"linear"}
    assert {r["kernel"] for r in compare([plain, a, b], kernel="cosine").records()} == {
        None,
        "cosine",
    }


def test_distances_are_compared_as_the_inner_products_they_come_from(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    K, L = gram(rng, 20), gram(rng, 20)
    D, E = (m.diagonal()[:, None] + m.diagonal() - 2 * m for m in (K, L))
    a, b = save(tmp_path / "D.npy", D), save(tmp_path / "E.npy", E)
    found = values(compare([a, b], distance=True, measures=["cka", "cka-debiased", "rsa-spearman"]))
    expected = [MEASURES[m](K, L) for m in ("cka", "cka-debiased")]
    expected.append(MEASURES["rsa-spearman"](D, E))
    np.testing.assert_allclose(list(found.values()), expected, rtol=1e-10)
    other = write_rsm(tmp_path / "k.rsm.h5", {"x": L})
    [record] = compare([a, other], distance=True, measures=["cka"]).records()
    assert record["value"] == pytest.approx(MEASURES["cka"](K, L), abs=1e-6)


@given(st.permutations(range(9)), st.sets(st.integers(0, 8), min_size=5), st.booleans())
def test_aligned_rsms_are_those_of_the_common_samples(
    order: list[int], kept: set[int], blocks: bool
) -> None:
    rng = np.random.default_rng(5)
    K, L = gram(rng, 9), gram(rng, 9)
    mine = [i for i in range(9) if i in kept]
    rows = (np.asarray(mine), np.asarray(order))
    rsms = [
        rsm_in_memory(m[np.ix_(r, r)], [f"s{i}" for i in r])
        for m, r in zip((K, L), rows, strict=True)
    ]
    a, b = as_compared(rsms, align=True)
    assert a.shape == b.shape == (len(mine), len(mine))
    read = [m[0:2] if blocks else m.loaded() for m in (a, b)]
    for found, whole in zip(read, (K, L), strict=True):
        np.testing.assert_array_equal(found, whole[np.ix_(mine, mine)][: len(found)])


def rsm_in_memory(matrix: np.ndarray, samples: list[str] | None) -> Rsm:
    return Rsm(Path("m.npy"), None, None, None, matrix.shape, True, samples, matrix.__getitem__)


def test_aligning_says_how_many_samples_are_left(tmp_path: Path, rng: np.random.Generator) -> None:
    K = gram(rng, 12)
    a = write_rsm(tmp_path / "a.rsm.h5", {"x": K}, samples=[f"s{i}" for i in range(12)])
    rows = np.array([11, 4, 0, 7, 5, 1, 2])
    names = [f"s{i}" for i in rows] + ["new"]
    L = gram(rng, 8)
    L[:7, :7] = K[np.ix_(rows, rows)]
    b = write_rsm(tmp_path / "b.rsm.h5", {"x": L}, samples=names)
    table = compare([a, b], align=True)
    assert "aligned 7 samples" in table.notes[0]
    np.testing.assert_allclose([r["value"] for r in table.records()], 1, atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs", "says"),
    [
        (None, ["a", "b"], "no sample ids"),
        (["a", "a"], ["a", "b"], "'a' twice"),
        (["a", "b"], ["c", "d"], "in common"),
    ],
)
def test_what_cannot_be_aligned(ours: list[str], theirs: list[str], says: str) -> None:
    with pytest.raises(SemrsmError, match=says):
        as_compared([rsm_in_memory(np.eye(2), ours), rsm_in_memory(np.eye(2), theirs)], align=True)


def test_a_square_matrix_of_queries_and_gallery_is_refused() -> None:
    rectangular = replace(rsm_in_memory(np.eye(5), None), symmetric=False)
    with pytest.raises(SemrsmError, match=r"is rectangular \(5 x 5\)"):
        as_compared([rectangular, rsm_in_memory(np.eye(5), None)])


def test_intervals_and_p_values_are_those_of_the_arrays(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    K, L = gram(rng), gram(rng)
    files = [save(tmp_path / "K.npy", K), save(tmp_path / "L.npy", L)]
    inference = Inference(n_resamples=50, n_permutations=30, seed=3)
    [record] = compare(files, measures=["rsa-pearson"], inference=inference).records()
    interval = bootstrap(MEASURES["rsa-pearson"], K, L, 50, seed=3)
    assert (record["low"], record["high"]) == (interval.low, interval.high)
    assert record["p"] == permutation_test(MEASURES["rsa-pearson"], K, L, 30, seed=3).p
    assert record["seed"] == 3


def test_an_interval_that_cannot_be_has_a_reason_and_leaves_the_value(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    file = save(tmp_path / "K.npy", gram(rng, 4))
    table = compare([file], measures=["cka-debiased"], inference=Inference(n_resamples=50))
    [record] = table.records()
    assert record["value"] == pytest.approx(1)
    assert record["low"] is None
    assert "undefined for" in record["reason"]


def test_constant_rsms_are_left_empty_with_the_reason(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    a = save(tmp_path / "a.npy", gram(rng))
    b = write_rsm(tmp_path / "b.rsm.h5", {"layer2": gram(rng), "layer3": np.ones((14, 14))})
    records = compare([a, b], measures=["cka", "rsa-spearman"], memory=GIB).records()
    assert [r["value"] is None for r in records] == [False, False, True, True]
    for record in records[2:]:
        assert record["reason"].startswith(f"layer3 of {b} is constant")
    with pytest.raises(SemrsmError, match=r"^layer3 of .*b.rsm.h5 is constant"):
        compare([a, f"{b}::layer3"])


class Counting:
    """A measure's `prepare` that counts how often each RSM is prepared, and reads as that one does."""

    def __init__(self, measure: Measure) -> None:
        self.times: dict[bytes, int] = {}
        self._prepare = measure.prepare

    def __call__(self, matrix: matrices.Matrix) -> object:
        key = np.asarray(matrix[0:1]).tobytes()
        self.times[key] = self.times.get(key, 0) + 1
        return self._prepare(matrix)


@pytest.mark.parametrize(("rows_at_once", "most"), [(99, 1), (2, 2), (1, 3)])
def test_each_rsm_is_prepared_once_where_memory_allows(
    rows_at_once: int,
    most: int,
    two_files: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = values(compare(two_files, measures=["rsa-spearman"]))
    counting = Counting(MEASURES["rsa-spearman"])
    counted = replace(MEASURES["rsa-spearman"], prepare=counting)
    monkeypatch.setitem(MEASURES, "rsa-spearman", counted)
    plan = ComparisonPlan(False, {counting: rows_at_once})
    monkeypatch.setattr(pairs, "plan_comparison", lambda *_, **__: plan)
    assert values(compare(two_files, measures=["rsa-spearman"])) == expected
    assert len(counting.times) == 7
    assert max(counting.times.values()) == most


def test_a_table_read_by_blocks_is_the_one_read_at_once(
    two_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {
        "measures": [m for m in MEASURES if m != "nbs"],
        "inference": Inference(n_resamples=3, n_permutations=3),
        "matched_layers": True,
    }
    whole = compare(two_files, **options).records()
    prepares = {row.prepare: 2 for row in MEASURES.values()}
    plan = ComparisonPlan(False, prepares)
    monkeypatch.setattr(pairs, "plan_comparison", lambda *_, **__: plan)
    monkeypatch.setattr(matrices, "BLOCK_BYTES", 8 * 14 * 3)
    for one, other in zip(whole, compare(two_files, **options).records(), strict=True):
        for key in ("value", "low", "high", "p"):
            assert one[key] == pytest.approx(other[key], abs=1e-12)
        assert one["reason"] == other["reason"]


def test_the_plan_holds_less_where_less_memory_is_granted() -> None:
    n = 4000
    rsms = as_compared([rsm_in_memory(np.zeros((n, n), np.float32), None)] * 6)
    prepare = MEASURES["rsa-spearman"].prepare
    spearman, cka = ({MEASURES[name].prepare: [MEASURES[name]]} for name in ("rsa-spearman", "cka"))
    roomy = plan_comparison(rsms, spearman, memory=8 * GIB)
    tight = plan_comparison(rsms, spearman, memory=GIB)
    assert roomy.loaded
    assert not tight.loaded
    assert roomy.rows[prepare] > tight.rows[prepare] >= 1
    with pytest.raises(
        SemrsmError, match=r"4000 samples like this needs 586 MiB and `memory` grants"
    ):
        plan_comparison(rsms, spearman, memory=GIB // 2)
    with pytest.raises(SemrsmError, match="`memory`"):
        plan_comparison(rsms, spearman, resample=True, memory=GIB * 7 // 8)
    plan_comparison(rsms, spearman, memory=GIB * 7 // 8)
    plan_comparison(rsms, cka, memory=GIB // 4)


def test_as_many_neighbours_count_as_are_asked_for(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    K, L = gram(rng, 23), gram(rng, 23)
    files = [save(tmp_path / "K.npy", K), save(tmp_path / "L.npy", L)]
    names = ["mutual-knn", "jaccard-knn", "cknna", "cka"]
    records = compare(files, measures=names, neighbours=4).records()
    expected = [SLOW[name](K, L, 4) for name in names[:3]] + [SLOW["cka"](K, L)]
    assert [r["value"] for r in records] == pytest.approx(expected, abs=1e-9)
    assert [r["neighbours"] for r in records] == [4, 4, 4, None]
    assert "neighbours" not in compare(files, measures=names).records()[0]
    with pytest.raises(SemrsmError, match=r"at least 24 samples, got 23, for 22 nearest"):
        compare(files, measures=["mutual-knn"], neighbours=22)
    with pytest.raises(SemrsmError, match="neighbours must be at least 1"):
        compare(files, measures=["mutual-knn"], neighbours=0)
    with pytest.raises(SemrsmError, match="`neighbours` is for mutual-knn, jaccard-knn, cknna"):
        compare(files, neighbours=3)


@pytest.mark.parametrize(("at_once", "most"), [(99, 2), (4, 5), (2, 8)])
def test_a_table_of_the_cka_family_reads_each_rsm_once_beside_preparing_it(
    at_once: int,
    most: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rng: np.random.Generator,
) -> None:
    rsms = [gram(rng) for _ in range(7)]
    files = [save(tmp_path / f"{k}.npy", rsm) for k, rsm in enumerate(rsms)]
    names = ["cka", "cosine-whitened"]
    plan = ComparisonPlan(False, {MEASURES["cka"].prepare: 2}, at_once)
    monkeypatch.setattr(pairs, "plan_comparison", lambda *_, **__: plan)
    read: dict[str, int] = {}

    def counted(self: ComparedRsm, rows: slice) -> np.ndarray:
        block = self.read(rows)
        read[self.name] = read.get(self.name, 0) + len(block)
        return block

    monkeypatch.setattr(ComparedRsm, "__getitem__", counted)
    records = compare(files, measures=names).records()
    assert len(records) == 2 * 49
    for record in records:
        K, L = (rsms[int(Path(record[side]).stem)] for side in "ab")
        assert record["value"] == pytest.approx(MEASURES[record["measure"]](K, L), abs=1e-12)
    assert len(read) == 7
    assert max(read.values()) <= most * len(rsms[0])


@pytest.mark.parametrize("name", [m.name for m in MEASURES.values() if m.compare_many])
def test_many_at_once_are_what_they_are_one_by_one(
    name: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    measure, n = MEASURES[name], 17
    monkeypatch.setattr(matrices, "BLOCK_BYTES", 8 * n * 5)
    rsms = [gram(rng, n) * scale for scale in (1e-200, 1.0, 1e150, 3.0)]
    prepared = [measure.prepare(rsm) for rsm in rsms]
    pairs = [(0, 1), (3, 0), (2, 2), (1, 3)]
    assert measure.compare_many is not None
    values = measure.compare_many(prepared, pairs)
    expected = [measure.compare(prepared[i], prepared[j]) for i, j in pairs]
    # An angle near 0 has half the digits of its cosine.
    assert values == pytest.approx(expected, abs=1e-6 if measure.range[0] == 0 else 1e-12)
