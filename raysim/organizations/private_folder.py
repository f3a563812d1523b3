"""The private folder of an organization: what lies in it is its code, so it is never part of a run, nor of a store."""

import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

from raysim.core.errors import InputError

_UNUSED_S = 30 * 86_400.0


def private_folder(base: Path, above: str | None, organization: str) -> Path:
    """Makes the private folder of an organization on this machine: only this user may look into it.

    What has not been used there for a month is removed.

    Args:
        base: folder that relative paths start from.
        above: where the folders of organizations lie; None: ``raysim`` in this user's cache.
        organization: names the folder.

    Raises:
        InputError: it cannot be made, or belongs to someone else.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(above or f"{cache}/raysim") / organization
    try:
        folder = base / folder.expanduser()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise InputError(f"execution.private: {folder} is no folder of this user's own; name another one")
        folder.chmod(0o700)
        for content in folder.iterdir():
            with suppress(FileNotFoundError):  # another process has just put it in its place
                if time.time() - content.stat().st_mtime > _UNUSED_S:
                    shutil.rmtree(content, ignore_errors=True)
    except (OSError, RuntimeError, ValueError) as error:  # a user without a home; a null byte
        raise InputError(f"execution.private: {folder} cannot be used: {error}; name another folder") from None
    return folder
