"""What the shape of an array says of the convention it was saved in, where that is not the one it is read in.

A guess is said and never acted on: who saved the array knows better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from semrsm.engine.positions import Positions

# Tokens in front of a square grid of them: so many, what they may be, and the least side of a grid for
# which that is said. DeiT distils into a second token; DINOv2 and others add four registers.
FRONT_TOKENS = (
    (1, "that is a class token, leave it out", 2),
    (2, "these are a class and a distillation token, leave them out", 7),
    (5, "these are a class token and 4 register tokens, leave them out", 4),
    (9, "these are a class token and 8 register tokens, leave them out", 7),
)
MUCH_LONGER = 8  # times the longest of the other axes: so long are axes of channels, not of space
RGB = 3  # channels of an image
SOME_NAMES = 3  # layers that a hint names
FEW = 16  # tokens, of which nothing is said


def hint_of(shape: tuple[int, ...], positions: Positions) -> str | None:
    """Say what else an array looks like than what it is read as; None if nothing.

    Args:
        shape: Of the array, the samples first.
        positions: How it is read.

    >>> hint_of((20, 7, 7, 512), Positions("nchw"))
    "its shape (20, 7, 7, 512) looks as if channels stood last; if they do, say `layout='nhwc'`"
    >>> hint_of((24, 201, 768), Positions("ntd"))
    '201 tokens are 14 x 14 and 5 more; if these are a class token and 4 register tokens, leave them out with `skip_tokens=5`'
    >>> hint_of((24, 512, 7, 7), Positions("nchw")) is None
    True
    """  # noqa: E501
    if positions.is_map:
        return _batches(shape, positions.layout) or _other_channels(shape, positions.layout)
    if positions.layout == "nd":
        return None
    return _other_tokens(shape, positions.layout) or _front_tokens(shape, positions)


def hints_of(layers: Iterable[tuple[str, tuple[int, ...], Positions]]) -> list[str]:
    """Say of layers, (name, shape, positions), what `hint_of` says of each; once where it says the same.

    >>> tokens = Positions("ntd")
    >>> hints_of((f"block{k}", (20, 17, 24), tokens) for k in range(12))[0].partition(" one more")[0]
    'block0, block1, block2 and 9 more: 17 tokens are 4 x 4 and'
    """
    names_by_hint: dict[str, list[str]] = {}
    for name, shape, positions in layers:
        if hint := hint_of(shape, positions):
            names_by_hint.setdefault(hint, []).append(name)
    return [f"{_some(names)}: {hint}" for hint, names in names_by_hint.items()]


def _some(names: list[str]) -> str:
    more = len(names) - SOME_NAMES
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:SOME_NAMES])} and {more} more"


def against_record(layouts: Sequence[tuple[str, str | None, str]]) -> str | None:
    """Say which layers are read otherwise than their file says; None if there is none.

    Args:
        layouts: Of each layer its name, the layout that the file records, and the one it is read with.

    >>> against_record([("a", "nchw", "nchw"), ("b", None, "nhwc")]) is None
    True
    >>> against_record([("a", "ntd", "ndt"), ("b", "ntd", "ndt")])
    "the file records another layout than `layout='ndt'`, which is taken: a is ntd, b is ntd"
    """
    others = [(name, own, taken) for name, own, taken in layouts if own not in (None, taken)]
    if not others:
        return None
    own_layouts = ", ".join(f"{name} is {own}" for name, own, _ in others)
    taken = others[0][2]
    return f"the file records another layout than `layout='{taken}'`, which is taken: {own_layouts}"


def _batches(shape: tuple[int, ...], layout: str) -> str | None:
    """Say that a volume may be a stack of batches of maps: it is as deep as maps have channels."""
    if layout != "ncdhw" or shape[3] != shape[4] or shape[2] < MUCH_LONGER * shape[3]:
        return None
    return (
        f"its shape {shape} looks as if it were {shape[0]} batches of {shape[1]} samples; if it is, save it"
        f" as {(shape[0] * shape[1], *shape[2:])}"
    )


def _other_channels(shape: tuple[int, ...], layout: str) -> str | None:
    """Say that the channels of a map may stand at its other end."""
    last = layout.endswith("c")
    space, channels = (shape[2:], shape[1]) if last else (shape[1:-1], shape[-1])
    side = max(space)
    even = side > 1 and len(set(space)) == 1 and (channels > side or channels == RGB != side)
    if not even and channels < MUCH_LONGER * side:
        return None
    where, other = ("second", f"nc{layout[1:-1]}") if last else ("last", f"n{layout[2:]}c")
    return (
        f"its shape {shape} looks as if channels stood {where}; if they do, say `layout='{other}'`"
    )


def _other_tokens(shape: tuple[int, ...], layout: str) -> str | None:
    """Say that tokens and channels may stand the other way round: the channels make a grid, tokens none."""
    tokens, channels = shape[layout.index("t")], shape[layout.index("d")]
    odd = channels % 2 == 1 and tokens % 64 == 0  # 197 channels are rare, 1024 are not
    if not FEW < channels < tokens or not _make_a_grid(channels):
        return None
    if _make_a_grid(tokens) and not odd:
        return None
    where, other = ("last", "ndt") if layout == "ntd" else ("second", "ntd")
    return f"its shape {shape} looks as if tokens stood {where}; if they do, say `layout='{other}'`"


def _make_a_grid(n: int) -> bool:
    """Say whether so many tokens may be a square grid, with class and register tokens or without."""
    return any(math.isqrt(n - front) ** 2 == n - front for front in (0, 1, 5))


def _front_tokens(shape: tuple[int, ...], positions: Positions) -> str | None:
    """Say that a square grid of tokens stands behind a class token, or several such tokens."""
    tokens = positions.count(shape)
    if positions.skip_tokens or math.isqrt(tokens) ** 2 == tokens:
        return None
    for front, what, least in FRONT_TOKENS:
        side = math.isqrt(max(0, tokens - front))
        if side >= least and side * side == tokens - front:
            more = "one more" if front == 1 else f"{front} more"
            return f"{tokens} tokens are {side} x {side} and {more}; if {what} with `skip_tokens={front}`"
    return None
