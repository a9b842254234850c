"""Known values, and every measure against a slow one of its own on random and hostile RSMs."""

from itertools import permutations, product

import h5py
import numpy as np
import pytest
from scipy import stats

from semrsm.measures import MEASURES, matrices, rsa
from tests.measures.slow_measures import SLOW, pairs

N_SAMPLES = [12, 13, 17]


def gram(rng, n, d=20):
    x = rng.standard_normal((n, d))
    return x @ x.T


def symmetric(values):
    return np.tril(values) + np.tril(values, -1).T


HOSTILE = {
    "gram": lambda rng, n: gram(rng, n),
    "float32 with offset 1e3": lambda rng, n: (gram(rng, n) + 1e3).astype(np.float32),
    "float16": lambda rng, n: gram(rng, n).astype(np.float16),
    "ties": lambda rng, n: symmetric(rng.integers(0, 3, (n, n))) + 40 * np.eye(n, dtype=int),
    "integers, mostly negative": lambda rng, n: (
        symmetric(rng.integers(-90, 10, (n, n))) + 900 * np.eye(n)
    ),
    "indefinite": lambda rng, n: symmetric(rng.standard_normal((n, n))),
    "tiny": lambda rng, n: 1e-200 * gram(rng, n),
    "huge": lambda rng, n: 1e200 * gram(rng, n),
    "float32 cosine": lambda rng, n: np.corrcoef(rng.standard_normal((n, 30))).astype(np.float32),
}
INDEFINITE = {"ties", "integers, mostly negative", "indefinite"}
UNITS = {"tiny": 1e200, "huge": 1e-200}


CASES = [
    (name, kind)
    for name, kind in product(MEASURES, HOSTILE)
    if name != "nbs" or kind not in INDEFINITE
]


@pytest.mark.parametrize("n", N_SAMPLES)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_every_measure_equals_its_slow_twin(name, kind, n, rng) -> None:
    K, noise = HOSTILE[kind](rng, n), HOSTILE[kind](rng, n)
    L = ((K.astype(float) + noise) / 2).astype(K.dtype)
    unit = UNITS.get(kind, 1.0)
    expected = SLOW[name](K.astype(float) * unit, L.astype(float) * unit)
    assert MEASURES[name](K, L) == pytest.approx(expected, abs=2e-7)


def test_there_is_a_slow_twin_of_every_measure() -> None:
    assert list(SLOW.keys() ^ MEASURES.keys()) == []


@pytest.mark.parametrize("name", MEASURES)
def test_the_smallest_n_works(name, rng) -> None:
    n = MEASURES[name].min_samples
    K, L = gram(rng, n), gram(rng, n)
    assert MEASURES[name](K, L) == pytest.approx(SLOW[name](K, L), abs=1e-7)


@pytest.mark.parametrize("name", ["rsa-kendall-tau-a", "rsa-rho-a", "rsa-spearman", "rsa-pearson"])
def test_a_rare_tie_pattern(name) -> None:
    K = np.array([[9, 1, 1, 1], [1, 9, 1, 1], [1, 1, 9, 2], [1, 1, 2, 9.0]])
    L = np.array([[0, 5, 1, 1], [5, 0, 2, 1], [1, 2, 0, 5], [1, 1, 5, 0.0]])
    assert MEASURES[name](K, L) == pytest.approx(SLOW[name](K, L), abs=1e-12)


@pytest.fixture
def kornblith():
    draws = np.random.RandomState(1337)
    x = draws.randn(100, 10)
    return x, draws.randn(100, 10) + x


def test_the_values_of_the_notebook_of_kornblith(kornblith) -> None:
    x, y = kornblith
    assert f"{MEASURES['cka'](x @ x.T, y @ y.T):.5f}" == "0.55761"
    assert f"{MEASURES['cka-debiased'](x @ x.T, y @ y.T):.5f}" == "0.51346"


