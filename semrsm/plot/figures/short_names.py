"""Names that are too long for a picture, shortened so that different ones stay different."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from semrsm.plot.figures.canvas import drawable

LETTERS = 20  # of a name; a longer one is shortened
CUT = "…"
WORDS = re.compile(r"[^\W_]+|[\W_]")  # letters and digits that belong together; what stands between


def shorten(name: str, letters: int = LETTERS) -> str:
    """Return one name that fits, shortened in the middle.

    >>> shorten("ILSVRC2012_val_00000293.JPEG", 12)
    'ILSVR…3.JPEG'
    """
    name = drawable(name)
    if len(name) <= letters:
        return name
    head = (letters - 1) // 2
    return f"{name[:head]}{CUT}{name[len(name) - (letters - 1 - head) :]}"


def shorten_all(names: Sequence[str], letters: int = LETTERS) -> list[str]:
    """Return names of at most so many letters; those that differ stay different.

    The words that most of the names have in common are left out first, then the middle; where even that
    makes two names equal, what differs is kept, or else they are numbered.

    Args:
        names: Any texts, also equal ones.
        letters: At least 8.

    Example:
        >>> layers = [f"vit.encoder.layer.{i}.attention.output.dense" for i in (1, 10)]
        >>> shorten_all([*layers, "vit.layernorm"], 20)
        ['…1…output.dense', '…10…output.dense', 'vit.layernorm']
    """
    names = [drawable(name) for name in names]
    distinct = list(dict.fromkeys(names))
    if all(len(name) <= letters for name in distinct):
        return list(names)
    short = _without_common_words(distinct, letters)
    for index in range(len(distinct)):
        short[index] = shorten(short[index], letters)
    _keep_apart(distinct, short, letters)
    short_of = dict(zip(distinct, short, strict=True))
    return [short_of[name] for name in names]


def shorten_ids(ids: Sequence[str], letters: int = LETTERS) -> tuple[list[str], str]:
    """Return ids of samples of at most so many letters, all shortened in one way, and what they share.

    Where one is too long, the words that all end with are left out, then those that all begin with;
    then the middle, at one place in all that are still too long.

    Returns:
        The ids, different ones different; and what was left out of all: "*.png", or "".

    Example:
        >>> shorten_ids(["circle/blue_02.png", "triangle/yellow_10.png"], 14)
        (['circle/blue_02', 'triang…llow_10'], '*.png')
    """
    ids = [drawable(name) for name in ids]
    words = [WORDS.findall(name) for name in dict.fromkeys(ids)]
    if len(words) < 2 or all(len(name) <= letters for name in ids):
        return shorten_all(ids, letters), ""
    spare = min(map(len, words)) - 1  # one word is kept of each
    ending = "".join(_shared([of_id[::-1] for of_id in words], spare)[::-1])
    short = [name.removesuffix(ending) for name in ids]
    beginning = ""
    if any(len(name) > letters for name in short):
        beginning = "".join(_shared(words, spare - len(WORDS.findall(ending))))
        short = [name.removeprefix(beginning) for name in short]
    left_out = f"{beginning}*{ending}" if beginning or ending else ""
    return _cut_alike(short, letters), left_out


def _shared(words: Sequence[Sequence[str]], most: int) -> list[str]:
    """Return the words, at most so many, that all begin with."""
    same = takewhile(lambda at_one_place: len(set(at_one_place)) == 1, zip(*words, strict=False))
    return [at_one_place[0] for at_one_place in same][: max(0, most)]


def _cut_alike(names: Sequence[str], letters: int) -> list[str]:
    """Return names whose middle is left out after one number of letters, at which all stay different."""
    distinct = set(names)
    kept = letters - len(CUT)
    for head in sorted(range(kept + 1), key=lambda head: abs(2 * head - kept)):
        short = {
            name: name
            if len(name) <= letters
            else f"{name[:head]}{CUT}{name[len(name) - (kept - head) :]}"
            for name in distinct
        }
        if len(set(short.values())) == len(distinct):
            return [short[name] for name in names]
    return shorten_all(names, letters)


def _without_common_words(names: Sequence[str], letters: int) -> list[str]:
    """Leave out of the names that are too long the words that most names have, until they fit."""
    words = [WORDS.findall(name) for name in names]
    counts = Counter(w for of_name in words for w in dict.fromkeys(of_name) if w.isalnum())
    short = list(names)
    left_out: list[set[str]] = [set() for _ in names]
    for word, count in counts.most_common():
        long = [index for index, name in enumerate(short) if len(name) > letters]
        if not long or count < 2:
            break
        tried = list(short)
        for index in long:
            if word in words[index]:
                tried[index] = _without(words[index], left_out[index] | {word})
        if len(set(tried)) == len(set(short)):
            for index in long:
                left_out[index].add(word)
            short = tried
    return short


def _without(words: Sequence[str], left_out: set[str]) -> str:
    """Return a name with … in the place of words that are left out, and of what stands between them.

    >>> _without(["vit", ".", "layer", ".", "0", ".", "dense"], {"vit", "layer"})
    '…0.dense'
    """
    kept = [CUT if word in left_out else word for word in words]
    return re.sub(rf"[\W_]*{CUT}[\W_]*", CUT, "".join(kept))


def _keep_apart(names: Sequence[str], short: list[str], letters: int) -> None:
    """Change short names that are equal: to a part that differs, or else by a number at the end."""
    for fitting in (_differing, _numbered):
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(short):
            groups.setdefault(name, []).append(index)
        taken = {name for name, group in groups.items() if len(group) == 1}
        for group in (group for group in groups.values() if len(group) > 1):
            alike = [index for index in group if short[index] != names[index]]
            taken |= {short[index] for index in group if short[index] == names[index]}
            replacements = fitting([names[index] for index in alike], letters, taken)
            for index, name in zip(alike, replacements, strict=True):
                short[index] = name
            taken |= set(replacements)


def _differing(names: Sequence[str], letters: int, taken: set[str]) -> list[str]:
    """Return the part of each name that begins where they differ; the middle cut if that does not do."""
    least, most = min(names), max(names)
    same = (a == b for a, b in zip(least, most, strict=False))
    first = max(0, sum(takewhile(bool, same)) - 1)
    parts = [CUT + name[first : first + letters - 2] + CUT for name in names]
    if len(set(parts)) == len(parts) and taken.isdisjoint(parts):
        return parts
    return [shorten(name, letters) for name in names]


def _numbered(names: Sequence[str], letters: int, taken: set[str]) -> list[str]:
    """Return the names with numbers at their ends, different from each other and from those taken.

    >>> _numbered(["abcdefghij", "abcdefghik"], 8, {"abcdef~1"})
    ['abcdef~2', 'abcdef~3']
    """
    unique_names: list[str] = []
    number = 0
    for name in names:
        while True:
            number += 1
            mark = f"~{number}"
            candidate = name[: letters - len(mark)] + mark
            if candidate not in taken:
                break
        unique_names.append(candidate)
    return unique_names
