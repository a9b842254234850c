"""Exact assignment on the GPU for many positions: cost scaling on short lists, one Triton program per pair.

scaling_reference.py is the same algorithm in readable form, with costs -A and prices -v. One warp does all
of a pair: a bid reads 32 numbers and takes three minima of a warp, so few bids wait for each other and the
pairs keep a multiprocessor busy. What is looked up by number (a price, a row, a list) is in memory, with a
barrier before it is read by another lane. Prices are float32: a bid raises one by what float32 can tell at
least. Pairs in which too many positions are alike go on to the augmenting paths of triton_sap.py.
"""
# mypy: allow-untyped-defs, disable-error-code="attr-defined"

import torch
import triton
import triton.language as tl
from torch import Tensor

from semrsm.engine.assignment import triton_sap
from semrsm.engine.assignment.sap_reference import FIRST_EPS as SWEEPS_FROM
from semrsm.engine.assignment.scaling_reference import EPS_STEP, FIRST_EPS, MOST_BIDS, MOST_LISTS
from semrsm.engine.assignment.triton_pairs import (
    NOT_SPECIALIZED,
    begin,
    load_rows,
    places_of,
    tile,
)
from semrsm.engine.assignment.triton_sap import NEVER, Assigned, check_affinities
from semrsm.engine.assignment.triton_sinkhorn import sinkhorn_start

LAST_EPS = (
    3e-7  # of the mean cost: what a row may pay too much is a third of the gap that is accepted
)
LISTED = tl.constexpr(32)  # entries of a list: one for each lane of a warp
LEAST = tl.constexpr(8)  # entries that a list holds at least, where there are so many
FEW, MANY = tl.constexpr(16), tl.constexpr(28)  # entries between which the width of a list is kept
FIRST_WIDTH, LEAST_WIDTH = tl.constexpr(0.05), tl.constexpr(1e-6)  # of a list, of the mean cost
ATTEMPTS = tl.constexpr(40)  # at a width
RESOLUTION = tl.constexpr(2.0**-22)  # of a gain: prices rise by so much, or nobody would see it
NOTHING = tl.constexpr(-0x7F800001)  # the integer of minus infinity
SWEEPS = ((1500, (8, 1e-3)), (400, (5, 3e-3)), (1, (8, 3e-3)))
"""Sinkhorn sweeps of the start and their last entropy, by least number of positions."""