def test_the_rbf_value_of_the_notebook_of_kornblith(kornblith) -> None:
    rsms = []
    for x in kornblith:
        squared = ((x[:, None] - x) ** 2).sum(2)
        rsms.append(np.exp(-squared / (2 * 0.5**2 * np.median(squared))))
    assert f"{MEASURES['cka'](*rsms):.5f}" == "0.65483"


def test_biased_cka_of_unrelated_wide_features_is_near_one_and_debiased_near_zero(rng) -> None:
    rsms = [(gram(rng, 32, 1000), gram(rng, 32, 1000)) for _ in range(50)]
    assert np.mean([MEASURES["cka"](*both) for both in rsms]) == pytest.approx(0.969, abs=0.002)
    assert np.mean([MEASURES["cka-debiased"](*both) for both in rsms]) == pytest.approx(
        0.0, abs=0.02
    )


# rsatoolbox 0.3.2 (numpy 2.4.6, scipy 1.17.1): rsatoolbox.rdm.compare(RDMs(u), RDMs(v), method=...) with
# u, v the pairs i < j of A Aᵀ and B Bᵀ; for *_cov and bures their squared distances k_ii + k_jj - 2 k_ij.
A = np.array(
    [
        [1, 3, 2, 2, 1], [-3, -2, 2, -1, 2], [-2, -1, 3, 0, 2],
        [1, -3, -1, 0, 1], [3, 2, -1, 3, -1], [-1, -3, 0, -2, 1],
        [1, 3, 0, 3, 3], [-3, 2, 2, 2, -2], [-1, -2, 3, 1, 1],
    ]
)  # fmt: skip
B = np.array(
    [
        [2, 4, 1], [-4, -1, 2], [-2, -2, 4], [0, -2, 0], [2, 2, -2],
        [-1, -2, 0], [0, 3, 1], [-2, 3, 3], [-2, -3, 3],
    ]
)  # fmt: skip
RSATOOLBOX = {
    "rsa-pearson": 0.8195509936702734,  # corr
    "rsa-spearman": 0.8272428245828709,
    "rsa-rho-a": 0.823037323037323,
    "rsa-kendall-tau-a": 0.6190476190476191,
    "rsa-kendall-tau-b": 0.6441012786726522,
    "cosine": 0.8207765495393612,
    "cosine-whitened": 0.8461781117857217,  # cosine_cov
    "corr-whitened": 0.7925793161947243,  # corr_cov
}


@pytest.mark.parametrize("name", RSATOOLBOX)
def test_the_values_of_rsatoolbox(name) -> None:
    assert MEASURES[name](A @ A.T, B @ B.T) == pytest.approx(RSATOOLBOX[name], abs=1e-12)


def test_nbs_of_centred_rsms_is_the_bures_similarity_of_rsatoolbox() -> None:
    H = np.eye(9) - 1 / 9
    value = MEASURES["nbs"](H @ A @ A.T @ H, H @ B @ B.T @ H)
    assert value == pytest.approx(0.8637672113473436, abs=1e-7)


def test_rho_a_is_the_mean_spearman_over_all_ways_to_break_ties() -> None:
    K = np.array([[9, 1, 1, 0], [1, 9, 1, 0], [1, 1, 9, 0], [0, 0, 0, 9.0]])
    L = np.array([[9, 1, 2, 3], [1, 9, 4, 5], [2, 4, 9, 6], [3, 5, 6, 9.0]])
    zeros, ones = [2, 4, 5], [0, 1, 3]
    values = []
    for low, high in product(permutations([1, 2, 3]), permutations([4, 5, 6])):
        ranks = np.zeros(6)
        ranks[zeros], ranks[ones] = low, high
        values.append(np.corrcoef(ranks, pairs(L))[0, 1])
    assert MEASURES["rsa-rho-a"](K, L) == pytest.approx(np.mean(values), abs=1e-12)


