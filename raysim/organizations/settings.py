"""One organization of an experiment, as a person writes it."""

import re

import pydantic

from raysim.core.settings import Settings, Size
from raysim.corpus.partition import KNOWN_COLUMNS, PartitionSettings
from raysim.corpus.sources import SourceSettings
from raysim.organizations.data_policy import DataPolicy

_LABEL = re.compile(r"([A-Za-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
"""The name of a label, or its value, as Ray takes them."""


class OrganizationSettings(Settings):
    """One organization of an experiment."""

    source: SourceSettings
    node: dict[str, str] = pydantic.Field(
        default={},
        description="labels (ray start --labels) of the nodes that it is pinned to, with its training and its matching:"
        " its paths need be there alone; unset: any node. No result depends on it",
    )
    partition: PartitionSettings | None = pydantic.Field(
        default=None, description="its source is dealt to several organizations; unset: it has all of it"
    )
    held_out: SourceSettings | None = pydantic.Field(
        default=None, description="code that nobody trains on, for its validation split; unset: drawn from source"
    )
    limit: Size | None = pydantic.Field(default=None, description="at most this much code is kept, for example 40 KB")
    agreement: DataPolicy = DataPolicy()

    @pydantic.field_validator("node")
    @classmethod
    def _labels(cls, node: dict[str, str]) -> dict[str, str]:
        for name, value in node.items():
            if not (_LABEL.fullmatch(name) and _LABEL.fullmatch(value)) or "/" in value:
                raise ValueError(f"{name}: {value!r} is no label; use letters, digits, '.', '_' and '-', 63 at most")
        return node

    @pydantic.model_validator(mode="after")
    def _parts_are_numbered_where_pinned(self) -> "OrganizationSettings":
        if self.node and self.partition and self.partition.part is None and self.partition.count is None:
            raise ValueError(
                "node: the parts of a column have their names from the source, which is read on its node alone; give"
                " partition.parts, by which they are numbered"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _columns_are_known(self) -> "OrganizationSettings":
        column = self.partition.column if self.partition else None
        if column and column.of_records and self.source.files is None and self.source.hub is None:
            raise ValueError(
                f"partition: no column {column.name!r}; of this source there are {', '.join(KNOWN_COLUMNS)}"
            )
        return self
