"""The files below a folder, each once, in the same order on every disk."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from raysim.corpus.reading import DropCounter

DEFAULT_INCLUDE = "**/*.py"
DEFAULT_EXCLUDE = ("**/.*/**", "**/site-packages/**")


def walk(
    root: Path | str, counter: DropCounter, skip: Callable[[str], bool] = lambda folder: False
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Files below `root`, with their paths from `root` with ``/``, each real folder once.

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
                    yield path, child
            elif not skip(path):
                if child.is_symlink():
                    linked.append(path)
                else:
                    below = os.path.join(real, child.name)  # what is no link is where its folder is
                    seen.add(below)
                    pending.append((path, below))


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
