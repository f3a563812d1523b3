"""Expands an organization whose source is dealt to several into one for each part."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from raysim.core.errors import InputError
from raysim.corpus.file_licences import LookedFor
from raysim.corpus.part_reading import part_names
from raysim.corpus.partition import Part, PartitionSettings
from raysim.corpus.sources import SourceSettings
from raysim.organizations.settings import OrganizationSettings

_ODD = re.compile(r"[^A-Za-z0-9_.-]+")


def with_parts(
    organizations: Mapping[str, OrganizationSettings], base: Path, looked_for: LookedFor = "stated"
) -> dict[str, OrganizationSettings]:
    """Puts an organization for each part in the place of each entry that is short for them.

    Parts are called NAME-00, NAME-01 and so on, or by the values of a column, for which alone the source is read.

    Args:
        organizations: by name, as an experiment has them.
        base: the folder that relative paths start from.
        looked_for: where licences are looked for, by which parts may be called.

    Raises:
        InputError: a source cannot be read, a column has no values, or two organizations would have one name; begins
            with the setting.
    """
    found: dict[str, OrganizationSettings] = {}
    origins: dict[str, str] = {}
    for name, settings in organizations.items():
        for part_name, own in _parts(name, settings, base, looked_for):
            if part_name in found:
                raise InputError(
                    f"organizations.{name}.partition: one of its parts is called {part_name}, as is one of"
                    f" organizations.{origins[part_name]}; rename one, or give `parts`, which are numbered"
                )
            found[part_name], origins[part_name] = own, name
    return found


def _parts(
    name: str, settings: OrganizationSettings, base: Path, looked_for: LookedFor
) -> Iterator[tuple[str, OrganizationSettings]]:
    partition = settings.partition
    if partition is None or partition.part is not None:
        yield name, settings
        return
    for part_name, part in _names(name, settings.source, partition, base, looked_for):
        # Validated as a whole already; only its part is new.
        yield part_name, settings.model_copy(update={"partition": partition.model_copy(update={"part": part})})


def _names(
    name: str, source: SourceSettings, partition: PartitionSettings, base: Path, looked_for: LookedFor
) -> Iterator[tuple[str, Part]]:
    if partition.count is not None:
        width = max(2, len(str(partition.count - 1)))
        yield from ((f"{name}-{number:0{width}}", number) for number in range(partition.count))
        return
    values = part_names(source, partition, base, looked_for, f"organizations.{name}.")
    yield from ((_plain(str(value), name), value) for value in values)


def _plain(value: str, name: str) -> str:
    """A value of a column as the name of an organization; that of the entry, where nothing of it can be in a name."""
    plain = _ODD.sub("-", value).strip("-._")
    return plain if plain and plain != "server" else f"{name}-{plain}".strip("-")
