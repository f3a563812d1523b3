"""Files of one plain array in NumPy's format (NEP 1), version 1.0: numbers in C order, never a pickle."""

import re
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

_HEADER = re.compile(
    rb"{'descr': '([<>|]?[a-zA-Z][0-9]+)', 'fortran_order': False, 'shape': \(((?:\d+,)|(?:\d+(?:, \d+)+))?\), } *\n"
)
_LONGEST_HEADER = 10_000
"""Bytes; one of 64 axes takes 1,400."""


class _Writable(Protocol):
    def write(self, content: bytes | memoryview, /) -> Any: ...


def write_array_file(file: _Writable, array: npt.NDArray[Any]) -> None:
    """Writes `array`, in C order.

    Unlike `np.save`, says by its error that a disk is full.

    Raises:
        OSError: the file cannot be written.
    """
    array = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(array.reshape(-1).view(np.uint8).data)


def open_array_file(path: Path) -> np.memmap[Any, np.dtype[Any]]:
    """The array in a file, memory-mapped and read-only.

    `np.load` reads a header by `ast.literal_eval`, which Python before 3.11.8 and 3.12.2 must not do in two threads at
    once: "AST constructor recursion depth mismatch" (python/cpython#106905). Stores are read in threads.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no plain array, or is cut short.
    """
    dtype, shape, offset = _read_header(path)
    try:
        return np.memmap(path, dtype, "r", offset, shape)
    except OverflowError:
        raise ValueError(f"{path.name} says that it has more elements than memory has addresses") from None


def check_array_file(path: Path) -> None:
    """Refuses a file that is no plain array by its header, such as one whose content is a pickle.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is none.
    """
    _read_header(path)


def _read_header(path: Path) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Data type and shape of an array, and where its content begins."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        size = int.from_bytes(file.read(2), "little")
        found = _HEADER.fullmatch(file.read(min(size, _LONGEST_HEADER)))
        if version != (1, 0) or found is None or size > _LONGEST_HEADER:
            raise ValueError(f"{path.name} is no plain array")
        try:
            dtype = np.dtype(found[1].decode())
        except TypeError:
            raise ValueError(f"{path.name} is no plain array") from None
        if dtype.hasobject:
            raise ValueError(f"{path.name} is no plain array")
        return dtype, tuple(int(size) for size in (found[2] or b"").split(b",") if size.strip()), file.tell()
