"""Names of layers that an RSM file can hold; FORMAT.md says where they stand in it."""

from __future__ import annotations

from semrsm.errors import SemrsmError

# What a layer's own group holds: below another layer these names mean something else.
MEMBERS = {
    *("matched", "upper_bound", "value_sum", "rsm"),
    *("squared_norm", "row_squared_norm", "column_squared_norm"),
}


def check_layer_name(name: str) -> None:
    """Refuse a name under which a layer could not be written to an RSM file, or not be found in it.

    Raises SemrsmError if it is no text, or one of the parts that "/" joins is empty, "." or, behind the
    first, the name of what a layer's group holds.

    >>> check_layer_name("encoder/layer.4")
    """
    problem = _problem(name)
    if problem:
        raise SemrsmError(
            f"the layer '{name}' cannot be stored, as its name {problem}; rename it, or choose other"
            " layers"
        )


def _problem(name: object) -> str | None:
    if not isinstance(name, str):
        return "is not UTF-8"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not UTF-8"
    parts = name.split("/")
    if "\0" in name:
        return "holds a zero byte"
    if "" in parts or "." in parts:
        return "is, or has between slashes, nothing or a dot"
    if reserved := MEMBERS & set(parts[1:]):
        return f"holds '/{min(reserved)}', which is part of another layer"
    return None
