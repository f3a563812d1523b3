"""What a person sees of an error of the operating system."""

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.core.errors import InputError, RunError, first_line, os_error, os_errors

Act = Callable[[Path], object]


def _link_to_itself(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    (folder / "loop").read_bytes()


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / ("x" * 120)))


def _file_as_folder(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "file" / "x").write_text("")


def _full(_: Path) -> None:
    with os_errors(Path("/dev/full")), Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")


@contextmanager
def _limit(what: int, amount: int) -> Iterator[None]:
    before = resource.getrlimit(what)
    resource.setrlimit(what, (amount, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


def _many_files(folder: Path) -> None:
    with _limit(resource.RLIMIT_NOFILE, max(int(name) for name in os.listdir("/proc/self/fd")) + 1):
        kept: list[object] = []
        while True:
            kept.append((folder / str(len(kept))).open("w"))


USERS: dict[str, tuple[Act, str]] = {
    "no folder": (lambda folder: (folder / "no" / "x").write_text(""), "no/x: No such file or directory; make it"),
    "a file as a folder": (_file_as_folder, "file/x: Not a directory; make it, or name another"),
    "a folder as a file": (lambda folder: folder.write_text(""), ": Is a directory; name another"),
    "a link to itself": (_link_to_itself, "loop: Too many levels of symbolic links; name another"),
    "a long name": (lambda folder: (folder / ("x" * 300)).touch(), "File name too long; name a shorter one"),
    "a long path of a socket": (_socket, "AF_UNIX path too long; name a folder with a shorter path"),
}
"""What a person has to change."""

MACHINES: dict[str, tuple[Act, str]] = {
    "a full disk": (_full, "/dev/full: No space left on device; free some room, then run the same command again"),
    "many files": (_many_files, "Too many open files; raise the limit of open files (ulimit -n), then run the same"),
    "nobody listens": (
        lambda _: socket.create_connection(("127.0.0.1", 1)),
        "Connection refused; run the same command again",
    ),
}
"""What the machine has no room for."""


@pytest.mark.parametrize("case", [*USERS, *MACHINES])
def test_a_line_says_the_path_and_what_to_do(case: str, tmp_path: Path) -> None:
    act, words = {**USERS, **MACHINES}[case]
    kind = InputError if case in USERS else RunError
    with pytest.raises(kind) as raised, os_errors():
        act(tmp_path)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_run_that_has_begun_goes_on_later(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"x: No such file or directory; make it.*, then run the same command again"):  # noqa: SIM117
        with os_errors(begun=True):
            (tmp_path / "no" / "x").read_text()


def test_numpy_says_that_a_disk_is_full_in_words_of_its_own(tmp_path: Path) -> None:
    """A limit of the size of a file cuts its write short, as a disk does that has little room left."""
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(RunError) as raised, os_errors(tmp_path / "x.npy"), _limit(resource.RLIMIT_FSIZE, 40_000):
            np.save(tmp_path / "x.npy", np.zeros(100_000))
    finally:
        signal.signal(signal.SIGXFSZ, before)
    assert str(raised.value) == f"{tmp_path / 'x.npy'}: No space left on device; free some room, then run the same" + (
        " command again"
    )


def test_an_error_keeps_the_file_that_it_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="inner: No such"), os_errors(tmp_path / "outer"):
        (tmp_path / "inner").read_text()


WORDS = st.text(max_size=30)


@given(
    st.one_of(st.none(), st.sampled_from(sorted(errno.errorcode)), st.integers(-5, 10**6)),
    WORDS,
    st.one_of(st.none(), WORDS, st.binary(max_size=30), st.integers(0, 9)),
    st.booleans(),
)
@settings(max_examples=scaled(200))
def test_whatever_a_library_raises_is_one_line(number: int | None, words: str, file: object, begun: bool) -> None:
    error = OSError(words) if number is None else OSError(number, words, file)
    found = os_error(error, begun)
    assert isinstance(found, RunError if begun else (InputError, RunError))
    assert len(str(found).splitlines()) == 1
    assert str(found).isprintable()


@given(st.text())
def test_what_a_library_says_is_one_line_without_a_cursors_moves(said: str) -> None:
    line = first_line(ValueError(said))
    assert line
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_the_first_line_of_an_error_by_hand() -> None:
    assert first_line(ValueError(" no `\r` here\x1b[2J \nmore")) == "no `\\r` here\\x1b[2J"
    assert first_line(ValueError("größer als 3")) == "größer als 3"
    assert first_line(KeyError()) == "KeyError()"
