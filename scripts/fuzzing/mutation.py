"""What a mutation says of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Mutation:
    """What was done to a file.

    Attributes:
        text: In words.
        valid: What results is a valid file of other content, so other numbers may come out of it.
    """

    text: str
    valid: bool = False


Mutator = Callable[[Path, np.random.Generator], Mutation]
