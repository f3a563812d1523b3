"""Where code comes from: installed packages, a folder, record files, the hub, the standard library, or a source that
another package brings."""

import glob
import importlib.metadata
import importlib.util
import os
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pydantic

from raysim.core.errors import InputError
from raysim.core.extensions import installed
from raysim.core.settings import Settings
from raysim.core.spool import Spool
from raysim.corpus.files import SourceFile, make_file
from raysim.corpus.folders import DEFAULT_EXCLUDE, DEFAULT_INCLUDE, walk
from raysim.corpus.installed_sources import SOURCES, make_source, read_installed_source
from raysim.corpus.patterns import selector
from raysim.corpus.reading import DropCounter, SourceReading, read_as_text
from raysim.corpus.records import RECORD_SUFFIXES, Selected, describe_files, is_record_file, read_hub, read_record_file
from raysim.corpus.selection import Selection, size_of

_STDLIB_LICENCE = "PSF-2.0"
# Tests, an editor, a converter and demos are no reference for library code; _sysconfigdata describes one machine.
_STDLIB_JUNK = (
    *("**/site-packages/**", "**/dist-packages/**", "**/test/**", "**/tests/**", "**/__pycache__/**", "config-*/**"),
    *("idlelib/**", "lib2to3/**", "turtledemo/**", "__phello__/**", "_sysconfigdata*.py"),
)
_KINDS = ("packages", "path", "files", "hub", "stdlib", "other")


class HubSettings(Settings):
    """A dataset of the Hugging Face hub, or a local dataset folder."""

    name: str = pydantic.Field(description="name on the hub, or a folder")
    split: str = pydantic.Field(description="which split of it, for example train")
    config: str | None = pydantic.Field(default=None, description="which configuration of it, where it has several")
    column: str = pydantic.Field(default="content", description="the column that holds the code")


class SourceSettings(Settings):
    """Exactly one of `packages`, `path`, `files`, `hub`, `stdlib`, `other`.

    The word ``stdlib`` alone is short for ``{stdlib: true}``. Where another package brings a source NAME, ``{NAME:
    SETTINGS}`` is short for ``{other: {NAME: SETTINGS}}``.
    """

    packages: list[str] | None = pydantic.Field(
        default=None, min_length=1, description="installed packages, by distribution or import name"
    )
    path: str | None = pydantic.Field(default=None, description="a folder of source files, or one source file")
    files: list[str] | None = pydantic.Field(
        default=None,
        min_length=1,
        description="record files, or globs of them: .jsonl, .jsonl.gz, .json.gz, .parquet, .csv",
    )
    hub: HubSettings | None = None
    stdlib: bool = pydantic.Field(default=False, description="the standard library of the running Python")
    other: dict[str, dict[str, Any] | None] | None = pydantic.Field(
        default=None, description="a source that another package brings, by its name, with its settings"
    )
    column: str = pydantic.Field(default="content", description="the column of `files` that holds the code")
    include: list[str] | None = pydantic.Field(
        default=None,
        min_length=1,
        description="globs over paths; one that ends in ** takes the Python files below; default **/*.py, and every "
        "record that has no path",
    )
    exclude: list[str] = pydantic.Field(default=list(DEFAULT_EXCLUDE), description="globs over paths that are left out")

    short_forms = ({"const": "stdlib"},)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if value == "stdlib":
            return {"stdlib": True}
        if isinstance(value, dict) and (names := value.keys() - cls.model_fields.keys()):
            brought = names & set(installed(SOURCES))
            rest = {name: inner for name, inner in value.items() if name not in brought}
            return {**rest, "other": {name: value[name] for name in brought}} if brought else value
        return value

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> "SourceSettings":
        given = [kind for kind in _KINDS if getattr(self, kind)]
        if len(given) != 1:
            raise ValueError(f"a source is exactly one of {', '.join(_KINDS)}; this one has {given or 'none'}")
        if self.column != type(self).model_fields["column"].default and self.files is None:
            raise ValueError("column goes with files (for the hub: hub.column)")
        if self.other is not None:
            self._check_other(self.other)
        return self

    def _check_other(self, other: dict[str, dict[str, Any] | None]) -> None:
        if len(other) != 1:
            raise ValueError(f"other: names {len(other)} sources; name one")
        for name in ("include", "exclude"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} goes with raysim's own sources; {next(iter(other))} chooses its files itself")
        try:
            make_source(*next(iter(other.items())))
        except InputError as error:
            raise ValueError(str(error)) from None

    def folder(self, base: Path) -> Path | None:
        """The folder that the paths of its files start from; None: it is of another kind."""
        if self.path is None:
            return None
        place = _resolve(self.path, base)
        return place.parent if place.is_file() else place

    @classmethod
    def at(cls, path: str, column: str = "content") -> "SourceSettings":
        """The source at a path of the command line: a record file by its ending, else a folder or source file."""
        return cls(files=[path], column=column) if is_record_file(path) else cls(path=path)


@dataclass(frozen=True)
class _Entry:
    """A file to read, under the name it will have."""

    path: str
    location: str
    repository: str
    licence: str | None


