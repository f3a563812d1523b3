"""The files below a folder, in the same order on every disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from raysim.corpus.reading import DropCounter

DEFAULT_INCLUDE = "**/*.py"
DEFAULT_EXCLUDE = ("**/.*/**", "**/site-packages/**")


class FoundFile(NamedTuple):
    """A file below a folder.

    Attributes:
        path: from that folder, with ``/``.
        location: where to open it.
        real: the same without links, by which a file is known that is found twice.
    """

    path: str
    location: str
    real: str


def walk(
    root: Path | str, counter: DropCounter, skip: Callable[[str], bool] = lambda folder: False
) -> Iterator[FoundFile]:
    """Files below `root`, each real folder once; a linked file comes under each of its names.

    Real folders come before linked ones, so a link to a folder inside `root` adds nothing, and a link back up ends.
    """
    real_root = os.path.realpath(root)
    seen = {real_root}
    pending = [("", real_root)]
    linked: list[str] = []
    while pending or linked:
        if pending:
            folder, real = pending.pop()
        else:
            folder = linked.pop(0)
            real = os.path.realpath(os.path.join(root, folder))
            if real in seen or real_root.startswith(real.rstrip(os.sep) + os.sep):
                continue
            seen.add(real)
        try:
            with os.scandir(os.path.join(root, folder)) as listing:
                children = sorted(listing, key=lambda child: child.name)
        except OSError as error:
            counter.add(f"unreadable folder: {error.strerror or error}", 0)
            continue
        for child in children:
            path = f"{folder}/{child.name}" if folder else child.name
            if not _is_folder(child):
                # Not a pipe or a socket, which would be waited for; a dead link is yielded, to be counted.
                if _is_file(child) or not os.path.exists(child.path):
                    yield FoundFile(path, child.path, _real(real, child))
            elif not skip(path):
                if child.is_symlink():
                    linked.append(path)
                elif (below := _real(real, child)) not in seen:  # a link to it may have come before
                    seen.add(below)
                    pending.append((path, below))


def _real(folder: str, child: os.DirEntry[str]) -> str:
    """Where a child really is: what is no link is where its folder is."""
    return os.path.realpath(child.path) if child.is_symlink() else f"{folder.rstrip(os.sep)}{os.sep}{child.name}"


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_file()
    except OSError:
        return False
