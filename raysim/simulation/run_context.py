"""What all work of a run at one seed has in common, and the recipes that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raysim.core.errors import InputError
from raysim.core.keys import Key, key_of, seed_of
from raysim.corpus.diversity import diversities
from raysim.corpus.packing import PACKING_VERSION
from raysim.organizations.client_stats import ClientStats
from raysim.simulation.stage import Stage, share_of
from raysim.simulation.strategy import (
    ClientInfo,
    ClientUpdate,
    Federation,
    Importance,
    Replay,
    Strategy,
    TrainInstruction,
)
from raysim.tables.names import PUBLIC
from raysim.tasks.kinds import AGGREGATE, FISHER, SNAPSHOT, TRAIN
from raysim.training.adapters import Adapters
from raysim.training.batches import rows_in
from raysim.training.fisher import FISHER_VERSION
from raysim.training.model_host import ModelSpec
from raysim.training.models import initial_recipe
from raysim.training.objectives import stateful
from raysim.training.request import TRAIN_VERSION, TrainerSettings, reads_folder, trainer_class

AGGREGATE_VERSION = 1
"""Numerics version of the machinery of aggregation; a strategy has its own in its recipe."""


@dataclass(frozen=True)
class RunContext:
    """Everything that the work of one seed has in common.

    Attributes:
        spec: how to build the model.
        trainer: its settings.
        tokenizer: fingerprint.
        client_stats: of all organizations, in the order of the experiment.
        split_seed: of split, packing and prompts.
        seed: of training.
        libraries: their versions, part of every recipe of numerics.
        bf16: whether models that generate in bf16 compute in it, or in float32 with weights rounded to it: the driver's
            processor decides for all nodes.
        public: what the base is trained with, its corpus among it as that of the one client `PUBLIC`, its seed and
            its epochs; None: settings start from random weights, or from a checkpoint.
    """

    spec: ModelSpec
    trainer: TrainerSettings
    tokenizer: str
    client_stats: Mapping[str, ClientStats]
    split_seed: int
    seed: int
    libraries: str
    bf16: bool
    public: "RunContext | None" = None

    @cached_property
    def model_recipe(self) -> dict[str, Any]:
        return self.spec.settings.recipe(self.spec.vocab_size, self.spec.bos_id, self.spec.context)

    @cached_property
    def initial(self) -> dict[str, Any]:
        """Recipe of the weights before any training."""
        seed = self.public.seed if self.public else self.seed
        return initial_recipe(self.model_recipe, seed, self.libraries)

    @cached_property
    def pretraining(self) -> Stage | None:
        """The stage that makes the base of the initial weights."""
        if self.public is None:
            return None
        epochs = self.public.trainer.epochs
        return self.public.stage(TrainInstruction((PUBLIC,), self.initial_key(), epochs, epochs))

    @property
    def start(self) -> Key:
        """Names the weights that every setting starts from: the base, or those before any training."""
        return self.pretraining.key if self.pretraining else self.initial_key()

    @cached_property
    def federation(self) -> Federation:
        diversity = diversities({name: stats.line_spectrum for name, stats in self.client_stats.items()})
        clients = tuple(
            # Rounded to nine places, so that equal corpora tie whatever their sums are rounded to.
            ClientInfo(name, one.sequences, one.tokens, round(diversity[name], 9), one.duplicate_share)
            for name, one in self.client_stats.items()
        )
        trainer = self.trainer
        return Federation(
            clients,
            trainer.epochs,
            trainer.client_state,
            self.seed,
            sequence_length=trainer.sequence_length,
            batch_size=trainer.batch_size,
            adapters=Adapters.of(self.spec),
        )

    def stage(self, instruction: TrainInstruction) -> Stage:
        """The stage that `instruction` asks for.

        Raises:
            InputError: its objective is not installed, does not take its settings, or is one that the trainer or its
                optimizer cannot apply; or it replays where the trainer reads training data as files.
        """
        if instruction.replay and reads_folder(self.trainer.backend):
            raise InputError(
                f"replay: backend {self.trainer.backend} reads an organization's own files; leave it out, or write"
                " trainer.backend: torch"
            )
        if instruction.objective:
            try:
                trainer_class(self.trainer.backend).check(self.trainer, instruction.objective.name)
            except ValueError as error:
                raise InputError(f"trainer.{error}") from None
            objective = stateful(instruction.objective)
            if objective and objective.optimizers and self.trainer.optimizer not in objective.optimizers:
                raise InputError(
                    f"trainer.optimizer: is {self.trainer.optimizer}, and the objective {instruction.objective.name!r}"
                    f" holds for no other than {' or '.join(objective.optimizers)}; write"
                    f" optimizer: {objective.optimizers[0]}, with a learning_rate for it"
                )
        recipe, sequences = self.stage_recipe(instruction), self._sequences_of(instruction)
        return Stage(instruction, recipe, key_of(recipe), sequences, self._tokens_seen(instruction, sequences))

    def _tokens_seen(self, instruction: TrainInstruction, sequences: Mapping[str, int]) -> dict[str, int]:
        """Tokens that a stage trains on: of steps that are no whole passes, by the organizations' shares of them."""
        length = self.trainer.sequence_length
        if instruction.epoch_steps is None:
            return {name: count * length * instruction.epochs for name, count in sequences.items()}
        steps = instruction.epochs * instruction.epoch_steps
        rows = rows_in(steps, sum(sequences.values()), self.trainer.batch_size)
        return {name: count * length for name, count in apportion(rows, sequences).items()}

    def stage_recipe(self, instruction: TrainInstruction, trainer: TrainerSettings | None = None) -> dict[str, Any]:
        """Recipe of a training stage. Neither strategy nor order is in it, so that settings share stages.

        Args:
            instruction: what is trained on what.
            trainer: its settings, if they are not those of the run.
        """
        trainer = trainer or self.trainer
        importances = [key_of(self.importance_recipe(one, trainer)) for one in instruction.importances]
        return {
            "kind": TRAIN.name,
            "version": TRAIN_VERSION,
            "weights": instruction.model,
            "client_state": instruction.client_state,
            "keep_state": instruction.keep_state,
            "corpora": [self.client_stats[name].train_fingerprint for name in instruction.organizations],
            "tokenizer": self.tokenizer,
            "split_seed": self.split_seed,
            "packing": PACKING_VERSION,
            "model": self.model_recipe,
            "trainer": trainer.recipe(),
            "epochs": instruction.epochs,
            "fraction": instruction.fraction,
            "horizon_epochs": instruction.horizon_epochs,
            "seed": self.seed,
            "libraries": self.libraries,
            "ranks": trainer.ranks,
            **({"objective": instruction.objective.recipe()} if instruction.objective else {}),
            **({} if instruction.objective_state is None else {"objective_state": instruction.objective_state}),
            **({} if instruction.dropout_epochs is None else {"dropout_epochs": instruction.dropout_epochs}),
            **({} if instruction.epoch_steps is None else {"epoch_steps": instruction.epoch_steps}),
            **({} if instruction.upload is None else {"upload": instruction.upload.recipe()}),
            **({} if instruction.upload_state is None else {"upload_state": instruction.upload_state}),
            **({"pooled_packing": True} if instruction.pooled_packing else {}),
            **({"importances": importances} if importances else {}),
            **({"replay": self._replay_recipe(instruction.replay)} if instruction.replay else {}),
        }

    def importance_recipe(self, importance: Importance, trainer: TrainerSettings | None = None) -> dict[str, Any]:
        """Recipe of the Fisher information of an organization's data.

        Args:
            importance: whose, and by which weights.
            trainer: its settings, if they are not those of the run.
        """
        trainer = trainer or self.trainer
        return {
            "kind": FISHER.name,
            "version": FISHER_VERSION,
            "weights": importance.model,
            "corpus": self.client_stats[importance.organization].train_fingerprint,
            "tokenizer": self.tokenizer,
            "split_seed": self.split_seed,
            "packing": PACKING_VERSION,
            "model": self.model_recipe,
            "sequence_length": trainer.sequence_length,
            "sequences": importance.sequences,
            "threads": trainer.threads,
            "libraries": self.libraries,
            **({"goldfish": trainer.goldfish.model_dump(mode="json")} if trainer.goldfish else {}),
        }

    def _replay_recipe(self, replay: Replay) -> dict[str, Any]:
        corpora = [self.client_stats[name].train_fingerprint for name in replay.organizations]
        return {"corpora": corpora, "share": replay.share}

    def pooled_packing_seed(self, instruction: TrainInstruction) -> int:
        """The seed of common sequences: the same for every model, so that all see the same."""
        corpora = [self.client_stats[name].train_fingerprint for name in instruction.organizations]
        return seed_of(self.split_seed, "pooled packing", *corpora, self.tokenizer, self.trainer.sequence_length)

    def _sequences_of(self, instruction: TrainInstruction) -> dict[str, int]:
        """Packed sequences of each organization that a stage trains on, at least one each.

        Of common sequences, each has its share by tokens, to a sequence: where a file's tokens come to lie, only the
        organizations know.
        """
        if instruction.pooled_packing:
            streams = {name: self.client_stats[name].stream_tokens for name in instruction.organizations}
            pooled = sum(streams.values()) // self.trainer.sequence_length
            return apportion(share_of(instruction.fraction, pooled), streams)
        replayed = instruction.replay.organizations if instruction.replay else ()
        found = {
            name: share_of(instruction.fraction, self.client_stats[name].sequences)
            for name in (*instruction.organizations, *replayed)
        }
        if instruction.replay:
            found |= {name: share_of(instruction.replay.share, found[name]) for name in replayed}
        return found

    @staticmethod
    def epoch_checkpoint(stage: Key, epoch: int) -> dict[str, Any]:
        """Recipe of the weights after an epoch in the middle of a stage."""
        return {"kind": SNAPSHOT.name, "version": TRAIN_VERSION, "stage": stage, "epoch": epoch}

    def aggregation(self, strategy: Strategy, model: Key, results: Sequence[ClientUpdate]) -> dict[str, Any]:
        """Recipe of the model that a strategy makes of `results`, starting from its state named by `model`."""
        return {
            "kind": AGGREGATE.name,
            "version": AGGREGATE_VERSION,
            "strategy": strategy.recipe(),
            "state": model,
            "results": [result.key for result in results],
            # Equal corpora have equal results, but a strategy remembers client states by name.
            "organizations": [result.instruction.organizations for result in results],
            "num_sequences": [result.num_sequences for result in results],
        }

    def initial_key(self) -> Key:
        return key_of(self.initial)


def apportion(number: int, shares: Mapping[str, int]) -> dict[str, int]:
    """Cuts `number` into whole parts in proportion to `shares`, by largest remainders; the first of equal ones wins."""
    total = sum(shares.values())
    parts = {name: number * share // total for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: number * shares[name] % total, reverse=True)
    for name in by_remainder[: number - sum(parts.values())]:
        parts[name] += 1
    return parts
