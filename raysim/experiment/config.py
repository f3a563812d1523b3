"""One experiment: a YAML file, validated before anything starts."""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

from raysim.core.errors import InputError, RenamedSetting
from raysim.core.settings import OnlyJson, S, Settings, apply_overrides, validate
from raysim.core.yaml_files import load_yaml
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.deduplication import DeduplicationSettings
from raysim.corpus.planted_functions import MOST_BYTES, PlantSettings
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.sequence_canaries import SequenceCanarySettings
from raysim.corpus.sources import SourceSettings
from raysim.corpus.tokenizer import TokenizerSettings
from raysim.experiment.alert import AlertSettings
from raysim.experiment.execution_settings import MANY, ExecutionSettings
from raysim.experiment.findings_settings import FindingsSettings
from raysim.experiment.grid import check_sweep
from raysim.experiment.partitions import with_parts
from raysim.experiment.report_settings import ReportSettings
from raysim.measures.base import Measure, MeasureScope
from raysim.measures.registry import measures
from raysim.organizations.data_policy import check_unexpired
from raysim.organizations.settings import OrganizationSettings
from raysim.simulation.base_model import BASE
from raysim.simulation.registry import StrategyConfig, resolve
from raysim.store.retention import StoreSettings
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _measure_settings() -> type[Settings]:
    """The settings of what is measured: a section for each installed measure (`raysim.measures.registry`)."""
    fields: dict[str, Any] = {
        name: (measure.Settings | None, pydantic.Field(default=measure.default, description=_summary(measure)))
        for name, measure in measures().items()
    }
    doc = "What is measured of the models."
    return pydantic.create_model("MeasureSettings", __base__=Settings, __doc__=doc, __module__=__name__, **fields)


def _summary(measure: type[Measure]) -> str:
    return (measure.__doc__ or "").strip().partition("\n")[0]


if TYPE_CHECKING:
    MeasureSettings = Settings
else:
    MeasureSettings = _measure_settings()


