"""Audits models at the organizations: how well they know canaries, and whether they tell members from non-members."""

from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raysim.arrow import with_columns
from raysim.assembly import Assembly
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.tokens import CodeTokenizer
from raysim.experiment import Experiment
from raysim.measuring.probing import wanted
from raysim.measuring.recipes import blind_recipe, exposure_recipe, membership_recipe
from raysim.memorization.blind import blind_scores
from raysim.memorization.exposure import ExposureSettings, exposures, num_scored
from raysim.memorization.membership import MembershipSettings, membership_scores
from raysim.recipe import Key, key_of
from raysim.simulation.runner import ReachedModel
from raysim.simulation.strategy import Milestone
from raysim.simulation.workshop import Product, Workshop
from raysim.simulation.world import World
from raysim.training.memory import naming
from raysim.training.organization import ModelSpec, Organization
from raysim.training.weights import Flat

AUDIT_TABLES = ("canaries", "membership", "blind")


@dataclass(frozen=True)
class Audit:
    """A visit to one organization that audits one model.

    Attributes:
        table: that its rows belong to.
        organization: that is visited.
        recipe: of the work.
        visitor: runs there, with the weights and `arguments`.
        arguments: of the visitor.
        tokens: that the model scores; of canaries about so many, as they are as long as an example.
    """

    table: str
    organization: str
    recipe: Mapping[str, Any]
    visitor: Any
    arguments: tuple[Any, ...]
    tokens: int

    @property
    def key(self) -> Key:
        return key_of(self.recipe)


def audits(experiment: Experiment, tokenizer: CodeTokenizer, world: World, milestone: Milestone) -> Iterator[Audit]:
    """How a model is audited, if it is, at every organization."""
    planted, measure = experiment.canaries, experiment.measure
    length, threads = world.trainer.sequence_length, world.trainer.threads
    for name, inventory in world.inventories.items():
        settings = measure.exposure
        if planted and planted.planted_in(name) and settings and wanted(milestone, settings):
            recipe = exposure_recipe(world, milestone.model, name, planted, settings)
            arguments = (world.spec, planted, settings, world.split_seed, threads)
            example = planted.text("".join(planted.alphabet[i % len(planted.alphabet)] for i in range(planted.length)))
            tokens = num_scored(planted, settings) * len(tokenizer.encode(example))
            yield Audit("canaries", name, recipe, expose_at, arguments, tokens)
        asked = measure.membership
        if asked and wanted(milestone, asked):
            recipe = membership_recipe(world, milestone.model, name, asked)
            arguments = (world.spec, asked, length, world.split_seed, threads)
            tokens = sum(_at_most(split["tokens"], asked) for split in inventory.splits.values())
            yield Audit("membership", name, recipe, infer_at, arguments, tokens)


def _at_most(tokens: int, settings: MembershipSettings) -> int:
    return tokens if settings.chunk_tokens is None else min(tokens, settings.at_most * settings.chunk_tokens)


class Auditor:
    """Audits what a run reaches.

    Attributes:
        tables: parts of each table, as they come.
    """

    def __init__(self, experiment: Experiment, assembly: Assembly, workshop: Workshop) -> None:
        self._experiment = experiment
        self._assembly = assembly
        self._shop = workshop
        self._taken: set[Key] = set()
        self.tables: dict[str, list[pa.Table]] = {name: [] for name in AUDIT_TABLES}

    def take(self, model: ReachedModel) -> Iterator[Coroutine[Any, Any, None]]:
        """The audits of a model, as far as none of them was taken before."""
        world = model.instance.world
        for audit in audits(self._experiment, self._assembly.tokenizer, world, model.milestone):
            if audit.key not in self._taken:
                self._taken.add(audit.key)
                yield self._perform(audit, model)
            settings = self._experiment.measure.membership
            if settings and audit.table == "membership":
                recipe = blind_recipe(world, audit.organization, settings)
                if key_of(recipe) not in self._taken:
                    self._taken.add(key_of(recipe))
                    yield self._guess(recipe, audit.organization, settings, world)

    async def _perform(self, audit: Audit, model: ReachedModel) -> None:
        label = f"{model.name} on {'canaries' if audit.table == 'canaries' else 'members'} of {audit.organization}"
        entry = await self._shop.visit(
            audit.recipe, audit.organization, label, audit.visitor, *audit.arguments, tokens=audit.tokens
        )
        found = with_columns(entry.table(audit.table), model=model.milestone.model, organization=audit.organization)
        self.tables[audit.table].append(found)

    async def _guess(self, recipe: Mapping[str, Any], name: str, settings: MembershipSettings, world: World) -> None:
        label = f"members of {name}, without a model"
        arguments = (settings, world.trainer.sequence_length, world.split_seed)
        entry = await self._shop.visit(recipe, name, label, guess_at, *arguments)
        self.tables["blind"].append(with_columns(entry.table("blind"), organization=name))


def expose_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    planted: CanarySettings,
    settings: ExposureSettings,
    split_seed: int,
    threads: int,
) -> Product:
    """A visitor that ranks an organization's canaries; neither they nor any candidate leaves."""
    with naming("measure.exposure.batch_size"):
        found = exposures(organization, weights, spec, planted, settings, split_seed, threads)
    return Product(tables={"canaries": found})


def infer_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    settings: MembershipSettings,
    sequence_length: int,
    split_seed: int,
    threads: int,
) -> Product:
    """A visitor that scores an organization's members and non-members."""
    with naming("measure.membership.batch_size"):
        found = membership_scores(organization, weights, spec, settings, sequence_length, split_seed, threads)
    return Product(tables={"membership": found})


def guess_at(
    organization: Organization, settings: MembershipSettings, sequence_length: int, split_seed: int
) -> Product:
    """A visitor that guesses an organization's members without any model."""
    return Product(tables={"blind": blind_scores(organization, settings, sequence_length, split_seed)})
