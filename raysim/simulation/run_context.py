"""What all work of a run at one seed has in common, and the recipes that follow from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raysim.core.keys import Key, key_of
from raysim.corpus.diversity import diversities
from raysim.corpus.packing import PACKING_VERSION
from raysim.organizations.organization import Inventory, ModelSpec
from raysim.simulation.strategy import Assignment, Federation, Member, Result, Strategy
from raysim.training.models import initial_recipe
from raysim.training.request import TRAIN_VERSION, TrainerSettings

AGGREGATE_VERSION = 1
"""Numerics version of the machinery of aggregation; a strategy's own stands in its recipe."""


@dataclass(frozen=True)
class World:
    """One seed's world.

    Attributes:
        spec: how to build the model.
        trainer: its settings.
        tokenizer: fingerprint.
        inventories: of all organizations, in the order of the experiment.
        split_seed: of split, packing and prompts.
        seed: of training.
        libraries: their versions, part of every recipe of numerics.
        bf16: whether models that generate in bf16 compute in it, or in float32 with weights rounded to it: the driver's
            processor decides for all nodes.
    """

    spec: ModelSpec
    trainer: TrainerSettings
    tokenizer: str
    inventories: Mapping[str, Inventory]
    split_seed: int
    seed: int
    libraries: str
    bf16: bool

    @cached_property
    def model_recipe(self) -> dict[str, Any]:
        return self.spec.settings.recipe(self.spec.vocab_size, self.spec.bos_id, self.spec.context)

    @cached_property
    def initial(self) -> dict[str, Any]:
        """Recipe of the weights that every setting starts from."""
        return initial_recipe(self.model_recipe, self.seed, self.libraries)

    @cached_property
    def federation(self) -> Federation:
        diversity = diversities({name: inventory.line_spectrum for name, inventory in self.inventories.items()})
        members = tuple(
            # Rounded to nine places, so that equal corpora tie whatever their sums are rounded to.
            Member(name, one.sequences, one.tokens, round(diversity[name], 9), one.duplicate_share)
            for name, one in self.inventories.items()
        )
        return Federation(members, self.trainer.epochs, self.trainer.client_state)

    def sequences_of(self, assignment: Assignment) -> dict[str, int]:
        """Packed sequences of each organization that a stage trains on, at least one each."""
        # Rounded to nine places first: in binary, 0.07 * 100 is a little over 7.
        wanted = {n: round(assignment.fraction * self.inventories[n].sequences, 9) for n in assignment.organizations}
        return {name: max(1, math.ceil(count)) for name, count in wanted.items()}

    def num_sequences(self, assignment: Assignment) -> int:
        return sum(self.sequences_of(assignment).values())

    def num_tokens(self, assignment: Assignment) -> int:
        """Tokens that a stage trains on."""
        return sum(self.tokens_shown(assignment).values())

    def tokens_shown(self, assignment: Assignment) -> dict[str, int]:
        """Tokens of each organization that a stage trains on."""
        per_sequence = self.trainer.sequence_length * assignment.epochs
        return {name: count * per_sequence for name, count in self.sequences_of(assignment).items()}

    def stage(self, assignment: Assignment, trainer: TrainerSettings | None = None) -> dict[str, Any]:
        """Recipe of a training stage. Neither strategy nor order stands in it, so that settings share stages.

        Args:
            assignment: what is trained on what.
            trainer: its settings, if they are not the world's.
        """
        trainer = trainer or self.trainer
        return {
            "kind": "train",
            "version": TRAIN_VERSION,
            "weights": assignment.model,
            "client_state": assignment.client_state,
            "keep_state": assignment.keep_state,
            "corpora": [self.inventories[name].train_fingerprint for name in assignment.organizations],
            "tokenizer": self.tokenizer,
            "split_seed": self.split_seed,
            "packing": PACKING_VERSION,
            "model": self.model_recipe,
            "trainer": trainer.recipe(),
            "epochs": assignment.epochs,
            "fraction": assignment.fraction,
            "horizon_epochs": assignment.horizon_epochs,
            "seed": self.seed,
            "libraries": self.libraries,
            "ranks": trainer.ranks,
        }

    @staticmethod
    def snapshot(stage: Key, epoch: int) -> dict[str, Any]:
        """Recipe of the weights after an epoch in the middle of a stage."""
        return {"kind": "snapshot", "version": TRAIN_VERSION, "stage": stage, "epoch": epoch}

    def aggregation(self, strategy: Strategy, model: Key, results: Sequence[Result]) -> dict[str, Any]:
        """Recipe of the model that a strategy makes of `results`, starting from its state named by `model`."""
        return {
            "kind": "aggregate",
            "version": AGGREGATE_VERSION,
            "strategy": strategy.recipe(),
            "state": model,
            "results": [result.key for result in results],
            # Equal corpora have equal results, but a strategy remembers client states by name.
            "organizations": [result.assignment.organizations for result in results],
            "num_sequences": [result.num_sequences for result in results],
        }

    def initial_key(self) -> Key:
        return key_of(self.initial)
