"""The matcher `coarse`: groups of similar positions matched first, then positions within groups."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semrsm.engine.bisection import similar_positions
from semrsm.engine.maps import Maps
from semrsm.engine.matchers.batch_optimal import match_runs
from semrsm.engine.matchers.matcher import Matches
from semrsm.engine.products import best_permutations, few_samples
from semrsm.engine.settings import Settings


@dataclass(frozen=True)
class Grouped:
    """A block of maps with the positions of each sample in G = S // g groups of similar ones.

    Attributes:
        maps: The block.
        order: (b, S) int64, positions group by group; the last S mod g are in none.
        means: (b, G, C), mean vector of each group.
    """

    maps: Maps
    order: Tensor
    means: Tensor


def group_positions(maps: Maps, settings: Settings) -> Grouped:
    """Group the positions of each sample, once for all its pairs; `settings.group` is g."""
    g = settings.group
    order = torch.cat([similar_positions(some, [g]) for some in few_samples(maps)])
    groups = maps.n_positions // g
    means = maps.values.new_zeros(len(maps), groups, maps.n_channels)
    samples = torch.arange(len(maps), device=order.device)[:, None]
    for member in range(g if groups else 0):
        means += maps.values[samples, order[:, member : groups * g : g]] / g
    return Grouped(maps, order, means)


def match_coarse_to_fine(
    rows: Grouped, columns: Grouped, pairs: Tensor, settings: Settings
) -> Matches:
    """Match groups optimally by their mean vectors, then positions optimally within matched groups.

    The positions in no group are matched with each other. Exact with `group` 1, or of S and more.

    Args:
        rows: (a, S, C), centred, grouped.
        columns: (b, S, C), centred, grouped.
        pairs: (P, 2) int64, indices into rows and columns.
        settings: `group` is the number of positions in a group; `solver` names the exact solver.

    Source: coarse-to-fine assignment by balanced partitions, here without its refinement; compare
    Schmitzer, SIAM J. Sci. Comput. 2019, doi:10.1137/16M1106018.
    """
    i, j = pairs.unbind(1)
    order, groups = columns.order[j], rows.means.shape[1]
    if groups:
        partner = best_permutations(rows.means[i] @ columns.means[j].mT, settings.solver)
        members, rest = order.split([groups * settings.group, order.shape[1] % settings.group], 1)
        members = members.reshape(len(pairs), groups, settings.group)
        members = members.gather(1, partner[:, :, None].expand_as(members))
        order = torch.cat([members.flatten(1), rest], 1)
    return match_runs(
        rows.maps, columns.maps, pairs, (rows.order[i], order), settings.group, settings.solver
    )


def prepared_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what the groups of a sample take: order, means and the members they are made of."""
    groups = n_positions // settings.group
    return 16 * n_positions + 3 * groups * n_channels * size


def workspace_bytes(n_positions: int, n_channels: int, size: int, settings: Settings) -> int:
    """Return what one pair takes: the problem of the groups, then all those within groups."""
    groups = n_positions // settings.group
    coarse = groups * (groups * (3 * size + 8) + 2 * n_channels * size)
    within = min(settings.group, n_positions)
    return (
        max(coarse, n_positions * (within * (3 * size + 8) + 2 * n_channels * size))
        + 64 * n_positions
    )