def read_source(
    settings: SourceSettings, base: Path, further: Sequence[str] = (), spool: Spool | None = None
) -> SourceReading:
    """Reads a source. The result depends on the content alone, not on the order in which a disk lists it.

    Args:
        settings: what to read.
        base: the folder that relative paths start from.
        further: columns of records whose values files are to have.
        spool: takes texts that are too many for memory; None: all fit.

    Raises:
        InputError: a missing package, folder, file or column, or a broken record file.
    """
    if settings.other is not None:
        return read_installed_source(*next(iter(settings.other.items())), base)
    counter = DropCounter()
    include = [f"{pattern}/*.py" if pattern.endswith("**") else pattern for pattern in settings.include or ()]
    with Selection(include or [DEFAULT_INCLUDE], settings.exclude, counter) as selection:

        def selected(path: str | None, num_bytes: int) -> bool:
            return settings.include is None if path is None else selection.takes(path, lambda: num_bytes)

        if settings.files is not None:
            files = _read_record_files(settings.files, settings.column, base, selected, counter, further, spool)
        elif settings.hub is not None:
            files = _read_hub(settings.hub, base, selected, counter, further, spool)
        else:
            listed = list(_list_entries(settings, base, counter))
            wanted = [e for e in listed if selection.takes(e.path, partial(size_of, e.location))]
            if not wanted:
                raise InputError(_nothing_matches(settings, [entry.path for entry in listed]))
            files = _read_entries(wanted, counter, spool)
    drops = sorted(counter.drops(), key=lambda drop: drop.reason)
    return SourceReading(tuple(sorted(files, key=lambda f: f.path)), tuple(drops))


def _nothing_matches(settings: SourceSettings, paths: Sequence[str]) -> str:
    """Names the patterns that took nothing, what is there, and what to write to take it."""
    given = f"path: {settings.path}" if settings.path else f"packages: {', '.join(settings.packages or ())}"
    patterns = ", ".join(f"`{pattern}`" for pattern in settings.include or [DEFAULT_INCLUDE])
    held, records, ending = describe_files(list(filter(selector(["**"], settings.exclude), paths)))
    advice = f"write include: ['**/*{ending}']" if ending else "name another"
    if records and settings.path:
        files = [f"{settings.path.rstrip('/')}/{name}" for name in records]
        if len(files) > 2:
            files = sorted({f"{settings.path.rstrip('/')}/**/*{_record_ending(name)}" for name in records})
        advice = f"write files: [{', '.join(files)}]"
    return f"{given}: nothing matches {patterns}; it holds {held}: {advice}"


def _record_ending(name: str) -> str:
    return max((ending for ending in RECORD_SUFFIXES if name.lower().endswith(ending)), key=len)


def _list_entries(settings: SourceSettings, base: Path, counter: DropCounter) -> Iterator[_Entry]:
    if settings.packages is not None:
        for name in settings.packages:
            yield from _package_entries(name, counter)
    elif settings.path is not None:
        yield from _folder_entries(settings.path, _resolve(settings.path, base), counter)
    else:
        root = Path(sysconfig.get_path("stdlib"))
        keep = selector(["**"], _STDLIB_JUNK)
        for found in walk(root, counter, skip=lambda folder: not keep(f"{folder}/x")):
            if keep(found.path):
                yield _Entry(found.path, found.location, "stdlib", _STDLIB_LICENCE)


def _resolve(path: str, base: Path) -> Path:
    return base / Path(path).expanduser()


def _read_entries(entries: Sequence[_Entry], counter: DropCounter, spool: Spool | None) -> list[SourceFile]:
    """Reads `entries` in the order of their paths, each real file once."""
    files: dict[str, SourceFile] = {}
    seen: set[str] = set()
    for entry in sorted(entries, key=lambda e: (e.path, e.repository)):
        real = os.path.realpath(entry.location)
        try:
            data = Path(entry.location).read_bytes()
        except OSError as error:
            counter.add(f"unreadable: {error.strerror or error}", 0)
            continue
        if real in seen or entry.path in files:
            counter.add("the same file under a second name or package", len(data))
            continue
        seen.add(real)
        try:
            entry.path.encode()
        except UnicodeEncodeError:
            counter.add("name is not UTF-8", len(data))
            continue
        text, problem = read_as_text(data)
        if text is None:
            counter.add(problem, len(data))
            continue
        files[entry.path] = make_file(entry.path, text, entry.repository, entry.licence, spool=spool)
    return list(files.values())


def _package_entries(name: str, counter: DropCounter) -> Iterator[_Entry]:
    """Files of the distribution `name`, else of all distributions that provide the import `name`, else of its module.

    An editable install lists no code of its own, so its import names are followed instead.
    """
    try:
        distributions = [importlib.metadata.distribution(name)]
    except (importlib.metadata.PackageNotFoundError, ValueError):
        owners = sorted(set(importlib.metadata.packages_distributions().get(name, [])))
        distributions = [importlib.metadata.distribution(owner) for owner in owners]
    entries = [entry for distribution in distributions for entry in _distribution_entries(distribution)]
    if not any(entry.path.endswith(".py") for entry in entries):
        licence = _licence(distributions[0]) if distributions else None
        tops = (distributions[0].read_text("top_level.txt") or "").split() if distributions else []
        entries += [entry for top in dict.fromkeys([*tops, name]) for entry in _module_entries(top, licence, counter)]
    if not entries:
        raise InputError(f"packages: {name!r} is not installed here; install it (pip install {name}) or name another")
    yield from entries


