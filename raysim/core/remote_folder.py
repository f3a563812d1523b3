"""A folder on an object store, or on any other file system that pyarrow knows: ``s3://``, ``gs://``, ``file://``."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError, RunError, first_line, os_errors

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")
_PART = 1 << 22
"""Bytes that are copied at a time."""
_UNFINISHED = ".unfinished"
_PROBE = ".probe"


def is_url(place: str) -> bool:
    """Whether `place` is written as a URL."""
    return _URL.match(place) is not None


class RemoteFolder:
    """The files below a URL, each of which is there whole or not at all.

    Args:
        url: as `pyarrow.fs.FileSystem.from_uri` takes it; its file systems find credentials where they always do.

    Attributes:
        url: without credentials.

    Raises:
        InputError: no file system that pyarrow knows, or one that does not answer.
    """

    def __init__(self, url: str) -> None:
        from pyarrow import fs

        self.url = _shown(url)
        try:
            self._files, place = fs.FileSystem.from_uri(url)
            self._place = place.rstrip("/")
            if not self._place:
                raise ValueError("it names no folder; write for example s3://BUCKET/RUN")
            self._files.get_file_info(self._place)
        except (OSError, ValueError, NotImplementedError) as error:
            raise InputError(f"{self.url}: cannot be used: {_shown(first_line(error))}") from None

    def list(self, below: str = "") -> list[tuple[str, int]]:
        """Name from here, with slashes, and bytes of every file in the folder `below` it; none if it is not there."""
        from pyarrow import fs

        selector = fs.FileSelector(f"{self._place}/{below}".rstrip("/"), recursive=True, allow_not_found=True)
        with self._telling():
            found: list[Any] = self._files.get_file_info(selector)
        files = (one for one in found if one.type == fs.FileType.File and not one.path.endswith(_UNFINISHED))
        return [(one.path[len(self._place) + 1 :], one.size) for one in files]

    def has(self, name: str) -> bool:
        """Whether there is a file of this name.

        Raises:
            RunError: the folder cannot be reached.
        """
        from pyarrow import fs

        with self._telling():
            return self._files.get_file_info(f"{self._place}/{name}").type == fs.FileType.File

    def require_writable(self) -> None:
        """Refuses a folder that cannot be written, before the work that it is to hold.

        Raises:
            InputError: a small file could not be written there and deleted again.
        """
        try:
            with tempfile.NamedTemporaryFile() as probe:
                self.upload(Path(probe.name), _PROBE)
            self.delete(_PROBE)
        except RunError as error:
            raise InputError(f"{error}; name a place that can be written") from None

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            RunError: it could not be read.
        """
        return b"".join(self._parts(name))

    def download(self, name: str, path: Path) -> None:
        """Copies a file to `path`, whose folder is made, whole or not at all; a hidden one is for this user alone.

        Raises:
            RunError: it could not be read, or not be written here.
        """
        draft = path.with_name(f".{path.name}.brought")
        with os_errors(path, begun=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.touch(mode=0o600 if path.name.startswith(".") else 0o666)
            with draft.open("wb") as file:
                for part in self._parts(name):
                    file.write(part)
            draft.replace(path)

    def _parts(self, name: str) -> Iterator[bytes]:
        """The content of a file; whatever goes wrong with a part where it is used is not this folder's fault."""
        with self._telling():
            source = self._files.open_input_stream(f"{self._place}/{name}")
        with source:
            while True:
                with self._telling():
                    part = source.read(_PART)
                if not part:
                    return
                yield part

    def upload(self, path: Path, name: str) -> None:
        """Replaces a file by the content of `path`.

        Raises:
            FileNotFoundError: there is nothing at `path` any more.
            RunError: it could not be written.
        """
        with path.open("rb") as source, self._telling():
            place = f"{self._place}/{name}"
            # An object is there once it is complete; a file of a file system must be renamed to be.
            renamed = self._files.type_name in ("local", "hdfs")
            if renamed:
                self._files.create_dir(place.rpartition("/")[0])
            with self._files.open_output_stream(place + _UNFINISHED * renamed) as target:
                while part := source.read(_PART):
                    target.write(part)
            if renamed:
                self._files.move(place + _UNFINISHED, place)

    def delete(self, name: str) -> None:
        """Deletes a file."""
        with self._telling():
            self._files.delete_file(f"{self._place}/{name}")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(f"{self.url}: {_shown(first_line(error))}") from error


def _shown(text: str) -> str:
    """`text` without the credentials of URLs in it."""
    return re.sub(r"//[^/\s]*@", "//", text)
