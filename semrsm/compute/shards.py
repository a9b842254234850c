"""Finishing a run whose tiles were matched by several processes: complete, or what is missing."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from semrsm.compute.finish import finish_run
from semrsm.compute.options import RunOptions
from semrsm.compute.run_report import Report
from semrsm.compute.status import missing_places, open_folders
from semrsm.compute.tiled_layer import Folders, grid_of
from semrsm.errors import SemrsmError
from semrsm.storage.run_folder import RunFolder, refuse_foreign
from semrsm.storage.run_lock import locked
from semrsm.storage.whole_files import check_output, refuse_inputs

SHOWN = 6  # missing tiles that are named


def finish_shards(
    out: Path, paths: Sequence[Path], options: RunOptions, command: str = "semrsm.finish"
) -> Report:
    """Write the RSM file of a run whose tiles are all there, and remove its run folders.

    Args:
        out: The RSM file to write.
        paths: The run folders, all of one run; none means the one beside the output.
        options: `kernel`, `sigma`, `memory` and `overwrite` are used.
        command: What to record as the command.

    Raises:
        SemrsmError: There is no run folder, tiles are missing or damaged, or the file cannot be
            written; nothing is removed then.
    """
    folders = open_folders(out, list(dict.fromkeys(paths)))
    for folder in folders:
        refuse_foreign(folder.path, out)
        files = (folder.run[name] for name in ("activations", "against"))
        refuse_inputs(out, (Path(file["path"]) for file in files if file))
    check_output(out, options.overwrite)
    with contextlib.ExitStack() as stack:
        for folder in folders:
            stack.enter_context(locked(folder.path))
        refuse_missing(out, folders)
        reports = finish_run(Folders(folders), out, options, command, {})
        for folder in folders:
            folder.remove()
    return Report(out, reports)


def refuse_missing(out: Path, folders: Sequence[RunFolder]) -> None:
    """Raise SemrsmError if a tile is in none of the folders: which, and the command that computes them."""
    missing = [
        f"{name} {row}-{column}"
        for name, about in folders[0].run["layers"].items()
        for row, column in missing_places(list(folders), name, grid_of(about))
    ]
    if not missing:
        return
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    here = f", or compute them here: {command_of(out, folders[0])}" if len(folders) == 1 else ""
    raise SemrsmError(
        f"{len(missing)} tiles of {out} are missing: {', '.join(missing[:SHOWN])}{more}; give the"
        f" commands of the shards again{here}"
    )


def command_of(out: Path, folder: RunFolder) -> str:
    """Return the command that computes what is missing in a run folder, and finishes it.

    It names what shapes the tiles; kernels are the user's affair where the matcher leaves a choice.
    """
    run = folder.run
    words = ["semrsm", "compute", run["activations"]["path"], "-o", str(out)]
    words += ["--run-folder", str(folder.path)]
    for name in run["layers"]:
        words += ["-l", name]
    if run["against"]:
        layer = f"::{run['against_layer']}" if run["against_layer"] else ""
        words += ["--against", run["against"]["path"] + layer]
    words += ["-m", run["matcher"]]
    pool = run["pool"] and "x".join(map(str, run["pool"]))
    flags = {
        **run["parameters"],
        **{"dtype": run["dtype"], "precision": run["precision"], "samples": run["samples"]},
        **{"exclude": run.get("exclude"), "seed": run.get("seed")},
        **{"pool": pool, "skip-tokens": run["skip_tokens"] or None, "layout": run["layout"]},
    }
    for name, value in flags.items():
        words += [f"--{name}", str(value)] if value is not None else []
    words += [] if run["permutation"] else ["-k", "linear"]
    words += ["--certify"] if run["certify"] else []
    words += ["--bfloat16"] if run["bfloat16"] else []
    return shlex.join(words)