def _distribution_entries(distribution: importlib.metadata.Distribution) -> Iterator[_Entry]:
    repository, licence = distribution.metadata["Name"], _licence(distribution)
    for file in distribution.files or []:
        parts = tuple(part for part in file.parts if part != "..")  # scripts are listed as ../../../bin/NAME
        yield _Entry("/".join(parts), str(file.locate()), repository, licence)


def _module_entries(name: str, licence: str | None, counter: DropCounter) -> Iterator[_Entry]:
    if not name.isidentifier():
        return
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return
    if spec is None:
        return
    for folder in spec.submodule_search_locations or []:
        for found in walk(folder, counter):
            yield _Entry(f"{name}/{found.path}", found.location, name, licence)
    if not spec.submodule_search_locations and spec.origin and spec.has_location:
        yield _Entry(f"{name}.py", spec.origin, name, licence)


def _licence(distribution: importlib.metadata.Distribution) -> str | None:
    metadata = distribution.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    if classifiers:
        return "; ".join(c.split(" :: ")[-1] for c in classifiers)
    free_text = metadata["License"].strip() if "License" in metadata else ""
    return free_text if free_text and "\n" not in free_text else None  # some put the whole licence there


def _folder_entries(given: str, folder: Path, counter: DropCounter) -> Iterator[_Entry]:
    if not folder.exists():
        raise InputError(f"path: {given}: no such folder (looked for {folder})")
    if folder.is_file():
        if is_record_file(folder.name):
            raise InputError(f"path: {given} is a record file; write files: [{given}]")
        yield _Entry(folder.name, str(folder), folder.resolve().parent.name, None)
        return
    for found in walk(folder, counter):
        top, separator, _ = found.path.partition("/")
        yield _Entry(found.path, found.location, top if separator else folder.resolve().name, None)


def _read_record_files(
    given: Sequence[str],
    column: str,
    base: Path,
    selected: Selected,
    counter: DropCounter,
    further: Sequence[str],
    spool: Spool | None,
) -> list[SourceFile]:
    given = [path for pattern in given for path in _expand(pattern, base)]
    locations = [_resolve(path, base) for path in given]
    for path, count in Counter(os.path.realpath(location) for location in locations).items():
        if count > 1:
            raise InputError(f"files: {Path(path).name} is listed {count} times; list it once")
    tagged: list[tuple[str, SourceFile]] = []
    for name, location in zip(_short_names(given), locations, strict=True):
        tagged += read_record_file(location, name, column, selected, counter, further, spool)
    return _with_unique_paths(tagged)


def _expand(given: str, base: Path) -> list[str]:
    """The record files that a glob names, in order; what is no glob, or names a file as it is, alone."""
    place = _resolve(given, base)
    if place.exists() or not glob.has_magic(given):
        if place.is_dir():
            raise InputError(
                f"files: {given} is a folder; write path: {given}, or files: [{given.rstrip('/')}/*.parquet]"
            )
        return [given]
    found = sorted(path for path in glob.glob(str(place), recursive=True) if is_record_file(path))
    if not found:
        endings = ", ".join(RECORD_SUFFIXES)
        raise InputError(f"files: {given}: no record file matches (looked for {place}; known endings: {endings})")
    return found


def _read_hub(
    hub: HubSettings,
    base: Path,
    selected: Selected,
    counter: DropCounter,
    further: Sequence[str],
    spool: Spool | None,
) -> list[SourceFile]:
    local = _resolve(hub.name, base)
    name, label = (str(local), local.name) if local.is_dir() else (hub.name, hub.name)
    return _with_unique_paths(
        read_hub(name, hub.config, hub.split, hub.column, label, selected, counter, further, spool)
    )


def _short_names(given: Sequence[str]) -> list[str]:
    """The last parts of each path, as few as tell them apart: names must not depend on where a project lies."""
    parts = [PurePosixPath(Path(path).as_posix()).parts for path in given]
    return ["/".join(own[-_parts_needed(own, parts) :]) for own in parts]


def _parts_needed(own: tuple[str, ...], everyone: Sequence[tuple[str, ...]]) -> int:
    needed = 1
    while needed < len(own) and sum(other[-needed:] == own[-needed:] for other in everyone) > 1:
        needed += 1
    return needed


def _with_unique_paths(tagged: Sequence[tuple[str, SourceFile]]) -> list[SourceFile]:
    """Adds ``(FILE#N)`` to paths that several records share."""
    counts = Counter(source.path for _, source in tagged)
    return [s if counts[s.path] == 1 else s.named(f"{s.path} ({tag})") for tag, s in tagged]
