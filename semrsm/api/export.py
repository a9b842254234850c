"""`semrsm.export` from Python: RSMs as files that other tools read."""

from __future__ import annotations

from pathlib import Path

from semrsm.api.arguments import Names, Records, RsmLike, bytes_in, keep_inputs, names_in, rsm_in
from semrsm.export.run import export_rsms
from semrsm.storage.address import require_path
from semrsm.storage.labels import AddressOrArray


def export(
    rsm: RsmLike,
    out: str | Path,
    *,
    to: str,
    layer: Names = (),
    kernel: str | None = None,
    values: str | None = None,
    labels: AddressOrArray | None = None,
    by_position: bool = False,
    memory: str | int | None = None,
    overwrite: bool = False,
) -> Records:
    """Write RSMs as a file that another tool reads, whole or not at all.

    RSMs are written by blocks of rows, but for the target mat, which is refused with the number of bytes
    where it does not fit in memory.

    Args:
        rsm: An RSM file or plain matrix, `path` or `path::layer`, or a matrix (n, n) in memory.
        out: What to write; its suffix is that of the target.
        to: A key of TARGETS: npy, npz, csv, mat, parquet, rsatoolbox, net2brain, condensed, zarr.
        layer: Names or globs; none means all; npy, csv, net2brain and condensed hold one.
        kernel: Finished where not stored; None takes the first that is stored.
        values: "similarities" or "distances"; None is what the target usually holds. Distances are 1 - s
            of the kernels cosine and rbf, and s_ii + s_jj - 2 s_ij of linear.
        labels: Of the samples: an address or an array (n,), kept where the target has a place for them.
        by_position: Row i of the labels is of sample i, whatever ids they have.
        memory: Bytes, or a size such as "4GiB"; None means half of the machine's.
        overwrite: Replace the output if it exists.

    Returns:
        A record for each RSM: output, layer, matcher, kernel, values, rows, columns. Its `notes` say what
        the file does not keep.

    Raises:
        SemrsmError: An input, an argument or the output is not as it must be; the target cannot hold
            what is asked for, or its library is not installed; or it does not fit in memory.

    Example: the distances of three samples, as SciPy has them.
        >>> import tempfile
        >>> out = tempfile.mkdtemp() + "/three.npy"
        >>> rsm = np.array([[1.0, 0.5, 0.25], [0.5, 1, 0], [0.25, 0, 1]])
        >>> export(rsm, out, to="condensed")[0]["values"], np.load(out).tolist()
        ('1 - cosine', [0.5, 0.75, 1.0])
    """
    require_path(out, "out", "name the file to write")
    keep_inputs(Path(out), rsm, labels)
    written = export_rsms(
        rsm_in(rsm, "the RSM"),
        Path(out),
        to,
        layers=names_in(layer, "layer"),
        kernel=kernel,
        values=values,
        labels=labels,
        by_position=by_position,
        memory=bytes_in(memory),
        overwrite=overwrite,
    )
    return Records(written.records, written.notes)
