"""The grid of a layer: its tiles, the same in every process on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from semrsm.engine.tiles import Tile, blocks_of

if TYPE_CHECKING:
    from semrsm.engine.matchers import Matcher

LARGEST_EDGE = 1024  # samples: a tile is 8 MB then
MOST_POSITIONS = (
    1 << 20
)  # of the samples of an edge: a few hundred MB, so that memory rarely cuts a tile
AIM = 32.0  # core seconds of a tile: some seconds to half a minute on two cores
LEAST = 0.5  # core seconds below which a tile is not made smaller to give work to more processes
MOST = 120.0  # core seconds above which a tile is not made larger to have fewer of them
FEW, MANY = 8, 256  # blocks of a layer: fewer leave processes idle, more make very many files


@dataclass(frozen=True)
class Grid:
    """How the pairs of a layer are cut into tiles.

    Attributes:
        n_rows: Row samples.
        n_columns: Column samples.
        symmetric: Rows and columns are the same samples; only tiles on or above the diagonal exist.
        edge: Row and column samples of a tile, fewer at the ends.
    """

    n_rows: int
    n_columns: int
    symmetric: bool
    edge: int

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """Every tile, row of tiles by row."""
        return tuple(
            Tile(rows, columns, self.symmetric and rows == columns)
            for rows in blocks_of(range(self.n_rows), self.edge)
            for columns in blocks_of(range(self.n_columns), self.edge)
            if not self.symmetric or rows.start <= columns.start
        )

    @property
    def n_pairs(self) -> int:
        """How many pairs are solved."""
        return (
            self.n_rows * (self.n_rows - 1) // 2 if self.symmetric else self.n_rows * self.n_columns
        )

    def place(self, tile: Tile) -> tuple[int, int]:
        """Return the row and the column of a tile in the grid."""
        return tile.rows.start // self.edge, tile.columns.start // self.edge


def edge_for(n: int, n_positions: int, matcher: Matcher) -> int:
    """Return the edge of a tile, a power of two: the work of a tile is some seconds to a minute.

    It depends on nothing else, neither the machine nor its memory nor the number of processes: so
    all of them make the same tiles.

    Args:
        n: Row or column samples, whichever are more.
        n_positions: S.
        matcher: A row of MATCHERS; its `pair_seconds` is about what a pair takes.

    >>> from semrsm.engine.matchers import MATCHERS
    >>> [edge_for(10_000, S, MATCHERS["optimal"]) for S in (49, 196, 784, 3136)]
    [512, 128, 64, 16]
    >>> edge_for(24, 3136, MATCHERS["optimal"]), edge_for(20_000, 1, MATCHERS["identity"])
    (2, 1024)
    """
    pair = matcher.pair_seconds(n_positions)

    def work(edge: int) -> float:
        return min(edge, n) ** 2 * pair

    largest = max(1, min(LARGEST_EDGE, MOST_POSITIONS // n_positions))
    edge = 1
    while 2 * edge <= largest and edge < n and work(2 * edge) <= AIM:
        edge *= 2
    while edge > 1 and n < FEW * edge and work(edge // 2) >= LEAST:
        edge //= 2
    while 2 * edge <= largest and n > MANY * edge and work(2 * edge) <= MOST:
        edge *= 2
    return edge


def shard_of(
    grids: Mapping[str, Grid], pair_costs: Mapping[str, float], part: int, parts: int
) -> dict[str, tuple[Tile, ...]]:
    """Return one of several parts of a run, which together hold every tile of every layer once.

    The tiles are taken layer by layer along a curve that stays near where it was (Morton's order), so
    a part reads few layers and few samples, and cut where the work done reaches the part's share.

    Args:
        grids: The tiles of each layer.
        pair_costs: About what a pair of each layer takes, in any unit.
        part: Which, from 1.
        parts: How many there are.

    Returns:
        The tiles of each layer that has any in this part.

    >>> grids = {"a": Grid(5, 5, symmetric=True, edge=1), "b": Grid(5, 5, symmetric=True, edge=1)}
    >>> [{name: len(tiles) for name, tiles in shard_of(grids, {"a": 3, "b": 1}, part, 2).items()}
    ...  for part in (1, 2)]
    [{'a': 11}, {'a': 4, 'b': 15}]
    """
    ordered = [
        (name, tile, tile.n_pairs * pair_costs[name])
        for name, grid in grids.items()
        for tile in sorted(grid.tiles, key=lambda tile: _morton(*grid.place(tile)))
    ]
    total, done = sum(cost for _, _, cost in ordered), 0.0
    chosen: dict[str, list[Tile]] = {}
    for name, tile, cost in ordered:
        # A tile belongs to the part in which its middle pair lies; one of no pairs may lie behind all.
        middle = int(parts * (done + cost / 2) / total) if total else 0
        if min(middle, parts - 1) == part - 1:
            chosen.setdefault(name, []).append(tile)
        done += cost
    return {name: tuple(tiles) for name, tiles in chosen.items()}


def _morton(row: int, column: int) -> int:
    """Interleave the bits of a row and a column."""
    return sum(
        ((row >> bit & 1) << (2 * bit + 1)) | ((column >> bit & 1) << (2 * bit))
        for bit in range(max(row, column).bit_length())
    )


def reading_order(grid: Grid, tiles: Iterable[Tile], cached_blocks: int) -> list[Tile]:
    """Order tiles so that each block of samples is read for as many of them as are kept in memory.

    Groups of row blocks stay in memory while the column blocks pass by, to and fro. Where all blocks
    stay, the small tiles come last, so that processes end at about the same time.

    Args:
        grid: The grid of the tiles.
        tiles: Some of its tiles.
        cached_blocks: Blocks that are kept at once.
    """
    group = max(1, cached_blocks - 2)  # one column block in work and one that is being read

    def key(tile: Tile) -> tuple[int, int, int]:
        row, column = grid.place(tile)
        forth = row // group % 2 == 0
        return row // group, column if forth else -column, row if column % 2 == 0 else -row

    ordered = sorted(tiles, key=key)
    rows, columns = (-(-n // grid.edge) for n in (grid.n_rows, grid.n_columns))
    if cached_blocks >= (rows if grid.symmetric else rows + columns):
        ordered.sort(key=lambda tile: -tile.n_pairs)
    return ordered
