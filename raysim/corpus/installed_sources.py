"""Sources of code that other packages bring, through entry points of the group ``raysim.sources``."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from raysim.core.errors import InputError
from raysim.core.extensions import load_extension
from raysim.core.settings import Settings, validate
from raysim.corpus.reading import SourceReading

SOURCES = "raysim.sources"
"""Entry-point group of sources; each is a class that implements `Source`."""


class Source(Protocol):
    """A source of code: ``source: {NAME: SETTINGS}`` in an experiment, by the name of its entry point.

    Args:
        settings: validated by `Settings`.
    """

    Settings: type[Settings]

    def __init__(self, settings: Any) -> None: ...

    def read(self, base: Path) -> SourceReading:
        """Reads all files; the result depends on the content alone, not on the order in which a disk lists it.

        Runs at the organization. What is no usable text is counted by reason, for which
        `raysim.corpus.reading.DropCounter` and `text_problem` are there.

        Args:
            base: the folder that relative paths start from.

        Raises:
            InputError: something that the settings name is missing or broken.
        """
        ...


def make_source(name: str, settings: Mapping[str, Any] | None) -> Source:
    """The installed source `name`.

    Raises:
        InputError: it is not installed, or does not take these settings.
    """
    source_class: type[Source] = load_extension(SOURCES, name, "source", "source", Source)
    return source_class(validate(source_class.Settings, settings or {}, name))


def read_installed_source(name: str, settings: Mapping[str, Any] | None, base: Path) -> SourceReading:
    """Reads the installed source `name`, and sorts what it gave.

    Raises:
        InputError: as `make_source` and `Source.read`, or two of its files have one path.
    """
    reading = make_source(name, settings).read(base)
    for path, count in sorted(Counter(file.path for file in reading.files).items()):
        if count > 1:
            raise InputError(f"{name}: gives {count} files the path {path}; each needs a path of its own")
    files = sorted(reading.files, key=lambda file: file.path)
    return SourceReading(tuple(files), tuple(sorted(reading.skipped, key=lambda drop: drop.reason)))
