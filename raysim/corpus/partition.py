"""Organizations made of one data set: how its files are dealt to parts.

The ways are those of flwr-datasets' partitioners, so that splits are known ones: by the values of a column
(`NaturalIdPartitioner`, `GroupedNaturalIdPartitioner`), in sizes (`IidPartitioner`, `LinearPartitioner`,
`SquarePartitioner`, `ExponentialPartitioner`), and by label skew (`DirichletPartitioner`: Yurochkin et al.: Bayesian
Nonparametric Federated Learning of Neural Networks, ICML 2019, arXiv 1905.12022, by whom each label is dealt to the
clients; the skew is Hsu, Qi & Brown's: Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification, 2019, arXiv 1909.06335, by whom each client draws its labels).

A division is a function of the files, the seed and the settings, whoever makes it: every organization makes the same,
and takes its own part.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from math import isclose
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pydantic

from raysim.core.errors import InputError
from raysim.core.keys import seed_of
from raysim.core.settings import Settings
from raysim.corpus import filters
from raysim.corpus.files import SourceFile

Part = int | str
"""Names a part: its number from 0, or, where each value of a column is a part, that value."""

NO_VALUE = "none"
"""The value of a column for files that have none."""

KNOWN_COLUMNS = ("repository", "folder", "licence", "ending")
"""What is known of the files of any source."""

_MOST_DRAWS = 11
"""Of Dirichlet proportions until every part has enough files; as flwr-datasets."""

_SHOWN = 5
"""Values in an error."""

Growth = Literal["equal", "linear", "square", "exponential"]


class ColumnSettings(Settings):
    """What is known of a file besides its text.

    A name alone, such as ``repository``, is short for ``{name: repository}``.
    """

    name: str = pydantic.Field(
        min_length=1,
        description="repository; folder: where a file lies below its repository; licence; ending: of its name, without"
        f" the dot; or any column of record files and hub. Files that have no value have the value {NO_VALUE}",
    )
    depth: int = pydantic.Field(default=1, ge=1, description="of `folder`: folders of a path that count")

    short_forms = ({"type": "string"},)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @pydantic.model_validator(mode="after")
    def _depth_of_folders(self) -> "ColumnSettings":
        if self.depth != 1 and self.name != "folder":
            raise ValueError("depth goes with the column folder")
        return self

    @property
    def of_records(self) -> tuple[str, ...]:
        """The columns of records that have to be read for it: one or none."""
        return () if self.name in KNOWN_COLUMNS else (self.name,)

    def of(self, source: SourceFile) -> str:
        """The value of a file."""
        if self.of_records:
            return dict(source.columns).get(self.name, NO_VALUE)
        if self.name == "repository":
            return source.repository or NO_VALUE
        if self.name == "licence":
            return source.licence or NO_VALUE
        *folders, name = source.path.removeprefix(f"{source.repository}/").split("/")
        if self.name == "folder":
            return "/".join(folders[: self.depth]) or NO_VALUE
        stem, _, ending = name.rpartition(".")
        return ending if stem and ending else NO_VALUE


class DirichletSettings(Settings):
    """Label skew: the files of each value of a column are dealt to the parts in proportions drawn from Dir(alpha)."""

    column: ColumnSettings
    alpha: float = pydantic.Field(gt=0, description="small: a value lies in few parts; large: parts are alike")
    balance: bool = pydantic.Field(
        default=False, description="a part that has more files than the average gets none of the values that follow"
    )


class DivisionSettings(Settings):
    """Exactly one of `sizes`, `column`, `dirichlet`.

    The word ``iid`` alone is short for ``{sizes: equal}``.
    """

    sizes: Growth | tuple[pydantic.PositiveFloat, ...] | None = pydantic.Field(
        default=None,
        description="numbers of files, dealt by chance: equal; part i of 1, 2, ... in proportion to i (linear),"
        " i² (square) or exp(i) (exponential); or the share of each part",
    )
    column: ColumnSettings | None = pydantic.Field(
        default=None,
        description="files with the same value stay together: a part for each value, or `parts` parts of several",
    )
    dirichlet: DirichletSettings | None = None

    short_forms = ({"const": "iid"},)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return {"sizes": "equal"} if value == "iid" else value

    @pydantic.model_validator(mode="after")
    def _exactly_one(self) -> "DivisionSettings":
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of sizes, column, dirichlet; there is {' and '.join(given) or 'none'}")
        if isinstance(self.sizes, tuple) and not isclose(total := sum(self.sizes), 1, abs_tol=1e-9):
            raise ValueError(f"sizes add up to {total:g}, not to 1")
        return self


class PartitionSettings(Settings):
    """How one source is dealt to several organizations, each file to one of them."""

    by: DivisionSettings
    parts: int | None = pydantic.Field(
        default=None, ge=1, description="how many; unset: as many as shares are given, or as the column has values"
    )
    seed: int = pydantic.Field(default=1, ge=0, description="of what is dealt by chance")
    min_files: int = pydantic.Field(
        default=1,
        ge=1,
        description="of each part: dirichlet draws anew until all have as many; where each value of a column is a part,"
        " those with fewer are left out; otherwise fewer are refused",
    )
    copies: Literal["apart", "together"] = pydantic.Field(
        default="apart",
        description="files that are equal but for white space: each falls by itself, or all fall where the first falls",
    )
    part: Part | None = pydantic.Field(
        default=None,
        description="which part this organization has: a number from 0, or a value of the column; unset: the entry is"
        " short for an organization for each part, NAME-00, NAME-01 ..., or by the column's values",
    )

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "PartitionSettings":
        if isinstance(shares := self.by.sizes, tuple) and self.parts not in (None, len(shares)):
            raise ValueError(f"parts: there are {self.parts}, but by.sizes has {len(shares)}; leave parts out")
        if self.count is None and self.by.column is None:
            raise ValueError("parts: missing; say how many")
        if self.copies == "together" and self.by.column is not None:
            raise ValueError("copies: with by.column, the column alone decides; leave copies out")
        if self.part is not None:
            self._check(self.part)
        return self

    @property
    def column(self) -> ColumnSettings | None:
        """What decides, besides chance, where a file falls."""
        return self.by.dirichlet.column if self.by.dirichlet else self.by.column

    @property
    def count(self) -> int | None:
        """How many parts there are; None: as many as the column has values."""
        return len(self.by.sizes) if isinstance(self.by.sizes, tuple) else self.parts

    def _check(self, part: Part) -> None:
        if self.count is None:
            if not isinstance(part, str):
                raise ValueError(f"part: {part} is no text; name a value of the column, quoted")
        elif not isinstance(part, int) or not 0 <= part < self.count:
            raise ValueError(f"part: {part!r} is no part; they are numbered from 0 to {self.count - 1}")


def divide(files: Sequence[SourceFile], settings: PartitionSettings) -> dict[Part, tuple[SourceFile, ...]]:
    """Deals files to all parts, in the order of the parts; those of a part are in the order of `files`.

    Every file is in one part; where each value of a column is a part, files of values with too few are in none.

    Args:
        files: of one source, each path once. Their order does not count.
        settings: which of the parts is asked for does not count.

    Raises:
        InputError: parts do not fit the files; begins with the setting below ``partition``.
    """
    together = settings.copies == "together"
    names = {f.path: filters.content_hash(f.text) if together else f.path for f in files}
    units: dict[str, SourceFile] = {}
    for source in sorted(files, key=lambda f: f.path):
        units.setdefault(names[source.path], source)
    dealt = _deal(list(units.values()), settings)
    places = {names[unit.path]: part for part, found in dealt.items() for unit in found}
    parts: dict[Part, list[SourceFile]] = {part: [] for part in dealt}
    for source in files:
        parts[places[names[source.path]]].append(source)
    if settings.count is None:
        return _large(parts, settings.min_files)
    if poor := [part for part, found in parts.items() if len(found) < settings.min_files]:
        count = len(parts[poor[0]])
        raise InputError(
            f"partition.parts: part {poor[0]} of {settings.count} would have {count} of {len(files)} files, fewer than"
            f" min_files: {settings.min_files}; lower parts, or deal otherwise"
        )
    return {part: tuple(found) for part, found in parts.items()}


def _large(parts: Mapping[Part, Sequence[SourceFile]], min_files: int) -> dict[Part, tuple[SourceFile, ...]]:
    """The parts with enough files; refuses that there is none."""
    found = {part: tuple(files) for part, files in parts.items() if len(files) >= min_files}
    if not found:
        most = max(map(len, parts.values()))
        raise InputError(f"partition.min_files: is {min_files}, but no value has more than {most} files; lower it")
    return found


def _deal(units: Sequence[SourceFile], settings: PartitionSettings) -> dict[Part, list[SourceFile]]:
    by, count = settings.by, settings.count
    if by.column is not None:
        return _by_column(units, by.column, count, settings.seed)
    assert count is not None, "validated"
    if by.dirichlet is not None:
        return _by_dirichlet(units, by.dirichlet, count, settings)
    assert by.sizes is not None, "validated"
    return dict(enumerate(_cut(_shuffled(units, settings.seed), part_sizes(by.sizes, count, len(units)))))


def part_sizes(sizes: Growth | Sequence[float], count: int, num_files: int) -> list[int]:
    """How many files each part has: what rounding leaves falls to the last, or, if all are equal, to the first ones.

    Args:
        sizes: how they grow from part to part, or the share of each.
        count: of parts.
        num_files: to deal.
    """
    if sizes == "equal":
        whole, rest = divmod(num_files, count)
        return [whole + (number < rest) for number in range(count)]
    numbers = np.arange(1, count + 1, dtype=np.float64)
    if sizes == "linear":
        units = numbers
    elif sizes == "square":
        units = numbers**2
    elif sizes == "exponential":
        units = np.exp(numbers - count)  # in proportion to exp(i), without overflow
    else:
        units = np.array(sizes, dtype=np.float64)
    found = [int(size) for size in units / units.sum() * num_files]
    return [*found[:-1], num_files - sum(found[:-1])]


def _by_column(
    units: Sequence[SourceFile], column: ColumnSettings, count: int | None, seed: int
) -> dict[Part, list[SourceFile]]:
    values = _values(units, column, "partition.by")
    if count is None:
        places: dict[str, Part] = {value: value for value in values}
    else:
        if count > len(values):
            raise InputError(
                f"partition.parts: {count} parts, but {column.name} has {len(values)} values ({_some(values)});"
                " lower parts, or choose another column"
            )
        values.sort(key=lambda value: (seed_of(seed, "partition", column.name, value), value))
        groups = _cut(values, part_sizes("equal", count, len(values)))
        places = {value: number for number, group in enumerate(groups) for value in group}
    parts: dict[Part, list[SourceFile]] = {part: [] for part in (values if count is None else range(count))}
    for unit in units:
        parts[places[column.of(unit)]].append(unit)
    return parts


def _by_dirichlet(
    units: Sequence[SourceFile], settings: DirichletSettings, count: int, partition: PartitionSettings
) -> dict[Part, list[SourceFile]]:
    column, min_files = settings.column, partition.min_files
    values = _values(units, column, "partition.by.dirichlet")
    if len(values) == 1:
        advice = "raise its depth, or choose another" if column.name == "folder" else "choose another column"
        raise InputError(f"partition.by.dirichlet.column: all files have the {column.name} {values[0]}; {advice}")
    members: dict[str, list[SourceFile]] = {value: [] for value in values}
    for unit in units:
        members[column.of(unit)].append(unit)
    num_files = [len(members[value]) for value in values]
    # Not of a derived seed: counts are those that flwr-datasets gives for the same seed, to compare with what it made.
    generator = np.random.default_rng(partition.seed)
    for _ in range(_MOST_DRAWS):
        table = dirichlet_counts(num_files, count, settings.alpha, settings.balance, generator)
        if table.sum(axis=0).min() >= min_files:
            break
    else:
        raise InputError(
            f"partition.by.dirichlet: of {len(units)} files in {count} parts, one part was left with fewer than"
            f" {min_files} (partition.min_files) at each of {_MOST_DRAWS} draws; lower parts, or raise alpha"
        )
    parts: dict[Part, list[SourceFile]] = {number: [] for number in range(count)}
    for value, sizes in zip(values, table.tolist(), strict=True):
        for number, found in enumerate(_cut(_shuffled(members[value], partition.seed), sizes)):
            parts[number] += found
    return parts


def dirichlet_counts(
    num_files: Sequence[int], count: int, alpha: float, balance: bool, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draws how many files of each value each part gets, as flwr-datasets' `DirichletPartitioner`.

    Args:
        num_files: of each value.
        count: of parts.
        alpha: the concentration, above 0, the same for all parts.
        balance: whether parts above the average number of files get none of the values that follow.
        generator: of the proportions, drawn for one value after the other.

    Returns:
        Counts ``[values, parts]``, whose rows add up to `num_files`.
    """
    table = np.zeros((len(num_files), count), dtype=np.int64)
    average = sum(num_files) / count
    for row, files in zip(table, num_files, strict=True):
        proportions = generator.dirichlet(np.full(count, alpha))
        if balance:
            open_parts = np.where(table.sum(axis=0) > average, 0.0, proportions)
            if open_parts.any():
                proportions = open_parts / sum(open_parts.tolist())
        ends = (np.cumsum(proportions) * files).astype(np.int64)
        ends[-1] = files
        row[:] = np.diff(ends, prepend=0)
    return table


def _shuffled(units: Sequence[SourceFile], seed: int) -> list[SourceFile]:
    """Seeded order, in which a file's place among others depends on the files alone."""
    return sorted(units, key=lambda f: (seed_of(seed, "partition", f.repository, f.path), f.path))


def _cut(items: Sequence[Any], sizes: Sequence[int]) -> list[Any]:
    """Consecutive pieces of `items`, of these sizes."""
    return [items[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]


def _values(units: Iterable[SourceFile], column: ColumnSettings, setting: str) -> list[str]:
    """The values of a column, sorted; refuses one that no file has."""
    found = sorted({column.of(source) for source in units})
    if found in ([], [NO_VALUE]):
        raise InputError(f"{setting}.column: no file has the column {column.name}; choose another")
    return found


def _some(values: Sequence[str]) -> str:
    return ", ".join(values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
