"""Matchers: how the positions of two samples are put together."""

from __future__ import annotations

from semrsm.engine.matchers.identity import match_same_positions
from semrsm.engine.matchers.optimal import match_optimally
from semrsm.engine.matchers.record import Matcher, Matches, Settings

__all__ = ["MATCHERS", "Matcher", "Matches", "Settings"]

PAPER = "Wald et al., NeurIPS 2024, arXiv:2410.23107"

MATCHERS: dict[str, Matcher] = {
    m.name: m
    for m in (
        Matcher(
            name="optimal",
            summary="the permutation of positions with the largest inner product: the semantic RSM",
            value="exact",
            symmetric=True,
            permutation=True,
            position_free=True,
            centred=True,
            in_threads=True,
            solves=True,
            prepare=lambda maps: maps,
            match=match_optimally,
            workspace_bytes=lambda s, c, size: s * (s * (size + 8) + 2 * c * size),
            reference=PAPER,
        ),
        Matcher(
            name="identity",
            summary="every position with the same position: the usual, spatio-semantic RSM",
            value="at most the optimum",
            symmetric=True,
            permutation=True,
            position_free=False,
            centred=False,
            in_threads=False,
            solves=False,
            prepare=lambda maps: maps,
            match=match_same_positions,
            workspace_bytes=lambda s, c, size: 8 * s,
            reference=PAPER,
        ),
    )
}
