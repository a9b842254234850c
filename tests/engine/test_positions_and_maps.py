"""From arrays to position vectors to maps, against plain NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from semrsm.engine.devices import Device, find_device
from semrsm.engine.maps import prepare, squared_norms, unscaled
from semrsm.engine.positions import positions_of, to_positions
from semrsm.errors import SemrsmError
from tests.helpers import vectors


def array(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape)


@given(shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple), data=st.data())
def test_positions_count_and_order_as_numpy_does(
    shape: tuple[int, ...], data: st.DataObject
) -> None:
    x = array(*shape)
    layout = data.draw(
        st.sampled_from(
            {2: ["nd"], 3: ["ntd", "ndt"], 4: ["nchw", "nhwc"], 5: ["ncdhw", "ndhwc"]}[len(shape)]
        )
    )
    expected = {
        "nd": lambda: x[:, None],
        "ntd": lambda: x,
        "ndt": lambda: x.transpose(0, 2, 1),
        "nchw": lambda: vectors(x),
        "nhwc": lambda: x.reshape(shape[0], -1, shape[-1]),
        "ncdhw": lambda: x.reshape(*shape[:2], -1).transpose(0, 2, 1),
        "ndhwc": lambda: x.reshape(shape[0], -1, shape[-1]),
    }[layout]()
    positions = positions_of(shape, layout)
    found = to_positions(torch.from_numpy(x), positions)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.is_contiguous()
    assert (positions.count(shape), positions.channels(shape)) == expected.shape[1:]


@pytest.mark.parametrize(("side", "pool"), [(4, 2), (6, 3), (7, 7), (5, 1), (5, 2), (7, 4)])
def test_pooling_is_the_mean_of_cells_that_cover_the_grid(side: int, pool: int) -> None:
    x = array(2, 3, side, side + 1)
    found = to_positions(torch.from_numpy(x), positions_of(x.shape, pool=(pool, 1)))
    for cell in range(pool):
        part = x[:, :, cell * side // pool : -(-(cell + 1) * side // pool)]
        np.testing.assert_allclose(found[:, cell], part.mean(axis=(2, 3)))


@pytest.mark.parametrize("layout", ["ncdhw", "ndhwc"])
def test_volumes_are_pooled_along_three_axes(layout: str) -> None:
    x = array(2, 3, 4, 5, 7)
    stored = x if layout == "ncdhw" else x.transpose(0, 2, 3, 4, 1)
    found = to_positions(
        torch.from_numpy(stored), positions_of(stored.shape, layout, pool=(2, 1, 7))
    )
    expected = x.reshape(2, 3, 2, 2, 5, 7).mean((3, 4)).reshape(2, 3, 14).transpose(0, 2, 1)
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(
    ("shape", "options", "says"),
    [
        ((3,), {}, "wanted 2, 3, 4 or 5 dimensions, got 1"),
        ((3, 4, 5), {"layout": "nchw"}, "'nchw' has 4 dimensions, the array 3"),
        ((3, 4, 5), {"layout": "nct"}, "no layout 'nct'"),
        ((3, 0, 5), {}, "is empty"),
        ((3, 4, 5), {"skip_tokens": 4}, "leaves none of 4 tokens"),
        ((3, 4, 5), {"skip_tokens": 5, "layout": "ndt"}, "leaves none of 5 tokens"),
        ((3, 4), {"skip_tokens": 1}, "for token sequences"),
        ((3, 4, 5), {"pool": (2, 2)}, "`pool` is for maps with a grid, layout 'ntd' has none"),
        ((3, 4, 5, 5), {"pool": (6, 2)}, "got one of 5x5"),
        ((3, 4, 2, 5, 5), {"pool": (3, 2, 2)}, "got one of 2x5x5"),
        ((3, 4, 2, 5, 5), {"pool": (2, 2)}, "does not fit a grid of 2x5x5; give `pool='DxHxW'`"),
        ((3, 4, 5, 5), {"pool": (2, 2, 2)}, "does not fit a grid of 5x5; give `pool='HxW'`"),
        ((3, 4, 2, 5, 5), {"skip_tokens": 1}, "for token sequences"),
    ],
)
def test_what_cannot_be_read_as_positions(shape: tuple, options: dict, says: str) -> None:
    with pytest.raises(SemrsmError, match=says):
        positions_of(shape, **options)


@given(
    scale=st.sampled_from([1e-38, 1e-20, 1e-3, 1.0, 1e4, 1e30]),
    centred=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    n_channels=st.sampled_from([4, 9]),
    seed=st.integers(0, 99),
)
def test_maps_hold_what_they_were_made_of(
    scale: float, centred: bool, dtype: torch.dtype, n_channels: int, seed: int
) -> None:
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(3, 5, n_channels)) * scale)
    maps = prepare(x, centred=centred, dtype=dtype)
    assert maps.values.dtype == (torch.float64 if n_channels == 4 else dtype)
    assert maps.values.abs().max() <= 2
    mean = 0 if maps.mean is None else maps.mean[:, None]
    again = (maps.values.double() + mean) * maps.scale[:, None, None]
    tolerance = 1e-7 if dtype == torch.float32 else 1e-15
    torch.testing.assert_close(again / scale, x / scale, rtol=0, atol=4 * tolerance)
    torch.testing.assert_close(maps.squared_norm, x.square().sum((1, 2)), rtol=1e-14, atol=0)
    assert torch.equal(maps.squared_norm, squared_norms(x))
    assert (torch.log2(maps.scale) % 1 == 0).all()
    assert not centred or maps.values.double().mean(1).abs().max() <= 4 * tolerance


def test_unscaled_sums_are_inner_products() -> None:
    x, y = (torch.from_numpy(array(3, 6, 2)) * s for s in (1e-3, 1e5))
    rows, columns = prepare(x, centred=True), prepare(y, centred=True)
    pairs = torch.tensor([[0, 2], [2, 1], [1, 1]])
    sums = (rows.values[pairs[:, 0]].double() * columns.values[pairs[:, 1]].double()).sum((1, 2))
    expected = (x[pairs[:, 0]] * y[pairs[:, 1]]).sum((1, 2))
    torch.testing.assert_close(unscaled(sums, rows, columns, pairs), expected, rtol=1e-6, atol=1e-4)


def test_a_map_of_zeros_stays_zeros() -> None:
    maps = prepare(torch.zeros(2, 3, 4), centred=True)
    assert (maps.values == 0).all()
    assert (maps.squared_norm == 0).all()


def test_devices_are_taken_at_their_word() -> None:
    assert find_device("cpu") == Device()
    assert find_device("auto").kind == ("cuda" if torch.cuda.is_available() else "cpu")
    assert Device().describe() == str(Device()) == "cpu"
    with pytest.raises(SemrsmError, match="`device='cuda:99'`, but torch sees"):
        find_device("cuda:99")
