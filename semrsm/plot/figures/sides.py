"""What the rows and the columns of a table of comparisons are: layers, of which files, matched by what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from semrsm.plot.figures.grids import LINE, letters_in, text_inches, wrapped
from semrsm.plot.figures.records import Record, common, file_name, matching
from semrsm.plot.figures.short_names import shorten_all, shorten_ids

BLOCK = 0.6  # inches of the layers of a file, at least, for its name to stand beside them
AIR = 0.06  # inches between two texts
LETTERS = 28  # of the name of a layer

Item = tuple[Any, Any]  # file and layer
Matchers = dict[Item, Any]  # by what each is matched, in the order of the table


@dataclass(frozen=True)
class Side:
    """The rows or the columns of a table.

    Attributes:
        names: (file, layer) -> what its tick says.
        starts: The number of the first layer of each file, and the number of all at the end.
        files: What stands beside the layers of each file; none where the ticks name it, or it is one.
        label: At the axis.
        inches: How wide the widest tick is.
    """

    names: dict[Item, str]
    starts: list[int]
    files: list[str]
    label: str
    inches: float

    @property
    def room(self) -> float:
        """Inches that label and files take beyond the ticks."""
        return (self.label.count("\n") + 1 + bool(self.files)) * LINE + 0.16

    @property
    def pad(self) -> float:
        """Points between the ticks and the label."""
        return 4 + 72 * LINE * bool(self.files)


def side_of(records: Sequence[Record], side: str, inches: float) -> Side:
    """Return what the rows or the columns are: layers of which files, matched by what."""
    layer, matcher = f"layer_{side}", f"matcher_{side}"
    matchers = {(r[side], r[layer]): r.get(matcher) for r in records}
    runs = [(path, len(list(run))) for path, run in groupby(matchers, lambda item: item[0])]
    several = len(runs) > 1 and len({path for path, _ in runs}) == len(runs)
    starts = [0]
    for _, count in runs:
        starts.append(starts[-1] + count)
    each = inches / len(matchers)
    parted = several and len(runs) < len(matchers)
    beside = parted and each * min(count for _, count in runs) >= BLOCK
    names = _layer_names(matchers) if beside else _full_names(matchers)
    files = _file_names(matchers, runs, each) if beside else []
    label = _label(records, side, inches, "layer" if beside else "file and layer")
    starts = starts if parted else [0, len(matchers)]
    return Side(names, starts, files, label, text_inches(names.values()))


def _label(records: Sequence[Record], side: str, inches: float, of_several: str) -> str:
    """Return what an axis is: layers of which file, matched by what."""
    files = list(dict.fromkeys(file_name(r[side]) for r in records))
    [matcher] = common(records, f"matcher_{side}")
    what = f"layer of {files[0]}" if len(files) == 1 else of_several
    lines = wrapped(what, max(inches, 1.6)) + ([matching(str(matcher))] if matcher else [])
    return "\n".join(lines)


def _by_file(matchers: Matchers) -> bool:
    """Say whether files differ by matcher, and each has one."""
    of_file: dict[Any, set[Any]] = {}
    for (path, _), by in matchers.items():
        of_file.setdefault(path, set()).add(by)
    return len(set(matchers.values())) > 1 and all(len(by) == 1 for by in of_file.values())


def _layer_names(matchers: Matchers) -> dict[Item, str]:
    """Return what the layers are called where their files stand beside them."""
    alike = len(set(matchers.values())) == 1 or _by_file(matchers)
    names = [
        " ".join(map(str, filter(None, (name or file_name(path), None if alike else by))))
        for (path, name), by in matchers.items()
    ]
    return dict(zip(matchers, shorten_all(names, LETTERS), strict=True))


def _file_names(matchers: Matchers, runs: Sequence[tuple[Any, int]], each: float) -> list[str]:
    """Return what stands beside the layers of each file: its name, and its matcher if only that tells it."""
    matcher_of = {path: by for (path, _), by in matchers.items()} if _by_file(matchers) else {}
    names = []
    for path, _ in runs:
        name, by = file_name(path), str(matcher_of.get(path) or "")
        names.append(name if by in name else f"{name}, {by}")
    return shorten_ids(names, letters_in(each * min(count for _, count in runs)))[0]


def _full_names(matchers: Matchers) -> dict[Item, str]:
    """Return what the layers are called with their files, as short as the table allows."""
    files, layers = ({key[part] for key in matchers} for part in (0, 1))
    one_layer = len(layers) == 1 and len(files) > 1
    names = []
    for (path, name), by in matchers.items():
        parts = [file_name(path)] if len(files) > 1 or not name else []
        parts += [str(name)] if name and not one_layer else []
        parts += [str(by)] if by and len(set(matchers.values())) > 1 else []
        names.append(" ".join(parts))
    return dict(zip(matchers, shorten_all(names, LETTERS), strict=True))
