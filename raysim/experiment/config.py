"""One experiment: a YAML file, validated before anything starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from raysim.core.errors import InputError
from raysim.core.settings import Settings, apply_overrides, load_yaml, validate
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.deduplication import DeduplicationSettings
from raysim.corpus.preparation import PreparationSettings
from raysim.corpus.sources import SourceSettings
from raysim.corpus.tokenizer import TokenizerSettings
from raysim.experiment.grid import check_sweep
from raysim.experiment.report_settings import ReportSettings
from raysim.measures.exposure import ExposureSettings
from raysim.measures.membership import MembershipSettings
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.measures.pass_at_k.settings import PassAtKSettings
from raysim.measures.perplexity import PerplexitySettings
from raysim.organizations.organization import OrganizationSettings
from raysim.simulation.registry import resolve
from raysim.simulation.strategy import Strategy, StrategySettings
from raysim.store.retention import StoreSettings
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")


class ExecutionSettings(Settings):
    """How the work is done; nothing here changes a result."""

    backend: Literal["ray", "inline"] = pydantic.Field(default="ray", description="Ray actors, or all in one process")
    slots: int | None = pydantic.Field(
        default=None,
        ge=1,
        description="ranks at work at once, of which a stage takes trainer.ranks; unset: CPUs over trainer.threads",
    )
    replicas: int | None = pydantic.Field(
        default=None, ge=1, description="actors of one organization at most, for work side by side; unset: as slots"
    )
    checkpoint_every_s: float = pydantic.Field(
        default=30.0, gt=0, description="seconds between checkpoints within a stage"
    )
    retries: int = pydantic.Field(
        default=3,
        ge=0,
        description="further attempts of work whose process or node was lost; then the run ends, resumable",
    )


class MeasureSettings(Settings):
    """What is measured of the models."""

    perplexity: PerplexitySettings | None = PerplexitySettings()
    memorization: MemorizationSettings | None = None
    exposure: ExposureSettings | None = pydantic.Field(
        default=ExposureSettings(),
        description="how well models know planted canaries; without canaries nothing is measured",
    )
    membership: MembershipSettings | None = None
    pass_at_k: PassAtKSettings | None = pydantic.Field(
        default=None, description="whether generated solutions pass tests; unset: not measured"
    )


class Experiment(Settings):
    """The top level of an experiment file."""

    name: str = pydantic.Field(description="names the run folder, runs/NAME, and the report")
    seed: list[int] = pydantic.Field(
        default=[1], min_length=1, description="one training of everything for each seed; the split stays the same"
    )
    split_seed: int = pydantic.Field(default=1, description="seed of split, tokenizer, packing and prompts")
    organizations: dict[str, OrganizationSettings] = pydantic.Field(
        min_length=1, description="who takes part, by name; the order counts where settings say so"
    )
    references: list[Literal["stdlib"] | SourceSettings] = pydantic.Field(
        default=[], description="public code: indexed, never trained on; lines that also occur there count as nobody's"
    )
    preparation: PreparationSettings = PreparationSettings()
    deduplication: DeduplicationSettings = DeduplicationSettings()
    canaries: CanarySettings | None = pydantic.Field(
        default=None, description="secrets planted in training splits, to see how well models know them"
    )
    tokenizer: TokenizerSettings
    model: ModelSettings
    trainer: TrainerSettings = TrainerSettings()
    strategies: list[str | dict[str, dict[str, Any] | None]] = pydantic.Field(
        min_length=1, description="ways of training together: a name, or {name: settings}; see strategies.NAME"
    )
    measure: MeasureSettings = MeasureSettings()
    report: ReportSettings = ReportSettings()
    execution: ExecutionSettings = ExecutionSettings()
    store: StoreSettings = StoreSettings()
    sweep: dict[str, list[Any]] = pydantic.Field(
        default={}, description="values for settings, by path as for --set: a run for every combination"
    )

    @property
    def after_epochs(self) -> bool:
        """Whether models after every epoch are measured."""
        measure = self.measure
        asked = (measure.memorization, self.canaries and measure.exposure, measure.membership, measure.pass_at_k)
        return any("every_epoch" in settings.when for settings in asked if settings)

    @pydantic.field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.match(name):
            raise ValueError("use letters, digits, '.', '_' and '-'")
        return name

    @pydantic.field_validator("organizations")
    @classmethod
    def _plain_organizations(cls, organizations: dict[str, Any]) -> dict[str, Any]:
        for name in organizations:
            if not _NAME.match(name) or name == "server":
                raise ValueError(f"{name!r} names no organization; use letters, digits, '.', '_' and '-', not 'server'")
        return organizations

    @pydantic.field_validator("seed", mode="before")
    @classmethod
    def _one_seed_is_a_list(cls, seed: Any) -> Any:
        return [seed] if isinstance(seed, int) else seed

    @pydantic.field_validator("seed")
    @classmethod
    def _distinct_seeds(cls, seed: list[int]) -> list[int]:
        if len(set(seed)) < len(seed):
            raise ValueError("a seed is named twice")
        return seed

    @pydantic.field_validator("sweep")
    @classmethod
    def _sweepable(cls, sweep: dict[str, list[Any]]) -> dict[str, list[Any]]:
        check_sweep(sweep)
        return sweep

    @pydantic.model_validator(mode="after")
    def _passages_fit(self) -> "Experiment":
        extraction = self.measure.memorization and self.measure.memorization.extraction
        if extraction and extraction.longest > self.trainer.sequence_length:
            raise ValueError(
                f"measure.memorization.extraction: a prefix of {extraction.prefix_tokens[-1]} tokens and a suffix of"
                f" {extraction.suffix_tokens} do not fit into a training sequence of {self.trainer.sequence_length};"
                " set shorter prefix_tokens or suffix_tokens, or a longer trainer.sequence_length"
            )
        return self


@dataclass(frozen=True)
class StrategyConfig:
    """One entry of `strategies`."""

    label: str
    strategy_class: type[Strategy]
    settings: StrategySettings


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment and where it came from.

    Attributes:
        base: folder that its relative paths start from.
        settings: its strategies, resolved.
    """

    experiment: Experiment
    base: Path
    settings: tuple[StrategyConfig, ...]


