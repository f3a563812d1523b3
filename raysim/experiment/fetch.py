"""Brings what people read of a run from wherever `pyarrow.fs` reaches: tables, report, manifest and logs, no store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError, first_line
from raysim.core.json_text import parse_json
from raysim.core.names import is_plain
from raysim.core.remote_folder import RemoteFolder, is_url
from raysim.core.run_folder import RunFolder

_BESIDE = ("report.html", "ledger.parquet", "stages.jsonl", "attempts.jsonl", "manifest.json")
"""Files of a run folder beside its tables. The manifest comes last: without it nothing takes a folder for a run's."""


@dataclass(frozen=True)
class Fetched:
    """What was brought: how many files, and their bytes."""

    files: int
    num_bytes: int


def fetch_results(source: str, target: Path) -> Fetched:
    """Copies the results of a run, or of a sweep and its points, so that `raysim report` and `tables` read the copy.

    Args:
        source: a URL of a `raysim.core.remote_folder.RemoteFolder`, or a folder.
        target: a folder; what an earlier fetch of the same run has left there is replaced.

    Raises:
        InputError: the URL is none, nothing answers there, it is no run folder, or `target` is one of another run.
        RunError: a file could not be copied.
    """
    # A folder may have any name; a URL would read some of its characters otherwise.
    place = RemoteFolder(source if is_url(source) else Path(source).expanduser().resolve().as_uri())
    if not place.has("manifest.json"):
        raise InputError(f"{source}: no run folder (it has no manifest.json); give the --out of a run")
    manifest = _manifest(place)
    _check_target(target, manifest)
    points = [row["folder"] for row in manifest.get("points") or ()]
    if not all(is_plain(part) for folder in points for part in folder.split("/")):
        raise InputError(f"{source}: its manifest names points that are none; run again to write it anew")
    names = [name for folder in (*points, "") for name in _results(folder, place)]
    for name in names:
        place.download(name, target / name)
    return Fetched(len(names), sum((target / name).stat().st_size for name in names))


def _manifest(place: RemoteFolder) -> dict[str, Any]:
    try:
        return dict(parse_json(place.read("manifest.json")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{place.url}: its manifest cannot be read: {first_line(error)}; run again") from None


def _results(folder: str, place: RemoteFolder) -> list[str]:
    """The results of the run in `folder`, without a look at its store; of one that has not begun there are none."""
    prefix = f"{folder}/" if folder else ""
    tables = [name for name, _ in place.list(f"{prefix}results") if is_plain(name.rpartition("/")[2])]
    return [*sorted(tables), *(prefix + name for name in _BESIDE if place.has(prefix + name))]


def _check_target(target: Path, manifest: dict[str, Any]) -> None:
    """Refuses a folder in which a run has worked, or into which another one was fetched."""
    folder = RunFolder(target)
    if folder.secret.exists():
        raise InputError(f"{target}: a run has worked there; name another folder")
    if folder.manifest.exists() and folder.read_manifest().get("created") != manifest.get("created"):
        raise InputError(f"{target}: has the results of another run; name another folder")
