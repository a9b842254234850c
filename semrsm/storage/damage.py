"""What damaged files look like: the one place that lists it."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib

# What h5py, zipfile, json and NumPy raise for files with missing or wrong bytes; MemoryError for sizes
# that no file has.
DAMAGE = (
    *(OSError, ValueError, RuntimeError, KeyError, TypeError, EOFError, OverflowError),
    *(AttributeError, IndexError, NotImplementedError, RecursionError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)


class WrittenError(OSError):
    """A file was written to since it was opened."""


def remedy_of(error: Exception) -> str:
    """Say what to do about a file that cannot be opened or read."""
    if isinstance(error, WrittenError):
        return "what was read may be half old and half new; wait for who writes it, and begin again"
    if "lock file" in str(error):
        return (
            "another program is writing it or the file system refuses locks;"
            " wait for it or set HDF5_USE_FILE_LOCKING=FALSE"
        )
    return "it is damaged or cut short; save or copy it again"
