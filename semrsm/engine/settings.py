"""Settings: what a matcher may be told. No torch here, so that help texts can name the defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What a matcher may be told; each row of MATCHERS names in `parameters` those it reads.

    Attributes:
        solver: A key of SOLVERS, for matchers that solve assignment problems exactly.
        topk: Positions of largest norm that `topk-greedy` matches optimally.
        window: Positions in a window of `batch-optimal`.
        epsilon: Entropy of `sinkhorn`, relative to the range of the affinities of a pair.
        group: Positions in a group of `coarse`.
        bounded: Also bound every pair from above, where the solver's potentials do it at once.
    """

    solver: str = "scipy"
    topk: int = 128
    window: int = 128
    epsilon: float = 0.01
    group: int = 8
    bounded: bool = False
