"""The CPU: many small chunks, each in a thread of its own, that stay in the caches."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from semrsm.engine.alike import alike
from semrsm.engine.blocks import Block, Source, box_of, read_again
from semrsm.engine.maps import prepare, unscaled
from semrsm.engine.pairs import (
    MatchedPairs,
    Work,
    alike_again,
    pair_bytes,
    pairs_of,
    solved_again,
    upper_bounds,
)
from semrsm.engine.products import sums_of_matched
from semrsm.engine.tiles import Budget, LayerSize, Tile, plan_budget

BLOCK_ROWS, BLOCK_COLUMNS = 4, 64  # samples of a block of pairs: few rows stay in a core's cache
LEAST_BAND = 64  # rows of a product of whole blocks: fewer use a core badly


def place(index: int) -> torch.device:
    """Return where torch keeps the tensors."""
    return torch.device("cpu")


def plan(work: Work, layer: LayerSize, memory: int) -> Budget:
    """Decide what is in work at once; see `tiles.plan_budget`."""
    return plan_budget(
        layer.edge,
        layer.n_rows,
        layer.n_columns,
        symmetric=layer.symmetric,
        values=1 + work.certify,
        sample_bytes=work.sample_bytes(layer.n_positions, layer.n_channels),
        reading_bytes=layer.reading_bytes,
        pair_bytes=pair_bytes(work, layer.n_positions, layer.n_channels),
        threads=work.threads,
        memory=memory,
        again_bytes=again_bytes(work, layer),
    )


def again_bytes(work: Work, layer: LayerSize) -> int:
    """Return what a thread takes to match one pair again in float64."""
    if not work.matcher.permutation:
        return 0
    wide = work.in_float64
    sample = wide.sample_bytes(layer.n_positions, layer.n_channels)
    return pair_bytes(wide, layer.n_positions, layer.n_channels) + 3 * sample + layer.reading_bytes


def chunks(piece: Tile, work: Work, budget: Budget) -> list[Tensor]:
    """Return the pairs of a piece in chunks.

    A matcher that takes whole blocks gets bands of rows instead: all their pairs are one product.
    """
    if work.matcher.in_chunks:
        pairs = _by_blocks(pairs_of(piece, with_itself=not work.matcher.permutation))
        return [chunk for chunk in pairs.split(budget.chunk) if len(chunk)]
    return bands(piece, work, budget)


def bands(piece: Tile, work: Work, budget: Budget) -> list[Tensor]:
    """Return the pairs of a piece in bands of rows."""
    pairs = pairs_of(piece, with_itself=not work.matcher.permutation)
    band = max(LEAST_BAND, budget.piece // 8)
    ends = pairs.new_tensor(range(band, len(piece.rows), band))
    first_of = torch.searchsorted(pairs[:, 0].contiguous(), ends)
    return [chunk for chunk in pairs.tensor_split(first_of) if len(chunk)]


def _by_blocks(pairs: Tensor) -> Tensor:
    """Order pairs (P, 2) that are in rows by blocks of a few rows and more columns, in rows within.

    >>> _by_blocks(torch.cartesian_prod(torch.arange(2), torch.arange(65)))[[0, 63, 64, 128]].tolist()
    [[0, 0], [0, 63], [1, 0], [0, 64]]
    """
    if not len(pairs):
        return pairs
    i, j = pairs.unbind(1)
    n_blocks = int(j.max()) // BLOCK_COLUMNS + 1
    return pairs[((i // BLOCK_ROWS) * n_blocks + j // BLOCK_COLUMNS).argsort(stable=True)]


def ready(source: Source, samples: range, work: Work) -> Block:
    """Read some samples and make them ready for matching."""
    maps = prepare(source(samples), centred=work.matcher.centred, dtype=work.dtype, grid=work.grid)
    prepared = work.matcher.prepare(maps, work.settings)
    return Block(samples, maps, prepared, read_again(source, samples, work))


def match(rows: Block, columns: Block, pairs: Tensor, work: Work) -> MatchedPairs:
    """Match some pairs of two blocks, in this thread; see `pairs.match_pairs`."""
    settings = replace(work.settings, bounded=work.certify)
    if work.matcher.in_chunks:
        matches = work.matcher.match(rows.prepared, columns.prepared, pairs, settings)
    else:  # only the samples that some pair names
        x, y, counted = box_of(rows, columns, pairs)
        matches = work.matcher.match(x.prepared, y.prepared, counted, settings)
    sums = matches.sums
    # What takes a tile at once has summed float64 products already.
    inexact = work.precision != "exact" and work.matcher.in_chunks
    if inexact and matches.permutation is not None:
        sums = sums_of_matched(rows.maps, columns.maps, pairs, matches.permutation)
    matched = unscaled(sums, rows.maps, columns.maps, pairs)
    bound = None
    if work.certify:
        # The sums of a matching are rounded too, and may lie above its value.
        bounds = upper_bounds(rows.maps, columns.maps, pairs, matches, work.matcher)
        bound = torch.maximum(bounds, matched)
    counts = matches.solved_again, matches.handed_over
    matched_pairs = MatchedPairs(pairs, matched, matches.permutation, bound, *counts)
    matched_pairs = solved_again(matched_pairs, matches, rows.maps, columns.maps, work)
    # What takes a tile at once has summed float64 products of all digits, if there are no others.
    exact = rows.maps.exact and columns.maps.exact and not work.matcher.in_chunks
    if exact or not work.matcher.permutation:
        return matched_pairs
    places = alike(rows.maps, columns.maps, pairs, matched_pairs.matched).nonzero()[:, 0]
    return alike_again(matched_pairs, rows, columns, places, work) if len(places) else matched_pairs