@triton.jit
def ordered(x):
    """Integers in the order of some float32: a warp finds their largest in one instruction."""
    bits = x.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def number(key):
    """The float32 of an integer of `ordered`."""
    return tl.where(key < 0, key ^ 0x7FFFFFFF, key).to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def mean_cost_program(
    affinity,
    pairs,
    v_in,
    mean_out,
    S: tl.int32,
    stride_i: tl.int64,
    stride_s: tl.int64,
    stride_j: tl.int64,
    stride_t,
    ALIGNED: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """By how much an affinity, less the price of its column, is below the best of its row in the mean."""
    pair, _, _, base, stride_s = begin(affinity, pairs, stride_i, stride_s, stride_j, ALIGNED)
    columns = tl.arange(0, BLOCK)
    rows = tl.arange(0, ROWS)
    real = columns < S
    column_offsets = columns.to(tl.int64) * stride_t
    v = tl.load(v_in + pair * S + columns, mask=real, other=0.0)
    total = tl.zeros([ROWS], tl.float32)
    for first in range(0, S, ROWS):
        numbers = first + rows
        in_rows = numbers < S
        values = load_rows(base, numbers, in_rows, stride_s, column_offsets, real)
        gain = tl.where(real[None, :], values - v[None, :], float("-inf"))
        below = tl.where(real[None, :], tl.max(gain, 1)[:, None] - gain, 0.0)
        total += tl.where(in_rows, tl.sum(below, 1) / S, 0.0)
    tl.store(mean_out + pair, tl.sum(total, 0) / S)


@triton.jit
def best_gain(line, v_memory, S, stride_t, CHUNK: tl.constexpr):
    """The largest affinity of a row less the price of its column."""
    best = tl.full([CHUNK], float("-inf"), tl.float32)
    for first in range(0, S, CHUNK):
        columns = first + tl.arange(0, CHUNK)
        real = columns < S
        values = tl.load(line + columns.to(tl.int64) * stride_t, mask=real, other=float("-inf"))
        best = tl.maximum(best, values - tl.load(v_memory + columns, mask=real, other=0.0))
    return tl.max(best, 0)


@triton.jit
def count_from(bar, line, v_memory, S, stride_t, CHUNK: tl.constexpr):
    """How many gains of a row are at least `bar`."""
    counts = tl.zeros([CHUNK], tl.int32)
    for first in range(0, S, CHUNK):
        columns = first + tl.arange(0, CHUNK)
        real = columns < S
        values = tl.load(line + columns.to(tl.int64) * stride_t, mask=real, other=float("-inf"))
        gain = values - tl.load(v_memory + columns, mask=real, other=0.0)
        counts += ((gain >= bar) & real).to(tl.int32)
    return tl.sum(counts, 0)


@triton.jit
def list_anew(
    line,
    v_memory,
    list_values,
    list_columns,
    width,
    least_width,
    turn,
    S,
    stride_t,
    CHUNK: tl.constexpr,
):
    """Make the list of a row: its best gains, at most LISTED; all others are at most the bar.

    Of more that are equally good it takes some, others each time, as `turn` says. Returns the bar, and a
    width below the best with which the next list should neither be too long nor too short.
    """
    best = best_gain(line, v_memory, S, stride_t, CHUNK)
    low = width * 0.0
    high = width * 0.0
    bar = best - width
    n = count_from(bar, line, v_memory, S, stride_t, CHUNK)
    attempts = 0
    while ((n > LISTED) & (bar < best) | (n < LEAST) & (n < S)) & (attempts < ATTEMPTS):
        low = tl.where(n > LISTED, low, width)
        high = tl.where(n > LISTED, width, high)
        beyond = tl.where(n > LISTED, width * 0.5, width * 2)
        width = tl.where((low > 0) & (high > 0), (low + high) * 0.5, beyond)
        bar = best - width
        n = count_from(bar, line, v_memory, S, stride_t, CHUNK)
        attempts += 1
    if n > LISTED:
        bar = best
        n = count_from(bar, line, v_memory, S, stride_t, CHUNK)
    skipped = tl.where(n > LISTED, (turn * 40503) % tl.maximum(n, 1), 0)

    lanes = tl.arange(0, LISTED)
    tl.store(list_values + lanes, tl.full([LISTED], float("-inf"), tl.float32))
    tl.store(list_columns + lanes, tl.zeros([LISTED], tl.int32))
    tl.debug_barrier()
    before = 0
    for first in range(0, S, CHUNK):
        columns = first + tl.arange(0, CHUNK)
        real = columns < S
        values = tl.load(line + columns.to(tl.int64) * stride_t, mask=real, other=float("-inf"))
        gain = values - tl.load(v_memory + columns, mask=real, other=0.0)
        hits = ((gain >= bar) & real).to(tl.int32)
        place = before + tl.cumsum(hits, 0) - 1 - skipped
        place = tl.where(place < 0, place + n, place)
        listed = (hits > 0) & (place < LISTED)
        tl.store(list_values + place, values, mask=listed)
        tl.store(list_columns + place, columns, mask=listed)
        before += tl.sum(hits, 0)
    tl.debug_barrier()
    width = tl.where(n > MANY, width * 0.8, tl.where(n < FEW, width * 1.25, width))
    return tl.where(n < S, bar, float("-inf")), tl.maximum(width, least_width)


@triton.jit(do_not_specialize=(*NOT_SPECIALIZED, "first_eps", "eps_step", "last_eps"))
def scaling_program(
    affinity,
    pairs,
    mean_costs,
    v_memory,
    column_memory,
    row_memory,
    bar_memory,
    width_memory,
    list_values,
    list_columns,
    permutation_out,
    u_out,
    scans_out,
    gave_up_out,
    S: tl.int32,
    most_bids: tl.int32,
    most_lists: tl.int32,
    first_eps: tl.float32,
    eps_step: tl.float32,
    last_eps: tl.float32,
    stride_i: tl.int64,
    stride_s: tl.int64,
    stride_j: tl.int64,
    stride_t,
    ALIGNED: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Match every row of one pair; v_memory comes in with the prices to start from."""
    pair, _, _, base, stride_s = begin(affinity, pairs, stride_i, stride_s, stride_j, ALIGNED)
    v_memory += pair * S
    column_memory += pair * S
    row_memory += pair * S
    bar_memory += pair * S
    width_memory += pair * S
    list_values += pair * S * LISTED
    list_columns += pair * S * LISTED
    mean = tl.load(mean_costs + pair)
    # Where all are as good, any matching is the best, and no price need rise.
    all_alike = mean == 0
    for first in range(0, S, CHUNK):
        numbers = first + tl.arange(0, CHUNK)
        real = numbers < S
        beginning = tl.where(all_alike, numbers, -1)
        tl.store(column_memory + numbers, beginning, mask=real)
        tl.store(row_memory + numbers, beginning, mask=real)
        # A row without a list: anything may be better than what it holds.
        tl.store(bar_memory + numbers, tl.full([CHUNK], float("inf"), tl.float32), mask=real)
        tl.store(width_memory + numbers, tl.zeros([CHUNK], tl.float32), mask=real)
    tl.debug_barrier()

    lanes = tl.arange(0, LISTED)
    mean = tl.maximum(mean, 1e-30)
    eps = first_eps * mean
    usual_width = FIRST_WIDTH * mean
    bids = 0
    lists = 0
    # Rows come in turn, and look whether their column is still good enough. Who is driven out bids at once.
    in_turn = 0
    row = 0
    driven_out = 0
    is_fresh = 0
    goes_on = tl.where(all_alike, 0, 1)
    while goes_on > 0:
        bar = tl.load(bar_memory + row)
        entries = row * LISTED + lanes
        has_list = tl.load(bar_memory + entries // LISTED) < float("inf")
        values = tl.load(list_values + entries, mask=has_list, other=float("-inf"))
        columns = tl.load(list_columns + entries, mask=has_list, other=0)
        keys = ordered(values - tl.load(v_memory + columns))
        best_key = tl.max(keys, 0)
        column = tl.min(tl.where(keys == best_key, columns, NEVER), 0)
        best = number(best_key)
        second = number(tl.max(tl.where(columns == column, NOTHING, keys), 0))
        raised = tl.maximum(eps, tl.abs(best) * RESOLUTION)
        line = base + row.to(tl.int64) * stride_s
        if (is_fresh == 0) & (second < bar) & (best - raised < bar):
            width = tl.load(width_memory + row)
            width = tl.where(width > 0, width, usual_width)
            turn = row + lists
            bar, usual_width = list_anew(
                line,
                v_memory,
                list_values + row * LISTED,
                list_columns + row * LISTED,
                width,
                LEAST_WIDTH * mean,
                turn,
                S,
                stride_t,
                CHUNK,
            )
            tl.store(bar_memory + row, bar)
            tl.store(width_memory + row, usual_width)
            tl.debug_barrier()
            lists += 1
            is_fresh = 1
        else:
            is_fresh = 0
            own = tl.load(column_memory + row)
            has_own = (own >= 0) & (driven_out == 0)
            matched = tl.load(line + own.to(tl.int64) * stride_t, mask=has_own, other=float("-inf"))
            own_gain = matched - tl.load(v_memory + own, mask=has_own, other=0.0)
            following = -1
            if own_gain < best - raised or has_own == 0:
                second = tl.minimum(best, tl.maximum(second, bar))
                second = tl.where(second == float("-inf"), best, second)
                price = tl.load(v_memory + column)
                following = tl.load(row_memory + column)
                following = tl.where(has_own & (own == column), -1, following)
                tl.debug_barrier()
                higher = number(ordered(price) + 1)
                tl.store(v_memory + column, tl.maximum(price + (best - second + raised), higher))
                tl.store(row_memory + own, -1, mask=has_own)
                tl.store(row_memory + column, row)
                tl.store(column_memory + row, column)
                tl.debug_barrier()
                bids += 1
            driven_out = (following >= 0).to(tl.int32)
            in_turn += 1 - driven_out
            if in_turn == S:
                goes_on = (eps > last_eps * mean).to(tl.int32)
                eps = tl.maximum(eps / eps_step, last_eps * mean)
                in_turn = 0
            row = tl.where(driven_out > 0, following, in_turn)
        goes_on = tl.where((bids > most_bids) | (lists > most_lists), 0, goes_on)

    gave_up = (bids > most_bids) | (lists > most_lists)
    tl.store(gave_up_out + pair, gave_up.to(tl.int32))
    wrong = tl.zeros([CHUNK], tl.int32)
    for first in range(0, S, CHUNK):
        rows = first + tl.arange(0, CHUNK)
        real = rows < S
        column = tl.load(column_memory + rows, mask=real, other=0)
        has_column = real & (column >= 0)
        back = tl.load(row_memory + column, mask=has_column, other=-1)
        wrong += (real & (back != rows)).to(tl.int32)
        offsets = rows.to(tl.int64) * stride_s + column.to(tl.int64) * stride_t
        matched = tl.load(base + offsets, mask=has_column, other=0.0)
        v = tl.load(v_memory + column, mask=has_column, other=0.0)
        tl.store(permutation_out + pair * S + rows, column.to(tl.int64), mask=has_column)
        tl.store(u_out + pair * S + rows, matched - v, mask=has_column)
    tl.store(scans_out + pair, tl.where(tl.sum(wrong, 0) > 0, -1, lists))


def layout(S: int) -> dict[str, int]:
    """Return how the program is laid out: one warp, which reads rows in parts of 8 values a lane."""
    return {"CHUNK": min(256, max(32, triton.next_power_of_2(S))), "num_warps": 1}


def few_sweeps(S: int) -> tuple[int, float]:
    """Return the Sinkhorn sweeps of the start and the factor of the entropy between two.

    >>> few_sweeps(784)[0]
    5
    """
    sweeps, last_eps = next(setting for least, setting in SWEEPS if least <= S)
    return sweeps, (last_eps / SWEEPS_FROM) ** (1 / (sweeps - 1))


def solve(affinity: Tensor, pairs: Tensor, *, start: Tensor | None = None) -> Assigned:
    """Find, for each pair, the permutation p that maximises sum_s A[s, p(s)].

    Every free row bids for its best column, A - v, and raises its price by what the second best is worse,
    and by eps, which falls tenfold from phase to phase; see `scaling_reference.minimise`. A row looks at
    its list only, its 32 best columns when the list was made: prices only rise, so all others stay worse.
    No row ends more than LAST_EPS of the mean cost below its best column. A pair that takes more than
    MOST_BIDS or MOST_LISTS a row is handed over to `triton_sap`.

    Args:
        affinity: (B_i, S, B_j, S) float32, finite, any strides; see `triton_sap.solve`.
        pairs: (P, 2) int64 on the same device.
        start: (P, S) float32 column potentials to start from; by default a few Sinkhorn sweeps give them.

    Raises SemrsmError if S is larger than 4096 or the affinities are not square or not float32.

    Source: D. P. Bertsekas, Annals of Operations Research 14 (1988), doi:10.1007/BF02186476; the lists
    follow no published code.

    >>> A = torch.tensor([[3.0, 2.0], [3.0, 0.0]]).reshape(1, 2, 1, 2)
    >>> solve(A, torch.tensor([[0, 0]])).permutation.tolist()
    [[1, 0]]
    """
    S = check_affinities(affinity)
    pairs = pairs.contiguous()
    if start is None:
        start = sinkhorn_start(affinity, pairs, few_sweeps(S))
    v = start.float().contiguous().clone()
    P = len(pairs)
    columns, rows = (torch.empty_like(v, dtype=torch.int32) for _ in range(2))
    bars, widths = torch.empty_like(v), torch.empty_like(v)
    list_values = torch.empty((P, S, LISTED.value), device=v.device)
    list_columns = torch.empty_like(list_values, dtype=torch.int32)
    mean, gave_up = torch.empty(P, device=v.device), torch.empty_like(columns[:, 0])
    solution = triton_sap.room_for(v)
    places, aligned = places_of(affinity)
    limits = S, MOST_BIDS * S, MOST_LISTS * S, FIRST_EPS, EPS_STEP, LAST_EPS
    with torch.cuda.device_of(affinity):
        mean_cost_program[(P,)](affinity, pairs, v, mean, S, *places, aligned, **tile(S))
        scaling_program[(P,)](
            *(affinity, pairs, mean, v, columns, rows, bars, widths, list_values, list_columns),
            *(solution.permutation, solution.u, solution.scans, gave_up),
            *(*limits, *places, aligned),
            **layout(S),
        )
        triton_sap.search(affinity, pairs, solution, rows, columns, todo=gave_up)
    return Assigned(solution.permutation, solution.u, v, solution.scans, gave_up > 0)
