"""`semrsm.compute`, `finish` and `status`: activation files to RSM files from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from semrsm.api.arguments import Names, Progress, options_in
from semrsm.compute.options import options_of
from semrsm.compute.run import Listener, compute_with
from semrsm.compute.run_report import Report
from semrsm.compute.shards import finish_shards
from semrsm.compute.status import RunStatus, run_status
from semrsm.errors import SemrsmError
from semrsm.storage.address import require_path


def compute(
    activations: str | Path,
    out: str | Path,
    *,
    layer: Names = (),
    kernel: Names = "cosine",
    matcher: str = "optimal",
    topk: int | None = None,
    window: int | None = None,
    epsilon: float | None = None,
    group: int | None = None,
    sigma: str | float = "median",
    layout: str | None = None,
    skip_tokens: int = 0,
    pool: str | tuple[int, int] | None = None,
    samples: str | Sequence[int | str] | NDArray[Any] | None = None,
    exclude: str | int | Sequence[int] | None = None,
    seed: int = 0,
    against: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    workers: int | None = None,
    dask: str | None = None,
    shard: str | tuple[int, int] | None = None,
    run_folder: str | Path | None = None,
    restart: bool = False,
    memory: str | int | None = None,
    dtype: str = "float32",
    precision: str = "exact",
    certify: bool = False,
    bfloat16: bool = False,
    overwrite: bool = False,
    on_progress: Progress = lambda layer, pairs, of: None,
    on_note: Callable[[str], None] = lambda text: None,
    command: str = "semrsm.compute",
) -> Report:
    """Compute the RSMs of an activation file and write them, with how they were made, to an RSM file.

    For every pair of samples (i, j) the matcher finds which positions belong together and
    m_ij = sum_s <x_s, y_p(s)> is stored; each kernel is finished from m. One matching pass serves all
    kernels. The file is described in semrsm/storage/FORMAT.md.

    What is found is kept tile by tile in a run folder beside the output, `OUT.run`, until the file
    is written. A run that was stopped, whatever stopped it, goes on when it is called again.

    Args:
        activations: File or folder of a kind in docs/formats.md, or `path::layer`; arrays (n,c,h,w),
            (n,c,d,h,w), (n,t,d) or (n,d), float16, float32 or float64.
        out: The RSM file to write, by custom NAME.rsm.h5.
        layer: Names or globs; none means every map.
        kernel: Keys of KERNELS: "linear", "cosine", "rbf".
        matcher: A key of MATCHERS: "optimal" (semantic), "identity" (spatio-semantic), ...
        topk: Of topk-greedy: so many positions of largest norm are matched optimally.
        window: Of batch-optimal: positions in a window of equal norms.
        epsilon: Of sinkhorn: entropy, relative to the range of a pair's affinities.
        group: Of coarse: positions in a group of similar ones.
        sigma: Width of rbf: "median" or a number.
        layout: Axes of the arrays, a key of LAYOUTS; None takes that of the file, or nchw, ntd, nd.
        skip_tokens: Leave out so many tokens at the front.
        pool: Average-pool the grid to (height, width) positions first, or "HxW".
        samples: Only these: "START:STOP[:STEP]", "random:K", a file of ids or numbers, or a list.
        exclude: Leave out these samples, by their numbers in the file.
        seed: Of random samples.
        against: Another activation file, whose samples are the columns of a rectangular RSM.
        device: "auto", "cpu", "cuda", "cuda:N", several as "cuda:0,cuda:1", or "all".
        threads: Threads that solve pairs, in each process; None takes the cores at hand.
        workers: Match in so many processes.
        dask: Match on a Dask cluster: its address, or "local:N".
        shard: Match part I of N of the tiles only, "I/N".
        run_folder: Where tiles are kept; None is beside the output.
        restart: Throw away what an earlier run left.
        memory: Bytes, or a size such as "4GiB"; None means half of the machine's.
        dtype: Of the products: "float32" or "float64"; sums are float64.
        precision: Of the products: "exact" or "fast".
        certify: Also store an upper bound of what any matching of each pair reaches.
        bfloat16: Read 2-byte arrays as bfloat16.
        overwrite: Replace the output if it exists.
        on_progress: Called with (layer, pairs done, pairs in all).
        on_note: Told what else should be known: that the run goes on, that a tile was damaged.
        command: What to record as the command.

    Returns:
        The report: a record for each layer, which `pandas.DataFrame(report)` takes. Of a shard, which
        writes no RSM file, it has none.

    Raises:
        SemrsmError: The input, an option or the output is not as it must be. The tiles that were
            matched are kept.

    Source: Wald et al., NeurIPS 2024, arXiv:2410.23107.

    Example:
        >>> import tempfile
        >>> from semrsm.data import digits_path
        >>> out = tempfile.mkdtemp() + "/digits.rsm.h5"
        >>> report = compute(digits_path(), out, layer="resnet/layer3", samples="0:8")
        >>> [(record["layer"], record["pairs"], record["matcher"]) for record in report]
        [('resnet/layer3', 28, 'optimal')]
    """
    options = options_of(options_in(locals()))
    require_path(activations, "activations", "for an array in memory use semrsm.rsm")
    require_path(out, "out", "name the RSM file to write, by custom NAME.rsm.h5")
    listener = Listener(on_progress, on_note)
    return compute_with(activations, Path(out), options, listener, command)


def finish(
    out: str | Path,
    folders: Sequence[str | Path] = (),
    *,
    kernel: Names = "cosine",
    sigma: str | float = "median",
    memory: str | int | None = None,
    overwrite: bool = False,
) -> Report:
    """Write the RSM file of a run whose shards are done, and remove its run folders.

    Args:
        out: The RSM file to write.
        folders: Run folders of the shards; none means the one beside the output.
        kernel: Keys of KERNELS.
        sigma: Width of rbf: "median" or a number.
        memory: Bytes, or a size such as "4GiB"; None means half of the machine's.
        overwrite: Replace the output if it exists.

    Returns:
        The report: a record for each layer.

    Raises:
        SemrsmError: There is no run folder, tiles are missing or damaged, or the file cannot be written;
            nothing is removed then.

    Example:
        >>> import tempfile
        >>> from semrsm.data import digits_path
        >>> out = tempfile.mkdtemp() + "/digits.rsm.h5"
        >>> few = {"layer": "resnet/layer3", "samples": "0:8"}
        >>> [list(compute(digits_path(), out, shard=(part, 2), **few)) for part in (1, 2)]
        [[], []]
        >>> [record["pairs"] for record in finish(out)]
        [28]
    """
    options = options_of(options_in(locals()))
    require_path(out, "out", "name the RSM file to write")
    return finish_shards(Path(out), _folders(folders), options)


def _folders(folders: Sequence[str | Path]) -> list[Path]:
    if isinstance(folders, str | Path):
        raise SemrsmError(f"folders are a list of run folders, got {folders!r}; give [{folders!r}]")
    return [Path(folder) for folder in folders]


def status(out: str | Path, folders: Sequence[str | Path] = ()) -> RunStatus:
    """Return how far the run that writes an RSM file is, read from its run folder.

    Args:
        out: The RSM file that the run writes.
        folders: Its run folders; none means the one beside it.

    Returns:
        `pairs_per_second`, `seconds_left` and `at_work`, and a record of tiles and pairs for each layer,
        which `pandas.DataFrame(...)` takes; of a file that is written it has none.

    Raises:
        SemrsmError: There is neither a run folder nor the file.

    Example: an RSM file that is finished has nothing left to do.
        >>> import tempfile
        >>> from semrsm.data import digits_path
        >>> out = tempfile.mkdtemp() + "/digits.rsm.h5"
        >>> report = compute(digits_path(), out, layer="resnet/layer3", samples="0:8")
        >>> status(out).seconds_left, list(status(out))
        (0.0, [])
    """
    require_path(out, "out", "name the RSM file that the run writes")
    return run_status(Path(out), _folders(folders))
