"""A package of another author: one module with entry points, installed while a block lasts."""

import importlib
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def installed_package(folder: Path, module: str, source: str, group: str, *points: str) -> Iterator[None]:
    """Puts a folder with ``MODULE.py`` and its ``.dist-info`` on the path, as an installation does.

    Args:
        folder: to make; the package lies in it.
        module: name of the module, and of the distribution.
        source: of the module.
        group: of entry points.
        *points: of that group, for example ``mine = mine:Mine``.
    """
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *points, ""]), encoding="utf-8")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(module, None)
