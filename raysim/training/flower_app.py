"""A user's Flower `ClientApp`: found by the path of its object, named by its source, made anew for each stage."""

import functools
import hashlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysim.core.errors import InputError, first_line

if TYPE_CHECKING:
    from flwr.clientapp import ClientApp

_WRITE = "write module:app of a module that is installed or on PYTHONPATH, on every node"
_TRAIN = "train.default"
"""Names, in Flower, what `@app.train()` registers."""


def top_module(path: str) -> str:
    """The module of an app, or the package that it is in: what every node needs."""
    return path.partition(":")[0].partition(".")[0]


def source_sha256(path: str) -> str:
    """Names the code of the app at ``module:app`` by 64 hexadecimal digits.

    The code is that of its file, or of all Python files of its package. Other modules that it imports are not seen.

    Raises:
        InputError: there is no such module, or it has no source.
    """
    name = top_module(path)
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise InputError(f"app: {path!r}: there is no module {name!r}; {_WRITE}")
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    files = [(str(f.relative_to(folder)), f) for folder in folders for f in sorted(folder.rglob("*.py"))]
    if not folders and spec.origin and spec.origin.endswith(".py"):
        files = [(Path(spec.origin).name, Path(spec.origin))]
    if not files:
        raise InputError(f"app: {path!r}: the module {name!r} has no Python source; {_WRITE}")
    return _sha256(tuple((named, str(file), file.stat().st_mtime_ns, file.stat().st_size) for named, file in files))


@functools.lru_cache(maxsize=16)
def _sha256(files: tuple[tuple[str, str, int, int], ...]) -> str:
    """The hash of the names and contents of `files`; their times and sizes say when it is to be computed again."""
    digest = hashlib.sha256()
    for named, file, _, _ in files:
        digest.update(f"{named}\n{hashlib.sha256(Path(file).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@contextmanager
def fresh_app(path: str) -> Iterator["ClientApp"]:
    """The app at ``module:app``, whose module, or package, is executed anew and forgotten afterwards.

    So what it keeps in globals reaches neither the next stage, which may be computed elsewhere, nor, where all are in
    one process, another organization.

    Args:
        path: of the app.

    Raises:
        InputError: Flower is not installed, the module cannot be imported, or there is no app that trains in it.
    """
    top, (module, _, name) = top_module(path), path.partition(":")
    before = _take(top)
    try:
        yield _app(path, module, name)
    finally:
        _take(top)
        sys.modules.update(before)


def _take(top: str) -> dict[str, Any]:
    """Takes a package and its modules out of those that are imported."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if f"{name}.".startswith(f"{top}.")}


def _app(path: str, module: str, name: str) -> "ClientApp":
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what Flower imports
            from flwr.clientapp import ClientApp
    except ImportError as error:
        raise InputError(f"backend: flower needs Flower 1.41 ({error}); pip install 'raysim[flower]'") from error
    if not module or not name:
        raise InputError(f"app: {path!r} names no object of a module; {_WRITE}")
    try:
        found = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        raise InputError(
            f"app: {path!r} cannot be imported: {type(error).__name__}: {first_line(error)}; {_WRITE}"
        ) from error
    if not isinstance(found, ClientApp):
        raise InputError(f"app: {path!r} is no flwr.clientapp.ClientApp but {type(found).__name__}; {_WRITE}")
    if _TRAIN not in found._registered_funcs:
        raise InputError(
            f"app: {path!r} registers no train function; write @app.train() above one that takes (message, context)"
        )
    return found
