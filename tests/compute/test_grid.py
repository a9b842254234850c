"""The grid: every pair once, the same tiles everywhere, balanced parts, few samples read twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semrsm.compute.grid import FEW, LARGEST_EDGE, Grid, edge_for, reading_order, shard_of
from semrsm.engine.matchers import MATCHERS
from semrsm.engine.tiles import Tile

sizes = st.integers(1, 40)


def grid_of(n: int, m: int, symmetric: bool, edge: int) -> Grid:
    return Grid(n, n if symmetric else m, symmetric, edge)


grids = st.builds(grid_of, sizes, sizes, st.booleans(), st.integers(1, 12))


@given(grid=grids)
def test_the_tiles_hold_every_pair_once(grid: Grid) -> None:
    pairs = [
        (i, j)
        for tile in grid.tiles
        for i in tile.rows
        for j in tile.columns
        if not tile.symmetric_diagonal or i < j
    ]
    assert len(pairs) == len(set(pairs)) == grid.n_pairs
    assert sum(tile.n_pairs for tile in grid.tiles) == grid.n_pairs
    assert len({grid.place(tile) for tile in grid.tiles}) == len(grid.tiles)


def part_of(grid: Grid, part: int, parts: int) -> tuple[Tile, ...]:
    """Return a part of a run of one layer."""
    return shard_of({"layer": grid}, {"layer": 1.0}, part, parts).get("layer", ())


@given(
    layers=st.lists(st.tuples(grids, st.sampled_from([1e-9, 1.0, 50.0])), min_size=1, max_size=3),
    parts=st.integers(1, 9),
)
def test_the_parts_hold_every_tile_once_and_about_as_much_work(
    layers: list[tuple[Grid, float]], parts: int
) -> None:
    named = {f"layer{k}": grid for k, (grid, _) in enumerate(layers)}
    costs = {f"layer{k}": cost for k, (_, cost) in enumerate(layers)}
    shards = [shard_of(named, costs, part, parts) for part in range(1, parts + 1)]
    for name, grid in named.items():
        tiles = [tile for shard in shards for tile in shard.get(name, ())]
        assert len(tiles) == len(grid.tiles)
        assert set(tiles) == set(grid.tiles)

    def work(name: str, tiles: tuple[Tile, ...]) -> float:
        return costs[name] * sum(tile.n_pairs for tile in tiles)

    total = sum(work(name, grid.tiles) for name, grid in named.items())
    largest = max(work(name, (tile,)) for name, grid in named.items() for tile in grid.tiles)
    for shard in shards:
        share = sum(work(name, tiles) for name, tiles in shard.items())
        assert abs(share - total / parts) <= largest * (1 + 1e-9)


@given(grid=grids, held=st.integers(2, 12), parts=st.integers(1, 3))
def test_an_order_to_read_in_holds_the_same_tiles(grid: Grid, held: int, parts: int) -> None:
    tiles = part_of(grid, 1, parts)
    ordered = reading_order(grid, tiles, held)
    assert len(ordered) == len(tiles)
    assert set(ordered) == set(tiles)


def blocks_read(order: list, held: int) -> int:
    """Count the blocks that are read when the ones used last are kept."""
    kept: list[range] = []
    read = 0
    for tile in order:
        for block in dict.fromkeys((tile.rows, tile.columns)):
            if block in kept:
                kept.remove(block)
            else:
                read += 1
            kept.append(block)
            del kept[: max(0, len(kept) - held)]
    return read


@pytest.mark.parametrize("held", [4, 10, 22, 40])
def test_a_block_is_read_for_as_many_tiles_as_memory_allows(held: int) -> None:
    grid = Grid(40, 40, symmetric=True, edge=1)
    read = blocks_read(reading_order(grid, grid.tiles, held), held)
    groups = -(-40 // (held - 2))
    assert read <= 40 + 40 * groups / 2 + 2 * groups if held < 40 else read == 40


def test_a_part_reads_few_of_the_samples() -> None:
    grid = Grid(256, 256, symmetric=True, edge=1)
    for part in (1, 40, 64):
        tiles = part_of(grid, part, 64)
        blocks = {block.start for tile in tiles for block in (tile.rows, tile.columns)}
        assert len(tiles) > 500
        assert len(blocks) < 90


@given(n=st.integers(1, 100_000), s=st.integers(1, 4096), matcher=st.sampled_from(sorted(MATCHERS)))
def test_an_edge_is_a_power_of_two_and_its_tile_takes_a_minute_at_most(
    n: int, s: int, matcher: str
) -> None:
    row = MATCHERS[matcher]
    edge = edge_for(n, s, row)
    assert edge & (edge - 1) == 0
    assert 1 <= edge <= LARGEST_EDGE
    assert edge == 1 or edge < 2 * n
    core_seconds = min(edge, n) ** 2 * row.pair_seconds(s)
    assert edge == 1 or core_seconds <= 120
    # What is worth sharing between processes can be shared.
    if edge > 1 and core_seconds / 4 >= 1.5:
        assert -(-n // edge) >= FEW


def test_the_tiles_of_the_layers_of_a_resnet() -> None:
    edges = [edge_for(10_000, s, MATCHERS["optimal"]) for s in (49, 196, 784, 3136)]
    assert edges == [512, 128, 64, 16]
    assert edge_for(24, 49, MATCHERS["optimal"]) == 32
    assert edge_for(20_000, 1, MATCHERS["identity"]) == 1024
