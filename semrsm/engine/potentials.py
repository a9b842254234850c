"""Potentials: good dual variables for an assignment problem before it is solved, exact ones after.

For any v (S,), u_s = max_t (A[s,t] - v_t) makes sum u + sum v an upper bound of every matching of
the affinity A, and subtracting u and v from A changes no optimal matching. A solver that starts
from duals close to the optimal ones has little left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from semrsm.engine.bisection import similar_positions

SWEEPS = 4
"""Sinkhorn sweeps for each entropy."""
MOST_SWEEPS = 500
"""Of Bellman-Ford, which ends by itself for an optimal matching; for others it would run away."""

Minimise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Trees:
    """Positions of each sample of a block, grouped by similarity, coarse to fine.

    Attributes:
        order: (b, G g) int64, positions in the order of the tree: consecutive runs of g, or of any
            finer group size, are groups. The S - G g positions nearest the mean are left out.
        means: One (b, G_l, C) tensor of group means per group size, coarsest first.
    """

    order: Tensor
    means: tuple[Tensor, ...]


def grow(values: Tensor, sizes: Sequence[int]) -> Trees:
    """Group the positions of each sample by similarity, coarse to fine; see `similar_positions`.

    Args:
        values: (b, S, C), centred.
        sizes: Group sizes, largest first, each a multiple of the next, the first at most S; maybe none.

    >>> sorted(grow(torch.tensor([[[0.0], [5.0], [1.0], [6.0]]]), (2,)).means[0].flatten().tolist())
    [0.5, 5.5]
    """
    b, S, C = values.shape
    if not sizes:
        return Trees(torch.arange(S, device=values.device).expand(b, S), ())
    kept = S // sizes[0] * sizes[0]
    order = similar_positions(values, sizes)[:, :kept]
    leaves = values.gather(1, order[:, :, None].expand(-1, -1, C))
    return Trees(order, tuple(leaves.reshape(b, kept // size, size, C).mean(2) for size in sizes))


def coarse_to_fine(
    rows: Trees,
    columns: Trees,
    pairs: Tensor,
    fine: Sequence[Tensor],
    entropies: Sequence[float],
    minimise: Minimise,
) -> Tensor:
    """Column potentials of the position problems, from the group problems.

    On each level, group means against group means, the problem is solved exactly, the coarsest
    cold, the others from the potentials of the level before.

    Args:
        rows: Trees of the block that `pairs[:, 0]` counts in.
        columns: Trees of the block that `pairs[:, 1]` counts in.
        pairs: (k, 2) int64.
        fine: k tensors (S, C), the position vectors of the column samples.
        entropies: Of the Sinkhorn sweeps on each level after the coarsest; see `reduced`.
        minimise: Exact solver, costs (k, S, S) -> permutations (k, S).

    Returns:
        (k, S) v of the positions.
    """
    i, j = pairs.unbind(1)
    means, targets = [level[i] for level in rows.means], [level[j] for level in columns.means]
    v = torch.zeros_like(targets[0][:, :, 0])
    for level, (x, y) in enumerate(zip(means, targets, strict=True)):
        costs, u, _ = reduced(x.unbind(), y.unbind(), v, entropies if level else ())
        u = u + duals_of(-costs, minimise(costs))[0]
        v = extend(x, u, targets[level + 1].unbind() if level + 1 < len(means) else fine)
    return v


def extend(means: Tensor, u: Tensor, columns: Sequence[Tensor]) -> Tensor:
    """Extend row potentials of groups to other columns: v_t = max_r (<mean_r, y_t> - u_r).

    Args:
        means: (k, G, C) group means.
        u: (k, G) their potentials.
        columns: k tensors (S, C).

    Returns:
        (k, S).
    """
    return torch.stack(
        [
            torch.addmm(-potential[:, None], mean, y.T).amax(0)
            for mean, potential, y in zip(means, u, columns, strict=True)
        ]
    )


def duals_of(affinity: Tensor, permutation: Tensor) -> tuple[Tensor, Tensor]:
    """Optimal potentials of solved problems, which prove them optimal.

    With q the inverse of an optimal permutation, v_t >= v_r + A[q(r),t] - A[q(r),r] for all columns
    r, t: the v are longest paths. Each sweep (Bellman-Ford) follows the edges out of the columns
    that the last one raised by more than rounding; at most S and MOST_SWEEPS sweeps.

    Args:
        affinity: (k, S, S), finite.
        permutation: (k, S) int64. If it is not optimal the bound holds, but leaves a gap.

    Returns:
        u, v: (k, S) each, in the dtype of the affinity, with u_s = max_t (A[s,t] - v_t).

    >>> duals_of(torch.tensor([[[3.0, 1.0], [4.0, 1.0]]]), torch.tensor([[1, 0]]))
    (tensor([[1., 2.]]), tensor([[2., 0.]]))
    """
    k, S, _ = affinity.shape
    inverse = permutation.argsort(1)
    lengths = affinity[torch.arange(k)[:, None], inverse]
    lengths -= lengths.diagonal(dim1=1, dim2=2)[:, :, None].clone()
    tolerance = 1e-6 * lengths.abs().mean((1, 2))
    v = torch.zeros_like(affinity[:, 0])
    raised = torch.arange(S)
    for _ in range(min(S, MOST_SWEEPS)):
        longest = (lengths[:, raised] + v[:, raised, None]).amax(1)
        raised = (longest > v + tolerance[:, None]).any(0).nonzero()[:, 0]
        v = torch.maximum(v, longest)
        if not len(raised):
            break
    return (affinity - v[:, None]).amax(2), v


def costs_of(x: Sequence[Tensor], y: Sequence[Tensor], v: Tensor, out: Tensor) -> Tensor:
    """Write v_t - <x_s, y_t> (k, S, S) to `out`, from k tensors (S, C) each and v (k, S)."""
    for a, b, w, costs in zip(x, y, v, out, strict=True):
        torch.addmm(w, a, b.T, alpha=-1.0, out=costs)
    return out


def reduced(
    x: Sequence[Tensor],
    y: Sequence[Tensor],
    v: Tensor,
    entropies: Sequence[float],
    memory: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Reduced costs u + v - A >= 0 of the affinity A = <x_s, y_t>, for v sharpened by Sinkhorn sweeps.

    Args:
        x: k tensors (S, C), the rows.
        y: k tensors (S, C), the columns.
        v: (k, S) column potentials to begin with.
        entropies: Of the Sinkhorn plans, in units of the mean reduced cost, largest first.
        memory: (2, k, S, S) to work in; the costs are in its first half.

    Returns:
        costs: (k, S, S), the minimum of each row 0.
        u, v: (k, S), their potentials.
    """
    if memory is None:
        memory = v.new_empty(2, *v.shape, v.shape[1])
    return sharpen(costs_of(x, y, v, memory[0]), v, entropies, memory[1])


