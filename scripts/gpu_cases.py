"""The correctness checks of scripts/gpu_check, in plain Python."""

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from semrsm.engine import certificate
from semrsm.engine.assignment import triton_greedy, triton_sap, triton_scaling
from semrsm.engine.assignment.triton_products import Assign
from semrsm.engine.matchers.greedy import greedy_in_turn

Case = tuple[str, Callable[[], None]]
SOLVERS: dict[str, Assign] = {"paths": triton_sap.solve, "scaling": triton_scaling.solve}


def load(file: Path, layer: str, device: torch.device) -> Tensor:
    """Read a layer as centred position vectors (n, S, C) float32."""
    with h5py.File(file) as opened:
        maps = torch.from_numpy(np.asarray(opened[layer], dtype=np.float32)).to(device)
    vectors = maps.flatten(2).transpose(1, 2)
    return (vectors - vectors.mean(1, keepdim=True)).contiguous()


def product(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the affinities (B_i, S, B_j, S) of two blocks of samples: one large product."""
    (n, S, C), (m, _, _) = rows.shape, columns.shape
    return (rows.reshape(n * S, C) @ columns.reshape(m * S, C).T).view(n, S, m, S)


def gaussian(device: torch.device, samples: int, S: int, scale: float = 1.0) -> Tensor:
    """Return affinities of `samples` Gaussian samples with each other, 8 channels, one seed."""
    generator = torch.Generator().manual_seed(20241)
    vectors = scale * torch.randn((samples, S, 8), generator=generator).to(device)
    return product(vectors, vectors)


def every_pair(affinity: Tensor) -> Tensor:
    """Return all (i, j) of an affinity view."""
    numbers = (torch.arange(affinity.shape[k], device=affinity.device) for k in (0, 2))
    return torch.cartesian_prod(*numbers)


@contextmanager
def poisoned() -> Iterator[None]:
    """Fill fresh memory with NaN and absurd integers."""
    originals = torch.empty, torch.empty_like

    def poison(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def filled(*args: object, **options: object) -> Tensor:
            tensor = make(*args, **options)
            return tensor.fill_(torch.nan if tensor.dtype.is_floating_point else 123)

        return filled

    torch.empty, torch.empty_like = (poison(make) for make in originals)
    try:
        yield
    finally:
        torch.empty, torch.empty_like = originals


def check(
    assign: Assign, affinity: Tensor, pairs: Tensor | None = None, *, scipy_pairs: int = 10**9
) -> None:
    """Permutations; certified to 1e-6; SciPy's value to 1e-6 for the first `scipy_pairs` pairs."""
    pairs = every_pair(affinity) if pairs is None else pairs
    S = affinity.shape[1]
    with poisoned():
        found = assign(affinity, pairs)
    numbers = torch.arange(S, device=affinity.device).expand(len(pairs), S)
    assert torch.equal(found.permutation.sort(dim=1).values, numbers), "not a permutation"
    value = certificate.value(affinity, pairs, found.permutation)
    i, j = pairs.unbind(1)
    size = torch.stack([affinity[a, :, b].abs().amax(1).sum() for a, b in zip(i, j, strict=True)])
    gap = (certificate.upper_bound(affinity, pairs, found.v) - value) / size.double().clamp(1e-30)
    assert gap.max() <= certificate.ACCEPTED_GAP, f"certified gap {gap.max():.1e}"
    assert gap.min() >= 0, "the bound is below the value"
    for k in range(min(scipy_pairs, len(pairs))):
        block = affinity[i[k], :, j[k]].double().cpu().numpy()
        best = block[linear_sum_assignment(block, maximize=True)].sum()
        off = abs(value[k].item() - best) / max(size[k].item(), 1e-30)
        assert off <= certificate.ACCEPTED_GAP, f"pair {k} misses SciPy's value by {off:.1e}"


def ties(assign: Assign, device: torch.device, S: int) -> None:
    """Small integers, repeated rows, all zero, all equal."""
    generator = torch.Generator().manual_seed(1)
    few = torch.randint(-2, 3, (2, S, 2, S), generator=generator).float().to(device)
    rows = torch.randint(0, S // 3 + 1, (S,), generator=generator).to(device)
    for affinity in (few, few[:, rows], torch.zeros_like(few), torch.full_like(few, -7.0)):
        check(assign, affinity)


def same_every_time(assign: Assign, device: torch.device, S: int, samples: int, runs: int) -> None:
    """A race between warps would show as results that change, or depend on the company."""
    affinity = gaussian(device, samples, S)
    pairs = every_pair(affinity)
    first = assign(affinity, pairs)
    for _ in range(runs):
        again = assign(affinity, pairs)
        assert torch.equal(again.permutation, first.permutation), "two runs differ"
        assert torch.equal(again.v, first.v), "two runs differ in their potentials"
    alone = assign(affinity, pairs[-1:])
    assert torch.equal(alone.permutation[0], first.permutation[-1]), "batch and single differ"


def any_strides(assign: Assign, device: torch.device, S: int) -> None:
    """A view with gaps in every direction, NaN in the gaps, and a transposed one."""
    plain = gaussian(device, 2, S)
    wide = torch.full((4, 2 * S, 2, 3 * S), torch.nan, device=device)
    wide[::2, ::2, :, 1::3] = plain
    check(assign, wide[::2, ::2, :, 1::3])
    check(assign, plain.permute(2, 3, 0, 1))


def offsets_beyond_31_bits(assign: Assign, device: torch.device) -> None:
    """Two samples at the two ends of 2^31 elements and more."""
    S, n = 100, 2**31 // 10_000 + 2
    memory = torch.zeros(n * S * S, device=device)
    view = memory.view(1, S, n, S)
    view[:, :, [0, n - 1]] = gaussian(device, 1, S).repeat(1, 1, 2, 1)
    check(assign, view, torch.tensor([[0, 0], [0, n - 1]], device=device))
    check(assign, view.permute(2, 1, 0, 3), torch.tensor([[n - 1, 0]], device=device))


def real(
    assign: Assign, file: Path, layer: str, device: torch.device, samples: int, scipy_pairs: int
) -> None:
    """Real maps, every pair of the first `samples`."""
    vectors = load(file, layer, device)[:samples]
    affinity = product(vectors, vectors)
    numbers = torch.arange(samples, device=device)
    check(assign, affinity, torch.combinations(numbers), scipy_pairs=scipy_pairs)


def cases(device: torch.device, file: Path, tiny: bool) -> Iterator[Case]:
    """Yield every check with its name; `tiny` is for the interpreter."""
    for solver, assign in SOLVERS.items():
        for name, case in cases_of(assign, device, file, tiny):
            yield f"{solver}: {name}", case
    for S in (1, 17) if tiny else (1, 2, 17, 257, 784, 3136):
        yield f"greedy S={S}", lambda S=S: greedy(device, S)


def greedy(device: torch.device, S: int) -> None:
    """The columns of the readable twin, ties and all."""
    affinity = gaussian(device, 2, S).permute(0, 2, 1, 3).flatten(0, 1)
    for given in (affinity, affinity.round(), torch.zeros_like(affinity)):
        assert torch.equal(triton_greedy.greedy(given), greedy_in_turn(given))


def cases_of(assign: Assign, device: torch.device, file: Path, tiny: bool) -> Iterator[Case]:
    """Yield the checks of one solver."""
    sizes = (1, 2, 3, 17) if tiny else (1, 2, 3, 17, 49, 63, 100, 256, 257, 600, 1025, 2049, 4096)
    for S in sizes:
        samples, few = (2, 2) if S > 100 or tiny else (12, 144)
        yield (
            f"Gaussian S={S}",
            lambda S=S, n=samples, k=few: check(assign, gaussian(device, n, S), scipy_pairs=k),
        )
    for S in (5,) if tiny else (5, 49, 300):
        yield f"ties S={S}", lambda S=S: ties(assign, device, S)
    for scale in (1e-3, 1e4):
        yield (
            f"features of size {scale:g}",
            lambda c=scale: check(assign, gaussian(device, 2, 9, c)),
        )
    yield "negative", lambda: check(assign, gaussian(device, 2, 9) - 1000)
    yield "strides", lambda: any_strides(assign, device, 7)
    for S, n, runs in ((9, 2, 1),) if tiny else ((49, 40, 20), (300, 20, 20), (784, 8, 10)):
        yield (
            f"same every time S={S}",
            lambda a=(S, n, runs): same_every_time(assign, device, *a),
        )
    if not tiny:
        yield "64-bit offsets", lambda: offsets_beyond_31_bits(assign, device)
    if not file.exists():
        print(f"real maps left out: no {file}", flush=True)
        return
    layers = {"layer4": (2, 1)} if tiny else LAYERS
    for layer, (samples, scipy_pairs) in layers.items():
        yield (
            f"real {layer}",
            lambda a=(layer, device, samples, scipy_pairs): real(assign, file, *a),
        )


# How many samples are matched with each other, and how many of their pairs SciPy solves as well.
LAYERS = {"layer4": (24, 276), "layer3": (24, 100), "layer2": (8, 10), "layer1": (4, 0)}


def run(cases: Iterable[Case]) -> bool:
    """Run every check, print one line each; return whether all passed."""
    passed = True
    for name, case in cases:
        started = time.monotonic()
        try:
            case()
            verdict = "ok"
        except Exception as error:  # a check that breaks is a check that fails
            traceback.print_exc()
            passed, verdict = False, f"FAILED: {error}"
        print(f"{name:32} {time.monotonic() - started:6.1f} s  {verdict}", flush=True)
    return passed
