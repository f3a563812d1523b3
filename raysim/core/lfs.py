"""What Git LFS leaves in the place of a large file that was not fetched: three lines that name it."""

from raysim.core.errors import InputError

_START = "version https://git-lfs.github.com/spec/"


def is_lfs_pointer(content: str | bytes) -> bool:
    """Whether a file, of which the first 50 bytes or more are given, is what Git leaves in the place of a large one."""
    return content.startswith(_START) if isinstance(content, str) else content.startswith(_START.encode())


def refuse_lfs_pointer(content: str | bytes, origin: str) -> None:
    """Says of a pointer that it is one, before a parser says something else of it.

    Raises:
        InputError: begins with `origin`.
    """
    if is_lfs_pointer(content):
        raise InputError(f"{origin}: a Git LFS pointer, not the file; fetch it with git lfs pull")
