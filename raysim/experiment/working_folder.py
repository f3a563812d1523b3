"""Where a run works: in its run folder, or, where that is a URL, in a folder of this machine that is copied to it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from raysim.core.errors import InputError, os_errors
from raysim.core.locks import try_lock
from raysim.core.remote_folder import RemoteFolder, is_url
from raysim.store.mirror import mirrored


@contextmanager
def working_folder(
    out: str | Path | None, store: str | Path | None, note: Callable[[str], None]
) -> Iterator[Path | None]:
    """The folder on this machine that a run with these options works in, None as `out` is; while the block lasts, what
    it writes is copied to `out` where that is a URL.

    Args:
        out: a folder, or a URL that `pyarrow.fs` knows.
        store: as the options say; a run that is copied has its store in its folder.
        note: receives a line before what is there is brought, and where a copy failed.

    Raises:
        InputError: the URL cannot be used, another run here works with it, or a store is given beside it.
        RunError: the last copy failed.
    """
    if out is None or not is_url(str(out)):
        yield None if out is None else Path(out)
        return
    if store:
        raise InputError("--store: a run whose --out is a URL has its store there; leave it out")
    remote = RemoteFolder(str(out))
    remote.require_writable()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "raysim"
    folder = cache / "runs" / hashlib.sha256(remote.url.encode()).hexdigest()[:16]
    with os_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Before anything is brought: that would replace files of a run at work, whose own lock comes later.
    with try_lock(folder.with_suffix(".lock")) as held:
        if not held:
            raise InputError(f"--out {remote.url}: another raysim run on this machine is at work there; wait for it")
        with mirrored(folder, remote, note):
            yield folder