class Experiment(Settings):
    """The top level of an experiment file."""

    name: str = pydantic.Field(description="names the run folder, runs/NAME, and the report")
    seed: list[int] = pydantic.Field(default=[1], min_length=1, description="repeats training; split_seed stays")
    split_seed: int = pydantic.Field(default=1, description="of split, packing and prompts")
    organizations: dict[str, OrganizationSettings] = pydantic.Field(
        min_length=1, description="who takes part, by name; the order counts where settings say so"
    )
    references: list[Literal["stdlib"] | SourceSettings] = pydantic.Field(
        default=[], description="indexed: what is there is public; only a base (model.pretrain) is trained on it"
    )
    preparation: PreparationSettings = PreparationSettings()
    deduplication: DeduplicationSettings = DeduplicationSettings()
    canaries: CanarySettings | None = pydantic.Field(
        default=None, description="secrets planted in training splits, to see how well models know them"
    )
    plants: PlantSettings | None = pydantic.Field(
        default=None, description="functions planted in training splits, to see what repetition makes models recite"
    )
    sequence_canaries: SequenceCanarySettings | None = pydantic.Field(
        default=None, description="training sequences of random tokens, put in by coins, to audit record-level privacy"
    )
    tokenizer: TokenizerSettings
    model: ModelSettings
    trainer: TrainerSettings = TrainerSettings()
    strategies: Annotated[list[str | dict[str, dict[str, Any] | None]], OnlyJson] = pydantic.Field(
        description="ways of training together: a name, or {name: settings}; see strategies.NAME. With a model.pretrain"
        " there may be none: its base alone is trained and measured"
    )
    measure: MeasureSettings = MeasureSettings()
    findings: FindingsSettings = FindingsSettings()
    alert: AlertSettings | None = pydantic.Field(
        default=None, description="an alarm when a model gives away more than this, while the run goes on"
    )
    report: ReportSettings = ReportSettings()
    execution: ExecutionSettings = ExecutionSettings()
    store: StoreSettings = StoreSettings()
    sweep: Annotated[dict[str, list[Any]], OnlyJson] = pydantic.Field(
        default={}, description="values for settings, by path as for --set: a run for every combination"
    )
    mitigations: Annotated[list[str | dict[str, dict[str, Any] | None]], OnlyJson] = pydantic.Field(
        default=[],
        description="ways to protect code, to be compared with the experiment as it is: a run for it, and for each; a"
        " name, or {name: settings}, see mitigations.NAME; several names in one entry act together",
    )

    @property
    def sweeps(self) -> bool:
        """Whether it is several runs."""
        return bool(self.sweep or self.mitigations)

    def asked_measures(self) -> tuple[Measure, ...]:
        """The measures that it asks for, where there is something to measure."""
        scope, classes = self.measure_scope, measures()
        asked = [classes[name](settings) for name, settings in self.measure if settings is not None]
        return tuple(measure for measure in asked if measure.applies(scope))

    def measure_settings(self, settings_class: type[S]) -> S | None:
        """The settings of the measure whose settings are of this class; None: it is not asked for."""
        return next((found for _, found in self.measure if isinstance(found, settings_class)), None)

    def check_unexpired(self) -> None:
        """Refuses to begin with code of an organization whose agreement has ended.

        Raises:
            BoundaryError: the organization and the day.
        """
        check_unexpired({name: settings.agreement for name, settings in self.organizations.items()})

    @property
    def shares_actors(self) -> bool:
        """Whether organizations share processes."""
        asked = self.execution.share_actors
        return len(self.organizations) >= MANY and not self.pinned if asked is None else asked

    @property
    def pinned(self) -> dict[str, dict[str, str]]:
        """Labels of their nodes, of the organizations that are pinned to some."""
        return {name: settings.node for name, settings in self.organizations.items() if settings.node}

    @property
    def measure_scope(self) -> MeasureScope:
        planted = self.canaries, self.plants, self.sequence_canaries
        return MeasureScope(self.trainer, *planted, self.preparation.domain)

    @pydantic.field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("use letters, digits, '.', '_' and '-'")
        return name

    @pydantic.field_validator("organizations")
    @classmethod
    def _plain_organizations(cls, organizations: dict[str, Any]) -> dict[str, Any]:
        for name in organizations:
            if not _NAME.fullmatch(name) or name == "server":
                raise ValueError(f"{name!r} names no organization; use letters, digits, '.', '_' and '-', not 'server'")
        return organizations

    @pydantic.field_validator("seed", mode="before", json_schema_input_type=int | list[int])
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
    def _one_kind_of_sweep(self) -> "Experiment":
        if self.sweep and self.mitigations:
            raise ValueError("mitigations: they are a sweep of their own; leave sweep out, or run them one by one")
        return self

    @pydantic.model_validator(mode="after")
    def _trains_something(self) -> "Experiment":
        if not self.strategies and self.model.pretrain is None:
            raise ValueError("strategies: there is none; name at least one, for example single")
        return self

    @pydantic.model_validator(mode="after")
    def _pinned_have_actors_of_their_own(self) -> "Experiment":
        if self.pinned and self.shares_actors:
            raise ValueError(
                f"execution.share_actors: organizations.{next(iter(self.pinned))}.node pins it to a node of its own;"
                " write share_actors: false, or leave node out"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _asks_for_slots(self) -> "Experiment":
        if self.execution.scale_up_s and self.execution.slots is None:
            raise ValueError("execution.scale_up_s: waits for the nodes of execution.slots; write how many")
        return self

    @pydantic.model_validator(mode="after")
    def _measures_fit(self) -> "Experiment":
        for measure in self.asked_measures():
            try:
                measure.check(self.measure_scope)
            except ValueError as error:
                raise ValueError(f"measure.{error}") from None
        return self

    @pydantic.model_validator(mode="after")
    def _alert_fits(self) -> "Experiment":
        if self.alert is None:
            return self
        asked = {measure.name for measure in self.asked_measures()}
        if self.alert.needs_lines and "memorization" not in asked:
            raise ValueError("alert: nothing counts lines; add measure.memorization, with when: every_round")
        if self.alert.exposure is not None and "exposure" not in asked:
            raise ValueError("alert.exposure: there are no canaries; add canaries: {}")
        return self


@dataclass(frozen=True)
class LoadedExperiment:
    """An experiment and where it came from.

    Attributes:
        base: folder that its relative paths start from.
        settings: its strategies, resolved.
        measures: that it asks for.
    """

    experiment: Experiment
    base: Path
    settings: tuple[StrategyConfig, ...]
    measures: tuple[Measure, ...] = field(compare=False)


def load_experiment(
    experiment: Path | Mapping[str, Any], overrides: Sequence[str], base: Path | None = None
) -> LoadedExperiment:
    """Reads, overrides and validates an experiment.

    Args:
        experiment: a YAML file, or what such a file holds. Relative paths start from the folder of the file.
        overrides: ``a.b=c`` assignments.
        base: folder from which relative paths start where there is no file; None: the current one.

    Raises:
        InputError: whatever is wrong with it, every problem on a line of its own.
        BoundaryError: an agreement has ended.
    """
    if isinstance(experiment, Path):
        raw, origin, base = load_yaml(experiment), str(experiment), experiment.resolve().parent
    else:
        raw, origin, base = _as_from_yaml(experiment), "experiment", (base or Path.cwd()).resolve()
    return _resolve(apply_overrides(raw, overrides), origin, base, begins=True)


def restore_experiment(manifest: Mapping[str, Any]) -> LoadedExperiment:
    """The experiment of a run, from its manifest.

    Raises:
        InputError: it is none of this version.
    """
    if not manifest.get("base"):
        raise InputError("manifest.json: does not say where its experiment lay; run the run again to write it anew")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RenamedSetting)  # nobody is going to edit a manifest
        return _resolve(manifest.get("experiment"), "manifest.json", Path(manifest["base"]))


