"""The measure: what it takes to add one, in one class, which the entry-point group ``raysim.measures`` names.

`raysim plan`, progress, time left, tables, data dictionary, report, `raysim init` and `raysim doctor` ask the installed
measures (`raysim.measures.registry`); nothing else knows which there are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from raysim.core.keys import Key, key_of
from raysim.core.settings import Settings
from raysim.corpus.canaries import CanarySettings
from raysim.corpus.files import SourceFile
from raysim.corpus.planted_functions import PlantSettings
from raysim.corpus.preparation_settings import Domain
from raysim.corpus.sequence_canaries import SequenceCanarySettings
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.inference.settings import Numerics, Sampling
from raysim.measures.when import wanted
from raysim.organizations.data_policy import DataPolicy
from raysim.simulation.executor import TrainedModel
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.model_scores import ModelScores
from raysim.store.store import Store
from raysim.tables.results import Results
from raysim.tables.spec import TableSpec
from raysim.tasks.batch_jobs import BatchedTasks
from raysim.tasks.executor import TaskExecutor
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput
from raysim.training.request import TrainerSettings

_AnySettings = Settings
_SettingsClass = type[Settings]


@dataclass(frozen=True)
class MeasureScope:
    """What a measure may depend on before anything is read.

    Attributes:
        trainer: settings of training.
        canaries: planted in training splits; None: there are none.
        plants: functions planted there; None: there are none.
        sequence_canaries: whole sequences planted there; None: there are none.
        domain: what files hold.
    """

    trainer: TrainerSettings
    canaries: CanarySettings | None
    plants: PlantSettings | None = None
    sequence_canaries: SequenceCanarySettings | None = None
    domain: Domain = "code"


@dataclass(frozen=True)
class EvalContext:
    """What measures know of a run at one seed.

    Attributes:
        run: the recipes and settings that all work at this seed has in common.
        tokenizer: of the run.
        references: public files.
        held_out_references: those of them that no model is trained on, a base included.
        policies: what each organization has agreed to, by name, in the order of the experiment.
        canaries: planted in training splits.
        base: folder that relative paths in the experiment start from.
        plants: functions planted in training splits.
        base_references: the references that a base is trained on; empty without one.
        measures: settings of all measures that the experiment asks for, by name.
        sequence_canaries: planted beside training sequences.
    """

    run: RunContext
    tokenizer: CodeTokenizer
    references: tuple[SourceFile, ...]
    policies: Mapping[str, DataPolicy]
    canaries: CanarySettings | None
    base: Path
    held_out_references: tuple[SourceFile, ...] = ()
    plants: PlantSettings | None = None
    base_references: tuple[SourceFile, ...] = ()
    measures: Mapping[str, Settings] = field(default_factory=dict)
    sequence_canaries: SequenceCanarySettings | None = None

    def at(self, run: RunContext) -> "EvalContext":
        """The same at another seed."""
        return replace(self, run=run)

    @property
    def organizations(self) -> list[str]:
        """Names of the organizations, in the order of the experiment."""
        return list(self.run.client_stats)


@dataclass(frozen=True)
class ClientTask:
    """A piece of keyed work at one organization that gives one table.

    Attributes:
        table: name of the table that its rows belong to; columns ``model`` and ``organization`` are added.
        organization: at which it runs.
        about: what it looks at, for people.
        recipe: of the work; if it names ``weights``, the function gets them, else it is done once for all models.
        function: module-level function ``(organization, [weights,] *arguments)`` that runs there; only what it returns
            leaves.
        arguments: of the function.
        tokens: that the model reads, at most.
        pooled: other organizations, whose packed training sequences the function gets as its last arguments; each must
            share data.
        columns: further columns of the table, each with the value that all rows of this piece of work have.
        shown: whether its rows are in the table; else who asked for it finds it in the store.
    """

    table: str
    organization: str
    about: str
    recipe: Mapping[str, Any]
    function: Callable[..., TaskOutput]
    arguments: tuple[Any, ...] = ()
    tokens: int = 0
    pooled: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    shown: bool = True

    @property
    def key(self) -> Key:
        return key_of(self.recipe)

    @property
    def reads_model(self) -> bool:
        return "weights" in self.recipe


@dataclass(frozen=True)
class PlannedEvaluation:
    """A piece of work that will read a planned model.

    Attributes:
        recipe: of the work.
        tokens: that it takes, at most.
        batched: whether it waits for a batch job, and so keeps the model's weights longer.
    """

    recipe: Mapping[str, Any]
    tokens: int
    batched: bool = False


@dataclass(frozen=True)
class GenerationLoad:
    """How models are asked for text, for estimates of memory.

    Attributes:
        section: of the experiment.
        sampling: settings.
        numerics: in which models compute meanwhile.
        num_prompts: of one batch at most.
        prompt_tokens: of the longest prompt.
    """

    section: str
    sampling: Sampling
    numerics: Numerics
    num_prompts: int
    prompt_tokens: int


class GenerationMeasure(Protocol):
    """Asks models for text, which takes their weights; what comes of it is compared later, without them."""

    async def look_up(self, models: Mapping[Key, TrainedModel], /) -> BatchedTasks:
        """The work of asking these models, as far as it is in the store."""
        ...

    async def generate(self, tasks: BatchedTasks, /) -> None:
        """Has models give the answers that are not there yet."""
        ...

    async def compare(self, models: Mapping[Key, TrainedModel], tasks: BatchedTasks, /) -> None:
        """Says what the answers of these models show, where somebody wants to know before the run has ended."""
        ...

    async def tables(
        self, models: Mapping[Key, TrainedModel], reached: Sequence[TrainedModel], /
    ) -> Mapping[str, Sequence[pa.Table]]:
        """Parts of the measure's tables, by name.

        Args:
            models: to measure, each once.
            reached: the same, once for each setting that passed through them.
        """
        ...

    def models_at_once(self) -> int:
        """Models that one batch job holds."""
        ...


def scores_of(model: TrainedModel, organization: str, values: Mapping[str, float]) -> ModelScores:
    """Scores of a model at an organization, for observers."""
    run, checkpoint = model.strategy_run, model.checkpoint
    moment, index = checkpoint.moment, checkpoint.index
    return ModelScores(checkpoint.model, model.name, run.name, run.context.seed, moment, index, organization, values)


@dataclass(frozen=True)
class SectionTable:
    """A table of a section: header cells, and rows of as many cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        anchor: its id in the page.
        title: its heading.
        contents: its name in the table of contents; empty: it has none.
        place: where it comes, in ascending order; the report's own are at multiples of 100, see
            `raysim.report.sections`.
        lead: what it shows, in a sentence.
        tables: shown one after the other.
        figures: Plotly specifications (``data`` and ``layout``) by name.
        note: small print at its end.
        template: of the package's own templates, in place of lead, tables, figures and note.
        values: for that template.
        front: whether it is open on the page; the others are behind a click.
    """

    anchor: str
    title: str
    contents: str = ""
    place: int = 1500
    lead: str = ""
    tables: Sequence[SectionTable] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    template: str = "section.html.j2"
    values: Mapping[str, Any] = field(default_factory=dict)
    front: bool = False


class Measure:
    """A measure: derive from it, set the class attributes, and write `tasks` or `generation`.

    An instance is a measure with its settings, as an experiment asks for it.

    Attributes:
        name: its section under ``measure`` in an experiment.
        Settings: of that section; its docstring says what is measured.
        default: settings where an experiment says nothing of it; None: it is not measured then.
        example: lines of YAML under ``measure`` for `raysim init`.
        kinds: of work that it does.
        tables: that it fills in a run.
        report: of measures that come with raysim: functions ``(RunResults) -> Section | None``, as ``module:function``,
            imported when a report is written; others write `section`.
    """

    name: ClassVar[str]
    Settings: ClassVar[_SettingsClass]
    default: ClassVar[_AnySettings | None] = None
    example: ClassVar[str] = ""
    kinds: ClassVar[tuple[WorkKind, ...]] = ()
    tables: ClassVar[tuple[TableSpec, ...]] = ()
    report: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    def check(self, scope: MeasureScope) -> None:
        """Refuses settings that do not fit the rest of the experiment.

        Raises:
            ValueError: names the setting under ``measure``, what is wrong, and what to write instead.
        """

    def applies(self, scope: MeasureScope) -> bool:
        """Whether there is anything to measure in such an experiment."""
        del scope
        return True

    def prepare(self, context: EvalContext) -> None:
        """Called once before a run is planned: fails now where something that the measure needs is missing.

        Raises:
            InputError: what is missing, and how to get it.
        """

    def try_out(self, context: EvalContext, store: Store) -> None:
        """Called behind `prepare`: tries what takes seconds to try, unless the store says that it was tried.

        Raises:
            InputError: what would make the measure's numbers mean nothing.
        """

    def after_epochs(self, organizations: Sequence[str]) -> bool:
        """Whether models after every epoch of a stage that these organizations train are measured."""
        when = getattr(self.settings, "when", None) or ()
        return "every_epoch" in when or ("every_pooled_epoch" in when and len(organizations) > 1)

    def wants(self, checkpoint: ModelCheckpoint) -> bool:
        """Whether a model is measured; by the setting ``when``, or every model where there is none or it is unset.

        Uploads, which no setting ends with, are measured by who asks for them alone.
        """
        if checkpoint.moment == "upload":
            return False
        return getattr(self.settings, "when", None) is None or wanted(checkpoint, self.settings)

    @property
    def context_tokens(self) -> int:
        """Tokens that a model's context must hold for this measure; 0: as many as training has."""
        return 0

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        """Work at the organizations about a model that is measured. Called once a model, in planning as in a run."""
        del context, checkpoint
        return ()

    def scores(self, task: ClientTask, result: pa.Table) -> Mapping[str, float]:
        """Of what a task of `tasks` found, what is shown while the run goes on, by name; no table depends on it."""
        del task, result
        return {}

    def generations(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[PlannedEvaluation]:
        """Work of `generation` that will read a model."""
        del context, checkpoint
        return ()

    def generation_load(self, context: EvalContext) -> GenerationLoad | None:
        """What `generation` needs of memory; None: it has models generate nothing."""
        del context
        return None

    def generation(
        self, context: EvalContext, executor: TaskExecutor, workers: int, secret: bytes
    ) -> GenerationMeasure | None:
        """The part of the measure that asks models for text, by batch jobs; None: there is none.

        Args:
            context: of the first seed.
            executor: does keyed work.
            workers: of batch jobs.
            secret: key of the run's line hashes.
        """
        del context, executor, workers, secret
        return None

    @classmethod
    def section(cls, results: Results) -> Section | None:
        """A section of the report about this measure, from the tables of a run; None: it has nothing to say."""
        del results
        return None
