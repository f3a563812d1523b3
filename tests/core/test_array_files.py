"""Array files are NumPy's own, hold no pickle, and are read in many threads beside a parser."""

import ast
import gc
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from raysim.core.array_files import check_array_file, open_array_file, write_array_file

DTYPES = st.sampled_from(["f4", "f8", "f2", "i1", "i4", "i8", "u1", "u2", "?", "V2", "c8", "U3", ">i4"])


def write(path: Path, array: Any) -> Path:
    with path.open("wb") as file:
        write_array_file(file, array)
    return path


@given(
    st.data(),
    of_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    DTYPES.map(np.dtype),
)
def test_numpy_reads_what_was_written_and_the_other_way_round(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    folder = tmp_path_factory.mktemp("arrays")
    array = np.zeros(shape, dtype)
    array.reshape(-1).view("u1")[:] = 1 if dtype.kind != "U" else 0
    path = write(folder / "a.npy", array)
    read = open_array_file(path)
    assert read.dtype == dtype
    assert read.shape == (shape or (1,))
    assert read.tobytes() == np.load(path).tobytes() == array.tobytes()
    with pytest.raises(ValueError, match="read-only"):
        read[...] = 0
    np.save(folder / "theirs.npy", np.atleast_1d(array))
    assert (folder / "theirs.npy").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x02\x00\x10\x00\x00\x00" + b"x" * 16,
        b"no array at all",
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    for read in (check_array_file, open_array_file):
        with pytest.raises(ValueError):
            read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '|O8', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 30 + ",), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000,), }",
        "{'shape': (1,), 'fortran_order': False, 'descr': __import__('os').getpid(), }",
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: str) -> None:
    line = header.encode() + b" " * 8 + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line + b"\0" * 16)
    with pytest.raises(ValueError):
        open_array_file(tmp_path / "a.npy")


@pytest.fixture
def eager_collector() -> Iterator[None]:
    """Lets another thread run in the middle of everything that allocates objects."""

    def switch(*_: object) -> None:
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(switch)
    gc.set_threshold(5)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(switch)


@pytest.mark.usefixtures("eager_collector")
def test_threads_read_while_the_main_one_parses(tmp_path: Path) -> None:
    """With `np.load`, Python 3.11.7 fails here at once."""
    path = write(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    source = "\n".join(f"def f{n}(a, b):\n    return [a + {n}, (b, {{'x': a}})]" for n in range(20))
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(lambda: [float(open_array_file(path)[0, 1]) for _ in range(20)]) for _ in range(8)]
        for _ in range(5):
            assert len(ast.parse(source).body) == 20
        assert {value for read in reads for value in read.result()} == {1.0}
