"""Groups: the positions of a sample in groups of similar ones, whatever their places."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

POWER_ITERATIONS = 3  # a split needs a direction of large variance, not exactly the largest


def similar_positions(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Order the positions of each sample so that consecutive runs of every size are similar.

    Balanced bisection: the vectors are sorted along the direction in which they vary most and cut
    into two halves of whole groups, until every part is one group of the first size; those are cut
    on into groups of the next. The S mod sizes[0] positions of smallest norm stay out and come last.

    Args:
        values: (b, S, C), centred.
        sizes: Positions in a group, largest first, each a multiple of the next.

    Returns:
        (b, S) int64, a permutation of the positions; ties keep the lower position first.

    >>> similar_positions(torch.tensor([[[-3.0], [4.0], [-2.0], [5.0], [0.0]]]), [2]).tolist()
    [[0, 2, 1, 3, 4]]
    """
    kept = values.shape[1] // sizes[0] * sizes[0]
    order = values.square().sum(2).argsort(dim=1, descending=True, stable=True)
    members, rest = order[:, :kept].clone(), order[:, kept:]
    nodes = [kept] if kept else []
    for size in sizes:
        while max(nodes, default=0) > size:
            _sort_nodes(values, members, nodes, size)
            nodes = [half for node in nodes for half in _halves(node, size)]
    return torch.cat([members, rest], dim=1)


def _halves(node: int, size: int) -> tuple[int, ...]:
    """Return the sizes of the two halves of a node, in whole groups; of one group, itself."""
    first = node // size // 2 * size
    return (first, node - first) if first else (node,)


def _sort_nodes(values: Tensor, members: Tensor, nodes: list[int], unit: int) -> None:
    """Sort the members of every node that can be cut along its leading direction, in place."""
    starts = torch.tensor([0, *nodes]).cumsum(0)[:-1]
    sizes = torch.tensor(nodes)
    samples = torch.arange(len(values), device=values.device)[:, None, None]
    for size in {node for node in nodes if node >= 2 * unit}:  # two at most, as halves are equal
        places = starts[sizes == size, None] + torch.arange(size)
        old = members[:, places]
        along = _along_leading_direction(values[samples, old])
        members[:, places] = old.gather(2, along.argsort(dim=2, stable=True))


def _along_leading_direction(vectors: Tensor) -> Tensor:
    """Project (..., m, C) vectors on about their direction of largest variance: (..., m)."""
    vectors = vectors - vectors.mean(-2, keepdim=True)
    far = vectors.square().sum(-1).argmax(-1)
    direction = vectors.gather(-2, far[..., None, None].expand(*far.shape, 1, vectors.shape[-1]))
    for _ in range(POWER_ITERATIONS):
        # A unit vector each time, or tiny activations vanish.
        direction = torch.nn.functional.normalize(direction, dim=-1, eps=1e-30)
        direction = (direction @ vectors.mT) @ vectors
    return (direction @ vectors.mT).squeeze(-2)
