"""Exact matching by the native core: products, start, solver and proof of a pair in one go."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from semrsm.engine import native
from semrsm.engine.assignment.solver import Solved
from semrsm.engine.certificate import bounds_of_samples
from semrsm.engine.maps import Maps

LARGEST_GAP = 1e-7
"""Of |x| |y|: a pair whose potentials leave a larger gap is solved again in float64."""
GROUP_SIZES = (16, 4)
"""Positions in a group of the feature trees, from TREES_FROM positions on."""
TREES_FROM = 400
ENTROPIES = ((1500, (0.012,)), (TREES_FROM, (0.02,)), (1, (0.15, 0.04)))
"""Of the Sinkhorn sweeps, in units of the mean reduced cost, by least number of positions. Measured on
ResNet18 maps: the better the potentials of the trees, the smaller the entropy that improves them."""

LARGEST_DENSE = 400
"""Positions of the largest maps that the core solves with a dense plan, and without lists."""
LISTED = ((1500, 32 + 272 + 256), (LARGEST_DENSE + 1, 32 + 272))
"""Entries of a row at most in what the core has beside the costs, by least number of positions: a list
and a sparse plan, and a longer list for large maps."""


class _Level(ctypes.Structure):
    _fields_ = (
        ("values", ctypes.c_void_p),
        ("packed", ctypes.c_void_p),
        ("norms", ctypes.c_void_p),
        ("n_positions", ctypes.c_long),
    )


@dataclass(frozen=True)
class Packed:
    """A block of samples as the core reads it.

    Attributes:
        maps: The samples, centred.
        levels: (b, S_l, C) vectors of each level, coarsest first: means of groups, at last positions.
        packed: (b, .) the vectors of each level once more, in the order of the product.
        position_norms: (b, S) float64, |v_s| of the stored values.
        norms: (b,) float64, |v| of the stored values.
    """

    maps: Maps
    levels: tuple[Tensor, ...]
    packed: tuple[Tensor, ...]
    position_norms: Tensor
    norms: Tensor


def available() -> bool:
    """Say whether the core was built, and is wanted here."""
    return native.core() is not None


def prepare(maps: Maps) -> Packed:
    """Make a block ready: grow the feature trees that large maps start from, and pack all levels."""
    sizes = GROUP_SIZES if maps.n_positions >= TREES_FROM else ()
    levels = (*means_of_groups(maps.values, sizes), maps.values.contiguous())
    b, S, C = maps.values.shape
    norms = torch.empty(b, S, dtype=torch.float64)
    _core().call("norms", levels[-1], levels[-1], b * S, C, norms)
    packed = tuple(_pack(level) for level in levels)
    return Packed(maps, levels, packed, norms, torch.linalg.vector_norm(norms, dim=1))


def means_of_groups(values: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """Return the means of groups of similar positions: `potentials.grow(values, sizes).means`, quickly.

    Args:
        values: (b, S, C), centred.
        sizes: Group sizes, largest first, each a multiple of the next, the first at most S; maybe none.

    Returns:
        One (b, G_l, C) tensor per size.

    >>> sorted(means_of_groups(torch.tensor([[[0.0], [5.0], [1.0], [6.0]]]), (2,))[0].flatten().tolist())
    [0.5, 5.5]
    """
    if not sizes:
        return ()
    b, S, C = values.shape
    kept = S // sizes[0] * sizes[0]
    shapes = [(b, kept // size, C) for size in sizes]
    means = values.new_empty(sum(math.prod(shape) for shape in shapes))
    values = values.contiguous()
    _core().call("grow", values, values, b, S, C, torch.tensor(sizes), len(sizes), means)
    levels = means.split([math.prod(shape) for shape in shapes])
    return tuple(level.view(shape) for level, shape in zip(levels, shapes, strict=True))


def _pack(vectors: Tensor) -> Tensor:
    core = _core()
    b, S, C = vectors.shape
    packed = vectors.new_empty(b, core.call("packed_size", vectors, S, C))
    core.call("pack", vectors, vectors, b, S, C, packed)
    return packed


def solve_products(rows: Packed, columns: Packed, pairs: Tensor, bounded: bool = False) -> Solved:
    """Match pairs of samples optimally.

    A pair whose potentials leave a gap above LARGEST_GAP is solved again in float64.

    Args:
        rows: The block that `pairs[:, 0]` counts in.
        columns: The block that `pairs[:, 1]` counts in.
        pairs: (P, 2) int64.
        bounded: Also bound the inner products of all matchings from above.
    """
    solution = _solve(rows, columns, pairs, bounded)
    i, j = pairs.unbind(1)
    unproven = ~(solution.gaps <= LARGEST_GAP * rows.norms[i] * columns.norms[j])
    again = unproven.nonzero()[:, 0] if rows.maps.values.dtype == torch.float32 else pairs[:0, 0]
    for k in again.tolist():
        wide = _solve(_widened(rows, i[k]), _widened(columns, j[k]), pairs.new_zeros(1, 2), bounded)
        solution.sums[k], solution.permutation[k] = wide.sums[0], wide.permutation[0]
        if solution.bounds is not None and wide.bounds is not None:
            solution.bounds[k] = wide.bounds[0]
    bounds = None
    if solution.bounds is not None:
        maps, norms = (rows.maps, columns.maps), (rows.norms, columns.norms)
        bounds = bounds_of_samples(*maps, pairs, solution.bounds, *norms)
    counts = len(again), solution.handed_over
    return Solved(solution.sums, solution.permutation, *counts, bounds=bounds)


@dataclass(frozen=True)
class _Solution:
    """What the core found: sums, gaps and bounds (P,) of the stored values, permutation (P, S)."""

    sums: Tensor
    gaps: Tensor
    permutation: Tensor
    bounds: Tensor | None
    handed_over: int


def _solve(rows: Packed, columns: Packed, pairs: Tensor, bounded: bool) -> _Solution:
    values = rows.maps.values
    _, S, C = values.shape
    sums, gaps = (torch.empty(len(pairs), dtype=torch.float64) for _ in range(2))
    bounds = torch.empty_like(sums) if bounded else None
    permutation = torch.empty(len(pairs), S, dtype=torch.int64)
    entropies = _entropies(S)
    # Column by column: a column sample stays in the cache for the few row samples of a chunk.
    order = pairs[:, 1].argsort(stable=True)
    place = order.argsort()
    pairs = pairs[order].contiguous()
    levels = _levels(rows), _levels(columns), len(rows.levels)
    sizes = C, pairs, len(pairs), entropies, len(entropies)
    handed_over = _core().call("match", values, *levels, *sizes, sums, gaps, bounds, permutation)
    ordered = sums[place], gaps[place], permutation[place]
    return _Solution(*ordered, None if bounds is None else bounds[place], handed_over)


def _widened(block: Packed, sample: Tensor) -> Packed:
    """Return one sample of a block in float64, where what gap is left is the rounding of float64."""
    return prepare(replace(block.maps, values=block.maps.values[sample[None]].double()))


def _entropies(S: int) -> Tensor:
    chosen = next(entropies for least, entropies in ENTROPIES if least <= S)
    return torch.tensor(chosen, dtype=torch.float64)


def _levels(block: Packed) -> ctypes.Array[_Level]:
    return (_Level * len(block.levels))(
        *(
            _Level(
                level.data_ptr(), packed.data_ptr(), block.position_norms.data_ptr(), level.shape[1]
            )
            for level, packed in zip(block.levels, block.packed, strict=True)
        )
    )


def prepared_bytes(n_positions: int, n_channels: int, size: int) -> int:
    """Return what a sample takes beside its map: the map once more, and means of groups twice."""
    sizes = (1, *GROUP_SIZES, *GROUP_SIZES) if n_positions >= TREES_FROM else (1,)
    return sum(n_positions // group for group in sizes) * n_channels * size + 16 * n_positions


def workspace_bytes(n_positions: int, n_channels: int, size: int) -> int:
    """Return what a thread takes to solve a pair: its costs, and a plan as large or lists."""
    S, own = n_positions, n_positions * (n_positions * size + 512)
    entries = next((entries for least, entries in LISTED if least <= S), None)
    if entries is None:
        return own + S * S * size
    coarser = min(S // GROUP_SIZES[-1], LARGEST_DENSE)  # positions of a level that has a dense plan
    return own + S * entries * (size + 4) + coarser * coarser * size


def solve(affinity: Tensor) -> Tensor:
    """Find the permutations that maximise sum_s affinity[k, s, p(s)].

    Sinkhorn sweeps, then shortest augmenting paths, or cost scaling for large problems. Releases the
    GIL and stays in the calling thread.

    Args:
        affinity: (k, S, S) float32 or float64 on the CPU, finite; not checked here.

    Returns:
        (k, S) int64.

    >>> solve(torch.tensor([[[3.0, 1.0], [1.0, 4.0]], [[1.0, 2.0], [5.0, 1.0]]])).tolist()
    [[0, 1], [1, 0]]
    """
    return minimise(-affinity)


def minimise(costs: Tensor) -> Tensor:
    """Find the permutations (k, S) int64 that minimise sum_s costs[k, s, p(s)]; see `solve`."""
    k, S, _ = costs.shape
    permutations = torch.empty(k, S, dtype=torch.int64)
    _core().call("minimise", costs, costs.contiguous(), k, S, permutations)
    return permutations


def greedy(affinity: Tensor) -> Tensor:
    """Return what `greedy_in_turn` of the matcher `greedy` returns, quickly.

    Args:
        affinity: (k, S, S) float32 or float64 on the CPU, finite.

    Returns:
        (k, S) int64: row s takes column p(s).

    >>> greedy(torch.tensor([[[5.0, 4.0], [6.0, 1.0]]])).tolist()
    [[1, 0]]
    """
    k, S, _ = affinity.shape
    permutations = torch.empty(k, S, dtype=torch.int64)
    affinity = affinity.contiguous()
    _core().call("greedy", affinity, affinity, k, S, permutations)
    return permutations


def _core() -> native.Core:
    core = native.core()
    assert core is not None
    return core
