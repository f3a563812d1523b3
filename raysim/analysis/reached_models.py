"""The models of a run as points on the path of a setting, and what each has cost."""

from collections.abc import Iterable
from dataclasses import dataclass

from raysim.tables.results import Results

FAMILIES = ("single", "centralized", "incremental", "federated")


@dataclass(frozen=True)
class ReachedModel:
    """One row of `models`: where a setting stood at one moment. See the data dictionary for the fields.

    ``family`` says what kind of setting it is, read off the data rather than the label, which a person chooses:
    rounds make it federated, one organization single, one after the other incremental, the rest is centralized.
    """

    seed: int
    strategy: str
    order: str
    moment: str
    index: int
    final: bool
    model: str
    organizations: tuple[str, ...]
    last: str
    tokens_seen: dict[str, int]
    steps: int
    learning_rate_sum: float
    dropout: float
    parameters: int
    family: str

    @property
    def sequence(self) -> list[str]:
        """The organizations in the order in which they came; together where they came together."""
        return self.order.split(" > ")

    @property
    def tokens(self) -> int:
        return sum(self.tokens_seen.values())


def read_points(run: Results) -> list[ReachedModel]:
    """The `models` of a run, by seed, family, strategy, order (organizations as in the experiment) and index."""
    rows = run.table("models").to_pylist(maps_as_pydicts="strict")
    federated = {row["strategy"] for row in rows if row["moment"] == "round"}
    points: list[ReachedModel] = []
    for row in rows:
        if row["strategy"] in federated:
            family = "federated"
        elif " > " in row["order"]:
            family = "incremental"
        else:
            family = "centralized" if " + " in row["order"] else "single"
        fields = {name: row[name] for name in ReachedModel.__dataclass_fields__ if name in row}
        points.append(ReachedModel(**{**fields, "organizations": tuple(row["organizations"]), "family": family}))
    rank = {name: i for i, name in enumerate(run.organizations)}

    def place(p: ReachedModel) -> tuple[object, ...]:
        names = p.order.replace(" + ", " > ").split(" > ")
        return FAMILIES.index(p.family), p.strategy, -len(names), [rank.get(n, len(rank)) for n in names]

    return sorted(points, key=lambda p: (p.seed, *place(p), p.order, p.index, not p.final))


def finals(points: Iterable[ReachedModel]) -> list[ReachedModel]:
    """The last point of each setting, order and seed, without doubles."""
    unique = {(p.seed, p.strategy, p.order): p for p in points if p.final}
    return list(unique.values())


def settings(points: Iterable[ReachedModel], family: str, whole: int | None = None) -> list[str]:
    """Labels of the settings of a family; with `whole`, only those that trained on that many organizations."""
    found = {p.strategy for p in points if p.family == family and whole in (None, len(p.organizations))}
    return sorted(found)


def plain(labels: list[str]) -> list[str]:
    """The labels that a primary contrast rests on: letters only where there are any, since variants of a method
    (``fedavg_dp``, ``centralized-dropout``) carry more in their label; all of them otherwise."""
    return [label for label in labels if label.isalpha()] or labels
