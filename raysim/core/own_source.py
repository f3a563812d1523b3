"""The source of raysim itself, as it is installed somewhere.

It imports nothing of raysim, since its text is also run where there may be another raysim, or none.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path


def own_files() -> dict[str, Path]:
    """Every file of raysim by its path in an installation, such as ``raysim/core/errors.py``; compiled ones left out.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    found: dict[str, Path] = {}
    for package in ("raysim", "raysim.strategies"):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(package)
        folder = Path(spec.origin).parent
        for file in folder.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                found[f"{package.replace('.', '/')}/{file.relative_to(folder).as_posix()}"] = file
    return found


def own_digest() -> str:
    """The SHA-256 of names and contents of `own_files`, which tells one state of raysim from another."""
    digest = hashlib.sha256()
    for name, file in sorted(own_files().items()):
        digest.update(f"{name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()
