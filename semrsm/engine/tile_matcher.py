"""The tile matcher: from samples, wherever they are kept, to the matched inner products of tiles."""

from __future__ import annotations

import contextlib
import functools
import operator
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import astuple, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semrsm.engine.blocks import Block, BlockCache, Source, ready
from semrsm.engine.devices import one_thread, product_precision
from semrsm.engine.pairs import MatchedPairs, Work, match_or_halve
from semrsm.engine.tiles import Budget, Tile
from semrsm.errors import SemrsmError


@dataclass(frozen=True)
class Effort:
    """What matching some pairs took.

    Attributes:
        solved_again: How many pairs were matched again in float64: not proved optimal, or alike.
        handed_over: How many problems cost scaling gave up, so that augmenting paths solved them.
        seconds: Of all threads together.
    """

    solved_again: int = 0
    handed_over: int = 0
    seconds: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(*map(operator.add, astuple(self), astuple(other)))


@dataclass(frozen=True)
class TileValues:
    """What was found for the pairs of a tile.

    Attributes:
        matched: (rows, columns) float64, matched inner products. A diagonal tile of a symmetric RSM
            solves i < j, mirrors them, and has the squared norms on its diagonal; where the matcher only
            bounds, its own value of a sample with itself.
        upper_bound: (rows, columns) float64, what no matching can exceed; None unless certified.
        effort: What matching them took; of its seconds each thread counts as a part.
    """

    matched: NDArray[np.float64]
    upper_bound: NDArray[np.float64] | None
    effort: Effort


