"""TARGETS: what an RSM can be exported to, a row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from semrsm.export.arrays import (
    write_condensed,
    write_csv,
    write_mat,
    write_net2brain,
    write_npy,
    write_npz,
)
from semrsm.export.content import DISTANCES, SIMILARITIES, Content
from semrsm.export.libraries import write_parquet, write_rsatoolbox, write_zarr

BOTH = (SIMILARITIES, DISTANCES)


@dataclass(frozen=True)
class Target:
    """A kind of file that others read.

    Attributes:
        name: Key in TARGETS.
        summary: One line.
        read_by: How it is read again, in code.
        suffixes: What its names end in.
        write: Writes the content under a temporary name where nothing stands.
        values: What it may hold; the first is taken where nothing is said.
        several: It holds several layers; else one.
        samples: It keeps the ids of the samples.
        labels: It keeps labels.
        rectangular: It holds RSMs of two sets of samples.
        whole_bytes: Bytes that are held for each entry of each layer; 0 where blocks of rows suffice.
        most_bytes: Of one array that the format can hold; None without a limit.
        library: What has to be installed, of the extra `export`; None for nothing more.
        folder: It is a folder, not a file.
    """

    name: str
    summary: str
    read_by: str
    suffixes: tuple[str, ...]
    write: Callable[[Path, Content], None]
    values: tuple[str, ...] = BOTH
    several: bool = True
    samples: bool = True
    labels: bool = True
    rectangular: bool = True
    whole_bytes: int = 0
    most_bytes: int | None = None
    library: str | None = None
    folder: bool = False


TARGETS: Mapping[str, Target] = {
    row.name: row
    for row in (
        Target(
            "npy",
            "one NumPy array (n, m)",
            "numpy.load(FILE)",
            (".npy",),
            write_npy,
            several=False,
            samples=False,
            labels=False,
        ),
        Target(
            "npz",
            "a NumPy array for each layer, and samples and labels",
            "numpy.load(FILE)[LAYER]",
            (".npz",),
            write_npz,
        ),
        Target(
            "csv",
            "a table with ids in its first column and header",
            "pandas.read_csv(FILE, index_col=0)",
            (".csv",),
            write_csv,
            several=False,
            labels=False,
        ),
        Target(
            "mat",
            "a MATLAB 5 file: rsm (n, m) or (n, m, layers), layers, samples, labels",
            "scipy.io.loadmat(FILE)['rsm']",
            (".mat",),
            write_mat,
            whole_bytes=16,
            most_bytes=(1 << 31) - 1,
        ),
        Target(
            "parquet",
            "a table with a row for each pair i <= j: layer, matcher, kernel, i, j, samples, labels, value",
            "pandas.read_parquet(FILE)",
            (".parquet",),
            write_parquet,
            library="pyarrow",
        ),
        Target(
            "rsatoolbox",
            "RDMs of rsatoolbox, one for each layer",
            "rsatoolbox.rdm.load_rdm(FILE)",
            (".h5", ".hdf5"),
            write_rsatoolbox,
            values=(DISTANCES,),
            rectangular=False,
        ),
        Target(
            "net2brain",
            "one RDM as Net2Brain saves it",
            "net2brain.rdm.rdm.LayerRDM.from_file(FILE)",
            (".npz",),
            write_net2brain,
            values=(DISTANCES,),
            several=False,
            labels=False,
            rectangular=False,
        ),
        Target(
            "condensed",
            "the pairs i < j as a vector (NumPy)",
            "scipy.spatial.distance.squareform(numpy.load(FILE))",
            (".npy",),
            write_condensed,
            values=(DISTANCES, SIMILARITIES),
            several=False,
            samples=False,
            labels=False,
            rectangular=False,
        ),
        Target(
            "zarr",
            "a Zarr group, an array for each layer, samples and labels as attributes",
            "zarr.open_group(FILE)[LAYER]",
            (".zarr",),
            write_zarr,
            library="zarr",
            folder=True,
        ),
    )
}
