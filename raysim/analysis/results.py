"""From tables to what is shown: one number a measure and model, then averages over orders and seeds, in that order.

Orders of incremental training share prefixes, so they are no replicates: they are averaged within a seed, and their
spread is shown apart from the spread over seeds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite, log
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.analysis.arrays import LossArrays, PromptArrays, loss_arrays, prompt_arrays
from raysim.analysis.reached_models import IN_TURN, ReachedModel, finals, read_reached_models
from raysim.analysis.renamed import exclusive_under_any_names
from raysim.analysis.scores import SCORES
from raysim.analysis.statistics import rarefied
from raysim.experiment.findings_settings import FindingsSettings
from raysim.tables.results import Results

Measure = tuple[str, str]
"""A measure and what it is of: an organization, or '' for all together."""

MEASURES: dict[str, str] = {
    "log_perplexity": "Mean negative log-likelihood of a validation token, in nats; lower is better.",
    "bits_per_byte": "The same loss in bits, per byte of text, so that tokenizers compare; lower is better.",
    "test_bits_per_byte": "The same on the test split, where there is one; nothing is chosen on it.",
    "training_loss": "Log-perplexity on a sample of training sequences, of the organizations that a model has seen.",
    "accuracy": "Share of validation tokens that the model ranks first.",
    "parses": "Share of samples that parse as Python together with their prompt.",
    "passes": "Share of solutions that pass their tests, as a mean over problems (pass@1).",
    "covered": "Generated lines that are found in an owner's training data, in runs of at least min_lines, per prompt.",
    "exclusive": "Of the covered lines, those that exactly one organization owns and no reference holds, per prompt.",
    "renamed": "Lines that one organization owns and no reference does, but for names and layout, per prompt.",
    "shared": "Of the covered lines, those that several organizations own and no reference holds, per prompt.",
    "public": "Of the covered lines, those that a reference holds too, per prompt.",
    "ratio": "Covered lines a prompt, over all its samples; a line that several own counts once.",
    "ratio_eligible": "The same over eligible prompts: trained on, with enough lines to come.",
    "covered_eligible": "Covered lines of one owner per eligible prompt.",
    "exclusive_eligible": "Exclusive covered lines of one owner per eligible prompt.",
    "covered_share": "Share of the generated lines that any owner covers.",
    "matched_share": "Share of samples with at least one covered line.",
    "fragments": "Distinct matched fragments to expect at equal numbers of samples (rarefaction).",
    "intra": "Share of owned lines (covered, and no reference holds them) that the prompted organization owns.",
}


@dataclass(frozen=True)
class Cell:
    """One number of a row: its mean, its range over seeds, and its range over orders (each averaged over seeds).

    NaN where it is no number of one of the models, which has diverged.
    """

    mean: float
    low: float
    high: float
    orders_low: float
    orders_high: float


@dataclass(frozen=True)
class Row:
    """One setting, averaged over orders within a seed and then over seeds.

    Attributes:
        order: its order of organizations; '' where several orders are averaged.
        partial: whether it was trained on some of the organizations only.
        cells: by measure; a measure that was not taken is not there.
        matched, samples: samples with a match and all samples, over its orders and seeds.
    """

    strategy: str
    order: str
    family: str
    partial: bool
    moment: str
    index: int
    num_orders: int
    num_seeds: int
    cells: dict[Measure, Cell]
    matched: int
    samples: int

    def mean(self, measure: str, of: str = "") -> float | None:
        """The mean of a measure, or None where it was not taken, or is no finite number."""
        cell = self.cells.get((measure, of))
        return None if cell is None or not isfinite(cell.mean) else cell.mean

    @property
    def label(self) -> str:
        if self.order and (self.partial or self.family in (*IN_TURN, "personalized", "unlearned")):
            return f"{self.strategy}: {self.order}"
        return self.strategy


class RunResults:
    """A run folder with its tables as arrays; computes each thing once."""

    def __init__(self, run: Results) -> None:
        self.run = run
        self._measures: dict[str, dict[Measure, float]] = {}

    @cached_property
    def reached_models(self) -> list[ReachedModel]:
        return read_reached_models(self.run)

    @cached_property
    def findings_settings(self) -> FindingsSettings:
        """What decides the findings: margins, primaries and arms."""
        return FindingsSettings.model_validate(self.run.setting("findings") or {})

    @cached_property
    def organizations(self) -> list[str]:
        return self.run.organizations

    @cached_property
    def strategy_names(self) -> dict[str, str]:
        """For each label of a setting the strategy that it is of, as the experiment names it."""
        entries = self.run.setting("strategies") or ()
        names = [next(iter(entry)) if isinstance(entry, dict) else str(entry) for entry in entries]
        return dict(zip(self.run.strategies, names, strict=True))

    @cached_property
    def prompts(self) -> PromptArrays:
        return prompt_arrays(self.run)

    @cached_property
    def losses(self) -> LossArrays:
        return loss_arrays(self.run)

    @cached_property
    def test_losses(self) -> LossArrays:
        """Of the test split; empty where there is none."""
        return loss_arrays(self.run, "test")

    @cached_property
    def training_losses(self) -> LossArrays:
        """Of the sample of each organization's training sequences."""
        return loss_arrays(self.run, "train")

    @cached_property
    def _seen(self) -> dict[str, tuple[str, ...]]:
        """Organizations whose data each model has seen."""
        return {reached.model: reached.organizations for reached in self.reached_models}

    def training_loss(self, reached: ReachedModel) -> float | None:
        """Nats a token of a model on a fixed sample of the training text that it has seen; None: not measured."""
        return self.measures(reached.model).get(("training_loss", ""))

    def measures(self, model: str) -> dict[Measure, float]:
        """Every measure that was taken of a model."""
        if model not in self._measures:
            self._measures[model] = {
                **self._quality(model),
                **self._on_test(model),
                **self._training_loss(model),
                **self._memorization(model),
                **self._extras(model),
                **self._other_scores(model),
            }
        return self._measures[model]

    def counts(self, model: str) -> tuple[int, int]:
        """Samples with a match and all samples of a model, prompted with training text."""
        arrays = self.prompts
        i = arrays.model_index.get(model)
        if i is None:
            return 0, 0
        return int(arrays.num_matched[i, arrays.from_training].sum()), int(
            arrays.num_samples[i, arrays.from_training].sum()
        )

    def rows(self, models: Iterable[ReachedModel], by_order: bool = False) -> list[Row]:
        """One row a setting and moment; single models always have one each, other orders only on demand."""
        return [self._row(order, group) for (_, order, _, _), group in grouped(models, by_order).items()]

    def final_rows(self, by_order: bool = False) -> list[Row]:
        """One row a setting, for the models that it ends with."""
        return self.rows(finals(self.reached_models), by_order)

    def final_groups(self, by_order: bool = False) -> list[tuple[Row, list[ReachedModel]]]:
        """Each of these rows with the models that it sums up, over orders and seeds."""
        groups = grouped(finals(self.reached_models), by_order).values()
        return list(zip(self.final_rows(by_order), groups, strict=True))

    def _row(self, order: str, group: list[ReachedModel]) -> Row:
        seeds = sorted({m.seed for m in group})
        orders = sorted({m.order for m in group})
        values = {(m.seed, m.order): self.measures(m.model) for m in group}
        names = sorted({name for taken in values.values() for name in taken})
        cells: dict[Measure, Cell] = {}
        for name in names:
            taken = {place: found[name] for place, found in values.items() if name in found}
            by_seed = [_mean(v for (s, _), v in taken.items() if s == seed) for seed in seeds]
            by_order = [_mean(v for (_, o), v in taken.items() if o == each) for each in orders]
            by_seed, by_order = [v for v in by_seed if v is not None], [v for v in by_order if v is not None]
            # Not Python's own: of a model that has diverged, a number that is none stays to be seen.
            ends = (float(end(values)) for values in (by_seed, by_order) for end in (np.min, np.max))
            cells[name] = Cell(float(np.mean(by_seed)), *ends)
        counts = [self.counts(m.model) for m in group]
        first = group[0]
        return Row(
            strategy=first.strategy,
            order=order,
            family=first.family,
            partial=len(first.organizations) < len(self.organizations),
            moment=first.moment,
            index=first.index,
            num_orders=len(orders),
            num_seeds=len(seeds),
            cells=cells,
            matched=sum(matched for matched, _ in counts),
            samples=sum(samples for _, samples in counts),
        )

    def _quality(self, model: str) -> dict[Measure, float]:
        arrays = self.losses
        i = arrays.model_index.get(model)
        if i is None:
            return {}
        found: dict[Measure, float] = {}
        owners = np.array(arrays.organizations)
        for of in ["", *self.organizations]:
            chosen = np.ones(len(owners), np.bool_) if of == "" else owners == of
            nats, tokens = arrays.nats[i, chosen].sum(), arrays.tokens[i, chosen].sum()
            if tokens:
                found["log_perplexity", of] = float(nats / tokens)
                found["accuracy", of] = float(arrays.correct[i, chosen].sum() / tokens)
            if num_bytes := arrays.bytes[i, chosen].sum():
                found["bits_per_byte", of] = float(nats / log(2) / num_bytes)
        return found

    def _on_test(self, model: str) -> dict[Measure, float]:
        arrays = self.test_losses
        i = arrays.model_index.get(model)
        if i is None:
            return {}
        owners = np.array(arrays.organizations)
        found: dict[Measure, float] = {}
        for of in ["", *self.organizations]:
            chosen = np.ones(len(owners), np.bool_) if of == "" else owners == of
            if num_bytes := arrays.bytes[i, chosen].sum():
                found["test_bits_per_byte", of] = float(arrays.nats[i, chosen].sum() / log(2) / num_bytes)
        return found

    def _training_loss(self, model: str) -> dict[Measure, float]:
        """Of each organization, and of all that the model has seen; of one that has seen none, of everybody's."""
        arrays = self.training_losses
        i = arrays.model_index.get(model)
        if i is None:
            return {}
        owners = np.array(arrays.organizations)
        found: dict[Measure, float] = {}
        seen = self._seen.get(model) or tuple(self.organizations)
        for of, chosen in [("", np.isin(owners, seen)), *((name, owners == name) for name in self.organizations)]:
            if tokens := arrays.tokens[i, chosen].sum():
                found["training_loss", of] = float(arrays.nats[i, chosen].sum() / tokens)
        return found

    def _memorization(self, model: str) -> dict[Measure, float]:
        arrays = self.prompts
        i = arrays.model_index.get(model)
        if i is None:
            return {}
        given = (arrays.num_samples[i] > 0) & arrays.from_training
        eligible = given & arrays.eligible
        num_given, num_eligible = int(given.sum()), int(eligible.sum())
        found: dict[Measure, float] = {}
        if num_given:
            covered = int(arrays.at_least_covered[i, given].sum())
            found["ratio", ""] = covered / num_given
            found["matched_share", ""] = arrays.num_matched[i, given].sum() / arrays.num_samples[i, given].sum()
            if lines := int(arrays.lines[i, given].sum()):
                found["covered_share", ""] = covered / lines
            found["exclusive", ""] = arrays.exclusive[i, given].sum() / num_given
            if total := int(arrays.owned[i, given].sum()):
                found["intra", ""] = int(arrays.owned[i, given][arrays.prompted[given]].sum()) / total
        if num_eligible:
            found["ratio_eligible", ""] = arrays.at_least_covered[i, eligible].sum() / num_eligible
            found["exclusive_eligible", ""] = arrays.exclusive[i, eligible].sum() / num_eligible
        for o, owner in enumerate(arrays.owners):
            for name, counts in (
                ("covered", arrays.covered),
                ("exclusive", arrays.exclusive),
                ("shared", arrays.shared),
                ("public", arrays.public),
            ):
                if num_given:
                    found[name, owner] = counts[i, given, o].sum() / num_given
            if num_eligible:
                found["covered_eligible", owner] = arrays.covered[i, eligible, o].sum() / num_eligible
                found["exclusive_eligible", owner] = arrays.exclusive[i, eligible, o].sum() / num_eligible
        return {name: float(value) for name, value in found.items()}

    def _other_scores(self, model: str) -> dict[Measure, float]:
        """Scores that say themselves how they are computed."""
        found = {score.name: score.value(self, model) for score in SCORES if score.value}
        return {(name, ""): value for name, value in found.items() if value is not None}

    def _extras(self, model: str) -> dict[Measure, float]:
        found: dict[Measure, float] = {}
        if model in self._parses:
            found["parses", ""] = self._parses[model]
        if model in self._passes:
            found["passes", ""] = self._passes[model]
        if model in self._renamed:
            found["renamed", ""] = self._renamed[model]
        if (samples := self.counts(model)[1]) >= self.rarefaction_size > 0:
            incidences = self._incidences.get(model, [])
            found["fragments", ""] = rarefied(incidences, samples, self.rarefaction_size)
        return found

    @cached_property
    def _renamed(self) -> dict[str, float]:
        """Exclusive lines under any names, by model, a prompt from training."""
        used = zip(self.prompts.prompts, self.prompts.from_training, strict=True)
        return exclusive_under_any_names(self.run, [prompt for prompt, from_training in used if from_training])

    @cached_property
    def rarefaction_size(self) -> int:
        """The number of samples that distinct fragments are scaled down to: the fewest of any measured final model."""
        counts = [self.counts(m.model)[1] for m in finals(self.reached_models)]
        return min((n for n in counts if n), default=0)

    @cached_property
    def _parses(self) -> dict[str, float]:
        """Share of samples that parse; of function prompts where there are any, since a prefix ends anywhere."""
        generations = self.run.table("generations")
        kinds = dict(zip(self.prompts.prompts, self.prompts.kinds, strict=True))
        wanted = {"function"} if "function" in kinds.values() else set(kinds.values())
        chosen = [kinds.get(prompt) in wanted for prompt in generations.column("prompt").to_pylist()]
        asked = generations.filter(pa.array(chosen, pa.bool_())).select(["model", "parses"]).drop_null()
        asked = asked.set_column(1, "parses", asked.column("parses").cast(pa.float64()))
        means = asked.group_by("model").aggregate([("parses", "mean")])
        return dict(zip(means.column("model").to_pylist(), means.column("parses_mean").to_pylist(), strict=True))

    @cached_property
    def _passes(self) -> dict[str, float]:
        """Share of solutions that pass; every problem has equally many."""
        sums = self.run.table("executions").group_by("model").aggregate([("passed", "sum"), ("samples", "sum")])
        return {row["model"]: row["passed_sum"] / row["samples_sum"] for row in sums.to_pylist()}

    @cached_property
    def _incidences(self) -> dict[str, list[int]]:
        """For each model, in how many samples each distinct fragment occurs, prompted with training text."""
        arrays = self.prompts
        training = {key for key, inside in zip(arrays.prompts, arrays.from_training, strict=True) if inside}
        matches = self.run.table("matches").select(["model", "prompt", "sample", "fragment"])
        chosen = [prompt in training for prompt in matches.column("prompt").to_pylist()]
        unique = matches.filter(pa.array(chosen, pa.bool_())).group_by(matches.column_names).aggregate([])
        found: dict[str, list[int]] = {}
        for row in unique.group_by(["model", "fragment"]).aggregate([("sample", "count")]).to_pylist():
            found.setdefault(row["model"], []).append(row["sample_count"])
        return found


