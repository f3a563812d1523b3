"""The models that the settings of a run reached, and what each has cost: the rows of the table `models`."""

from collections.abc import Iterable
from dataclasses import dataclass

from raysim.simulation.registry import FAMILIES
from raysim.tables.results import Results

IN_TURN = ("incremental", "cyclic")
"""Families whose variants are orders of the same organizations."""
OWN = ("single", "personalized")
"""Families whose variants are each an organization's own model, and never the federation's."""
NOT_JOINED = (*OWN, "unlearned")
"""Families that nobody joins: one's own models, and what is left when somebody has gone."""
IN_NO_FINDING = ("cyclic", "personalized", "unlearned")
"""Families that the findings were not declared for."""


@dataclass(frozen=True)
class ReachedModel:
    """One row of `models`: a setting at one moment. See the data dictionary for the fields."""

    seed: int
    strategy: str
    family: str
    arm: str
    fraction: float
    order: str
    members: tuple[str, ...]
    moment: str
    index: int
    final: bool
    model: str
    organizations: tuple[str, ...]
    last: str
    tokens_seen: dict[str, int]
    steps: int
    steps_in_sequence: int
    learning_rate_sum: float
    dropout: float
    parameters: int

    @property
    def tokens(self) -> int:
        return sum(self.tokens_seen.values())


def read_reached_models(run: Results) -> list[ReachedModel]:
    """The `models` of a run, by seed, family, strategy, members (organizations as in the experiment) and index."""
    reached: list[ReachedModel] = []
    for row in run.table("models").to_pylist(maps_as_pydicts="strict"):
        fields = {name: row[name] for name in ReachedModel.__dataclass_fields__}
        lists = {name: tuple(row[name]) for name in ("members", "organizations")}
        reached.append(ReachedModel(**{**fields, **lists}))
    rank = {name: i for i, name in enumerate(run.organizations)}

    def place(m: ReachedModel) -> tuple[object, ...]:
        members = [rank.get(name, len(rank)) for name in m.members]
        return m.seed, FAMILIES.index(m.family), m.strategy, -len(members), members, m.order, m.index, not m.final

    return sorted(reached, key=place)


def finals(reached: Iterable[ReachedModel]) -> list[ReachedModel]:
    """The last model of each setting, order and seed, without doubles."""
    unique = {(m.seed, m.strategy, m.order): m for m in reached if m.final}
    return list(unique.values())


def declared_finals(reached: Iterable[ReachedModel]) -> list[ReachedModel]:
    """As `finals`, of the families that findings count."""
    return [m for m in finals(reached) if m.family not in IN_NO_FINDING]


def settings(reached: Iterable[ReachedModel], family: str) -> list[str]:
    """Labels of the settings of a family."""
    return sorted({m.strategy for m in reached if m.family == family})