class TileMatcher:
    """Matches the tiles of one layer, in this process; use it in a `with` statement.

    Chunks of pairs are matched in threads, each with one thread of torch: several chunks at once beat
    one whose products use all cores, and what a tile holds does not depend on how many there are. On
    a GPU a thread puts its chunk on a stream of its own and waits for it.
    """

    def __init__(
        self,
        rows: Source,
        columns: Source,
        work: Work,
        budget: Budget,
        on_pairs: Callable[[int], None] = lambda n: None,
        on_note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Prepare to match.

        Args:
            rows: Gives row samples.
            columns: Gives column samples; the same object as `rows` in a symmetric RSM.
            work: How pairs are matched.
            budget: What is in work at once.
            on_pairs: Told how many pairs were matched, from time to time.
            on_note: Told when a device ran out of memory and the work went on in smaller parts.
        """
        self._work, self._budget, self._piece = work, budget, budget.piece
        self._lanes = budget.lanes or work.threads
        self._on_pairs, self._on_note = on_pairs, on_note
        self._symmetric = rows is columns
        sources = {"rows": rows, "columns": columns}
        self._blocks = BlockCache(
            lambda side, samples: ready(sources[side], samples, work), budget.cached_blocks
        )
        self._places = threading.Semaphore(budget.tiles)
        self._ended = threading.Event()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> TileMatcher:
        self._open.enter_context(product_precision(self._work.precision, self._work.device))
        self._open.enter_context(one_thread())
        self._pool = ThreadPoolExecutor(self._lanes, initializer=lambda: torch.set_num_threads(1))
        self._open.callback(self._pool.shutdown, wait=False)
        return self

    def __exit__(self, *_: object) -> None:
        # What has not begun is dropped. Cancelled futures would not do: who waits for them waits on.
        self._ended.set()
        self._open.close()

    def match(self, tile: Tile) -> TileValues:
        """Return what is found for the pairs of a tile; several threads may ask at once.

        Raises:
            SemrsmError: A value is too large for float64; one pair does not fit on the device; or
                what the source of the samples raises.
        """
        with self._places:
            torch.set_num_threads(1)  # of this thread, whoever started it
            values = torch.zeros(1 + self._work.certify, *tile.shape, dtype=torch.float64)
            norms = torch.zeros(len(tile.rows), dtype=torch.float64)
            effort = Effort()
            pieces = deque(tile.pieces(self._piece))
            while pieces:
                piece = pieces.popleft()
                i, j = piece.rows.start - tile.rows.start, piece.columns.start - tile.columns.start
                part = values[:, i : i + len(piece.rows), j : j + len(piece.columns)]
                try:
                    effort += self._match_piece(piece, part, norms[i : i + len(piece.rows)])
                except torch.OutOfMemoryError:
                    # That of pairs is seen to where they are matched: here it was that of samples.
                    pieces.extendleft(reversed(self._smaller(piece)))
        if tile.symmetric_diagonal:
            own = norms if self._work.matcher.permutation else values[0].diagonal().clone()
            values += values.mT.clone()
            values.diagonal(dim1=1, dim2=2).copy_(norms)
            values[0].diagonal().copy_(own)
        if not values.isfinite().all():
            raise SemrsmError(
                "inner products overflow float64; divide the activations by a large number"
            )
        bound = values[1].numpy() if self._work.certify else None
        effort = replace(effort, seconds=effort.seconds / self._lanes)
        return TileValues(values[0].numpy(), bound, effort)

    def _match_piece(self, piece: Tile, values: Tensor, norms: Tensor) -> Effort:
        """Match the pairs of a piece; put them, and the norms of its rows, into their part of the tile."""
        with self._borrowed(piece) as (rows, columns):
            match = functools.partial(self._match_chunk, rows, columns)
            futures: list[Future[tuple[MatchedPairs, float]]] = []
            effort = Effort()
            try:
                futures += self._submitted(match, self._chunks(piece))
                for future in as_completed(futures):
                    matched_pairs, spent = future.result()
                    i, j = matched_pairs.pairs.unbind(1)
                    values[0, i, j] = matched_pairs.matched
                    if matched_pairs.upper_bound is not None:
                        values[1, i, j] = matched_pairs.upper_bound
                    effort += Effort(matched_pairs.solved_again, matched_pairs.handed_over, spent)
                    # A sample with itself is no pair of the tile.
                    self._on_pairs(int((i != j).sum()) if piece.symmetric_diagonal else len(i))
            finally:
                _drop(futures)
            norms.copy_(rows.maps.squared_norm)
        return effort

    def _smaller(self, piece: Tile) -> list[Tile]:
        """Return a piece in pieces of half as many samples, and have later ones be as small.

        Raises SemrsmError if it holds one sample of each side.
        """
        samples = max(piece.shape)
        if samples == 1:
            raise SemrsmError(
                f"one sample does not fit into the memory of {self._work.device};"
                " `pool` the maps or use `device='cpu'`"
            ) from None
        self._blocks.let_go()
        self._piece = min(self._piece, -(-samples // 2))
        self._on_note(
            f"{samples} samples do not fit into the memory of {self._work.device};"
            " going on with half as many"
        )
        return list(piece.pieces(self._piece))

    def _chunks(self, piece: Tile) -> list[Tensor]:
        """Return the pairs of a piece, (P, 2) int64 on the CPU, as they are matched at once."""
        return self._work.device.backend.chunks(piece, self._work, self._budget)

    def _submitted(
        self, match: Callable[[Tensor], tuple[MatchedPairs, float]], chunks: list[Tensor]
    ) -> list[Future[tuple[MatchedPairs, float]]]:
        try:
            return [self._pool.submit(match, chunk) for chunk in chunks]
        except RuntimeError as error:
            if not self._ended.is_set():
                raise
            raise SemrsmError("the run has ended") from error

    def _match_chunk(
        self, rows: Block, columns: Block, pairs: Tensor
    ) -> tuple[MatchedPairs, float]:
        """Match some pairs; return what was found, and the seconds that took."""
        if self._ended.is_set():
            raise SemrsmError("the run has ended")
        began = time.perf_counter()
        matched_pairs = match_or_halve(rows, columns, self._work, self._on_note, pairs)
        return matched_pairs, time.perf_counter() - began

    @contextlib.contextmanager
    def _borrowed(self, piece: Tile) -> Iterator[tuple[Block, Block]]:
        with self._blocks.borrowed("rows", piece.rows) as rows:
            if piece.symmetric_diagonal:
                yield rows, rows
                return
            side = "rows" if self._symmetric else "columns"
            with self._blocks.borrowed(side, piece.columns) as columns:
                yield rows, columns


def _drop(futures: list[Future]) -> None:
    """Cancel what has not begun; nothing is left to do where all went well."""
    for future in futures:
        future.cancel()