def _as_from_yaml(value: Any) -> Any:
    """Settings in Python as YAML would hold them: paths as text, mappings and sequences of any kind as its own."""
    if isinstance(value, Mapping):
        return {name: _as_from_yaml(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_from_yaml(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _resolve(raw: Any, origin: str, base: Path, begins: bool = False) -> LoadedExperiment:
    experiment = validate(Experiment, raw, origin)
    if begins:
        experiment.check_unexpired()  # before a source is read, whose parts are to be counted
    try:
        organizations = with_parts(experiment.organizations, base, experiment.preparation.find_licences)
    except InputError as error:
        raise InputError(f"{origin}: {error}") from None
    experiment = experiment.model_copy(update={"organizations": organizations})
    if experiment.model.pretrain and not experiment.references:
        raise InputError(
            f"{origin}: model.pretrain.corpus: is 'references', but there are none; add for example"
            " references: [stdlib]"
        )
    _check_canaries(experiment, origin)
    _check_alert(experiment, origin)
    settings: list[StrategyConfig] = []
    for number, entry in enumerate(experiment.strategies):
        config = resolve(entry, f"{origin}: strategies[{number}]")
        if config.label == BASE:
            raise InputError(
                f"{origin}: strategies[{number}]: {BASE!r} names the model that settings start from; label it otherwise"
            )
        if config.label in [setting.label for setting in settings]:
            raise InputError(
                f"{origin}: strategies[{number}]: {config.label!r} is there twice; give one of them a label of its own"
            )
        settings.append(config)
    _check_findings(experiment, [config.label for config in settings], origin)
    packed = next((one.label for one in settings if getattr(one.settings, "pooled_packing", False)), None)
    if experiment.sequence_canaries and packed:
        raise InputError(
            f"{origin}: sequence_canaries: {packed} packs all files into sequences of its own (pooled_packing), which"
            " hold none of them, so that its audit would say nothing; leave one of the two out"
        )
    return LoadedExperiment(experiment, base, tuple(settings), experiment.asked_measures())


def _check_findings(experiment: Experiment, labels: Sequence[str], origin: str) -> None:
    """Refuses arms of findings that are no settings."""
    for path, named in experiment.findings.labels().items():
        if strangers := [label for label in named if label not in labels]:
            raise InputError(
                f"{origin}: {path}: {strangers[0]!r} is the label of no strategy; there are: {', '.join(labels)}"
            )


def _check_alert(experiment: Experiment, origin: str) -> None:
    """Refuses thresholds of nobody."""
    named = experiment.alert.organizations if experiment.alert else ()
    if strangers := [name for name in named if name not in experiment.organizations]:
        raise InputError(
            f"{origin}: alert: {strangers[0]!r} is no organization of this experiment; there are:"
            f" {', '.join(experiment.organizations)}"
        )


def _check_canaries(experiment: Experiment, origin: str) -> None:
    """Refuses canaries and planted functions that do not fit the rest."""
    length = experiment.trainer.sequence_length
    kept = experiment.preparation.truncate_files
    for section in ("canaries", "plants", "sequence_canaries"):
        planted: CanarySettings | PlantSettings | SequenceCanarySettings | None = getattr(experiment, section)
        named = (planted.organizations if planted else None) or ()
        strangers = [name for name in named if name not in experiment.organizations]
        if strangers:
            raise InputError(
                f"{origin}: {section}.organizations: {strangers[0]!r} is no organization of this experiment; there are:"
                f" {', '.join(experiment.organizations)}"
            )
    if kept is not None and experiment.plants and kept < MOST_BYTES:
        raise InputError(
            f"{origin}: preparation.truncate_files: {kept} tokens may not hold a planted function, of"
            f" {MOST_BYTES} bytes at most; keep more of each file, or leave plants out"
        )
    if canaries := experiment.canaries:
        if kept is not None and canaries.place == "lines":
            raise InputError(
                f"{origin}: canaries.place: lines may lie behind the {kept} tokens of a file that are trained on"
                " (preparation.truncate_files); write place: files"
            )
        # A byte is a token at worst.
        longest = max(map(len, map(str.encode, canaries.alphabet))) * canaries.length + len(canaries.text("").encode())
        room = min(length, kept or length)
        if longest > room:
            raise InputError(
                f"{origin}: canaries.length: a canary of {longest} bytes may not fit a sequence of {room} tokens;"
                " shorten length or format, or raise trainer.sequence_length"
                f"{' and preparation.truncate_files' if room == kept else ''}"
            )