def load_experiment(path: Path, overrides: list[str]) -> LoadedExperiment:
    """Reads, overrides and validates an experiment file.

    Raises:
        InputError: whatever is wrong with it, every problem on a line of its own.
    """
    return _resolve(apply_overrides(load_yaml(path), overrides), str(path), path.resolve().parent)


def restore_experiment(manifest: Mapping[str, Any]) -> LoadedExperiment:
    """The experiment that a run's manifest tells of.

    Raises:
        InputError: it is none of this version.
    """
    if not manifest.get("base"):
        raise InputError("manifest.json: does not say where its experiment lay; run the run again to write it anew")
    return _resolve(manifest.get("experiment"), "manifest.json", Path(manifest["base"]))


def _resolve(raw: Any, origin: str, base: Path) -> LoadedExperiment:
    experiment = validate(Experiment, raw, origin)
    _check_auditing(experiment, origin)
    settings: list[StrategyConfig] = []
    for number, entry in enumerate(experiment.strategies):
        label, strategy_class, strategy_settings = resolve(entry, f"{origin}: strategies[{number}]")
        if label in [setting.label for setting in settings]:
            raise InputError(
                f"{origin}: strategies[{number}]: {label!r} is there twice; give one of them a label of its own"
            )
        settings.append(StrategyConfig(label, strategy_class, strategy_settings))
    return LoadedExperiment(experiment, base, tuple(settings))


def _check_auditing(experiment: Experiment, origin: str) -> None:
    """Refuses canaries and chunks that do not fit what they are for."""
    length = experiment.trainer.sequence_length
    if canaries := experiment.canaries:
        strangers = [name for name in canaries.organizations or () if name not in experiment.organizations]
        if strangers:
            raise InputError(
                f"{origin}: canaries.organizations: {strangers[0]!r} is no organization of this experiment; there are:"
                f" {', '.join(experiment.organizations)}"
            )
        # A byte is a token at worst.
        longest = max(map(len, map(str.encode, canaries.alphabet))) * canaries.length + len(canaries.text("").encode())
        if longest > length:
            raise InputError(
                f"{origin}: canaries.length: a canary of {longest} bytes may not fit a sequence of {length} tokens;"
                " shorten length or format, or raise trainer.sequence_length"
            )
    membership = experiment.measure.membership
    if membership and (membership.chunk_tokens or 0) > length:
        raise InputError(
            f"{origin}: measure.membership.chunk_tokens: {membership.chunk_tokens} tokens are more than a sequence of"
            f" {length}; set it to trainer.sequence_length at most, or to null for whole files"
        )