def sharpen(
    costs: Tensor, v: Tensor, entropies: Sequence[float], plan: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn costs v - A into reduced costs u + v - A >= 0, with v improved by Sinkhorn sweeps, in place.

    Args:
        costs: (k, S, S), v_t - A[s,t].
        v: (k, S) column potentials to begin with.
        entropies: Of the Sinkhorn plans, in units of the mean reduced cost, largest first.
        plan: (k, S, S) memory to work in.

    Returns:
        costs, u, v as `reduced`.
    """
    u = -tighten(costs)
    for entropy in entropies:
        change = sinkhorn(costs, entropy * costs.mean((1, 2)), plan)
        v = v + change
        costs += change[:, None]
        u -= tighten(costs)
    return costs, u, v


def tighten(costs: Tensor) -> Tensor:
    """Subtract its minimum from every row of (k, S, S) costs, in place; returns the minima (k, S)."""
    minima = costs.amin(2)
    costs -= minima[:, :, None]
    return minima


def sinkhorn(costs: Tensor, entropy: Tensor, plan: Tensor) -> Tensor:
    """Change of the column potentials that balances the entropic transport plan.

    plan = exp(-costs / entropy); a sweep makes its rows, then its columns, sum to one
    (Sinkhorn-Knopp in scaling form, so that the exponentials are taken once; Cuturi 2013,
    arXiv:1306.0895). Any result is a valid potential, the entropy only decides how good.

    Args:
        costs: (k, S, S), row minima zero.
        entropy: (k,), not negative.
        plan: (k, S, S) memory to work in.

    Returns:
        (k, S) to be added to v and, as costs = u + v - affinity, to every row of the costs.
    """
    entropy = entropy.clamp_min(1e-30)
    torch.div(costs, -entropy[:, None, None], out=plan)
    plan.clamp_(min=-60.0).exp_()
    column = torch.ones_like(costs[:, :1])
    for _ in range(SWEEPS):
        row = (plan @ column.transpose(1, 2)).reciprocal_()
        column = (row.transpose(1, 2) @ plan).reciprocal_()
    return -entropy[:, None] * column[:, 0].log()