def test_tied_neighbours_are_those_of_lower_index() -> None:
    K = symmetric(np.zeros((14, 14)))
    K[0, 13] = K[13, 0] = 1.0
    nearest = MEASURES["mutual-knn"].prepare(K).index
    assert nearest[0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 13]
    assert nearest[1].tolist() == [0, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert nearest[13].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


class RowsOnly:
    """An RSM that can do nothing but what measures may rely on."""

    def __init__(self, values) -> None:
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return self._values[rows].copy()


@pytest.mark.parametrize("name", MEASURES)
def test_blocks_of_rows_give_the_same_value_as_the_whole(name, rng, monkeypatch) -> None:
    K, L = gram(rng, 19), gram(rng, 19)
    whole = MEASURES[name](K, L)
    monkeypatch.setattr(matrices, "BLOCK_BYTES", 8 * 19 * 4)
    assert MEASURES[name](RowsOnly(K), RowsOnly(L)) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("name", ["cka", "cka-debiased", "corr-whitened"])
def test_entries_that_grow_down_the_rows_lose_no_digits(name, rng, monkeypatch) -> None:
    size = 2.0 ** np.arange(0, 38, 2)  # so that the scale found from the first rows is too small
    K, L = gram(rng, 19) * size * size[:, None], gram(rng, 19)
    whole = MEASURES[name](K, L)
    assert whole == pytest.approx(SLOW[name](K, L), abs=1e-9)
    monkeypatch.setattr(matrices, "BLOCK_BYTES", 8 * 19 * 2)
    assert MEASURES[name](K, L) == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize("name", ["cka", "cka-debiased", "corr-whitened"])
def test_what_centring_leaves_is_known_without_reading_it_again(name, rng) -> None:
    for rsm in (gram(rng, 19), gram(rng, 19) + 1e3, gram(rng, 19) + 30 * np.arange(19.0)):
        rsm = (rsm + rsm.T) / 2
        centred = MEASURES[name].prepare(rsm)
        left = centred.centre(slice(0, 19), rsm.copy())
        assert centred.norm == pytest.approx(np.linalg.norm(left), rel=1e-12)


@pytest.mark.parametrize("name", MEASURES)
def test_datasets_and_memory_maps_are_read(name, rng, tmp_path) -> None:
    K, L = (gram(rng, 15).astype(np.float32) for _ in range(2))
    np.save(tmp_path / "k.npy", K)
    with h5py.File(tmp_path / "l.h5", "w") as file:
        value = MEASURES[name](
            np.load(tmp_path / "k.npy", mmap_mode="r"), file.create_dataset("l", data=L)
        )
    assert value == MEASURES[name](K, L)


@pytest.mark.parametrize("name", MEASURES)
def test_inputs_are_left_as_they_are(name, rng) -> None:
    K, L = gram(rng, 15), gram(rng, 15)
    K.setflags(write=False)
    L.setflags(write=False)
    MEASURES[name](K, L)


def test_measures_that_share_preparation_share_what_is_prepared(rng) -> None:
    K, L = gram(rng, 9), gram(rng, 9)
    ranks = ["rsa-spearman", "rsa-rho-a", "rsa-kendall-tau-a", "rsa-kendall-tau-b"]
    assert len({MEASURES[name].prepare for name in ranks}) == 1
    a, b = MEASURES["rsa-spearman"].prepare(K), MEASURES["rsa-spearman"].prepare(L)
    for name in ranks:
        assert MEASURES[name].compare(a, b) == MEASURES[name](K, L)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ranks_are_those_of_scipy(dtype, rng) -> None:
    special = [-0.0, 0.0, 1e-45, -1e-45, 3e38, -3e38, 1.0, 1.0]
    values = np.concatenate([special, rng.standard_normal(99), rng.integers(-3, 3, 99)]).astype(
        dtype
    )
    rng.shuffle(values)
    ranks = rsa.centred_ranks(values)
    assert ranks.values.tolist() == (2 * stats.rankdata(values) - len(values) - 1).tolist()
    sizes = np.unique(values, return_counts=True)[1].tolist()
    assert ranks.tied_pairs == sum(t * (t - 1) // 2 for t in sizes)
    assert ranks.tied_cubes == sum(t**3 - t for t in sizes)