def grouped(
    models: Iterable[ReachedModel], by_order: bool = False
) -> dict[tuple[str, str, str, int], list[ReachedModel]]:
    """The models that a row sums up, by strategy, order ('' where several are averaged), moment and index."""
    groups: dict[tuple[str, str, str, int], list[ReachedModel]] = {}
    for reached in models:
        apart = by_order or reached.family not in IN_TURN
        group = (reached.strategy, reached.order if apart else "", reached.moment, reached.index)
        groups.setdefault(group, []).append(reached)
    return groups


def averaged(
    models: Iterable[ReachedModel], value: Callable[[ReachedModel], npt.NDArray[np.float64] | float | None]
) -> Any:
    """The mean of numbers or arrays over orders within a seed and then over seeds; None where no model has one."""
    found = [(reached, one) for reached in models if (one := value(reached)) is not None]
    return over_orders_and_seeds(found) if found else None


def over_orders_and_seeds(values: Sequence[tuple[ReachedModel, Any]]) -> Any:
    """The mean of numbers or arrays over orders within a seed, then over seeds."""
    seeds: dict[int, list[Any]] = {}
    for reached, value in values:
        seeds.setdefault(reached.seed, []).append(value)
    return np.mean([np.mean(of_seed, axis=0) for of_seed in seeds.values()], axis=0)


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return sum(listed) / len(listed) if listed else None
