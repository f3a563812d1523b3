"""Exposure of canaries: how much better than chance a model knows a planted secret. Runs inside the organization.

Of a canary with rank r among n candidates it is ``log2(n) - log2(r)`` bits (Carlini et al., The Secret Sharer, USENIX
Security 2019): 0 where all others are likelier, about 1.44 on average where the model knows nothing of it, and never
more than ``log2(n)``, which one in n secrets reaches by chance alone. The paper ranks among the whole space, other
canaries included; here these are left out. It says nothing of how a secret could be drawn out of the model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from math import log, log2
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from raysim.core.keys import Key, seed_of, versions_of
from raysim.core.settings import Settings
from raysim.corpus.canaries import CanarySettings, draw_secrets
from raysim.corpus.corpus import Canary
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.inference.scoring import Window, score_tokens
from raysim.measures.base import ClientTask, EvalContext, Measure, MeasureScope
from raysim.measures.when import CheckpointKinds
from raysim.organizations.organization import ModelSpec, Organization
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import ModelCheckpoint
from raysim.store.model_scores import EXPOSURE
from raysim.tables.schemas.audits import CANARIES
from raysim.tasks.kinds import WorkKind
from raysim.tasks.task import TaskOutput
from raysim.training.process_memory import oom_hint
from raysim.training.weights import Flat

EXPOSURE_VERSION = 1
"""Numerics version; part of the recipe."""

EXPOSURE_SCHEMA = CANARIES.without("model", "organization")

_MAX_SHAPE = 1000.0
"""Of a sample that is more skewed than any skew-normal, whose shape would be infinite."""

Floats = npt.NDArray[np.float64]


class ExposureSettings(Settings):
    """How canaries are ranked."""

    candidates: int = Field(
        default=1024,
        ge=2,
        description="secrets that a canary is ranked among, its own included: all that there are, if they are no more,"
        " else a sample",
    )
    batch_size: int = Field(default=64, ge=1, description="candidates scored together; sums round by it")
    when: CheckpointKinds = Field(default=("final",), description="which of a strategy's models are measured")

    def recipe(self) -> dict[str, Any]:
        """The settings that decide the exposures of given canaries."""
        return {
            "kind": "exposure",
            "version": EXPOSURE_VERSION,
            "candidates": self.candidates,
            "batch_size": self.batch_size,
            "fit": versions_of("scipy"),
        }


class Exposure(Measure):
    """How well models know the secrets that an experiment plants."""

    name = "exposure"
    Settings = ExposureSettings
    default = ExposureSettings()
    kinds = (WorkKind("exposure", "score", "ranking", 1.0, flop_per_parameter=2, token_s=1e-5, piece_s=0.02),)
    tables = (CANARIES,)
    report = ("raysim.report.sections.exposure:section",)

    def applies(self, scope: MeasureScope) -> bool:
        """Only where there are canaries."""
        return scope.canaries is not None

    def tasks(self, context: EvalContext, checkpoint: ModelCheckpoint) -> Iterable[ClientTask]:
        for name in context.organizations:
            if context.canaries and context.canaries.planted_in(name):
                yield exposure_task(context, checkpoint.model, name, self.settings)

    def scores(self, task: ClientTask, result: pa.Table) -> Mapping[str, float]:
        planted = result.filter(pc.field("repeats") > 0)["exposure"].to_pylist()
        return {EXPOSURE: float(np.mean(planted))} if planted else {}


def exposure_task(context: EvalContext, model: Key, organization: str, settings: ExposureSettings) -> ClientTask:
    """Ranks the canaries of an organization that has some."""
    run, planted = context.run, context.canaries
    assert planted is not None, "there are canaries"
    tokens = num_scored(planted, settings) * len(context.tokenizer.encode(_example(planted)))
    recipe = exposure_recipe(run, model, organization, planted, settings)
    arguments = (run.spec, planted, settings, run.split_seed, run.trainer.threads)
    return ClientTask("canaries", organization, "canaries", recipe, expose_at, arguments, tokens)


def exposure_recipe(
    context: RunContext, model: Key, organization: str, canaries: CanarySettings, settings: ExposureSettings
) -> dict[str, Any]:
    """Recipe of how well `model` knows an organization's canaries, which depend on its name but not on its code."""
    return {
        **settings.recipe(),
        "weights": model,
        "model": context.model_recipe,
        "tokenizer": context.tokenizer,
        "organization": organization,
        "canaries": canaries.recipe(),
        **({"context": "line"} if canaries.place == "lines" else {}),
        "split_seed": context.split_seed,
        "threads": context.trainer.threads,
        "libraries": context.libraries,
    }


def expose_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    planted: CanarySettings,
    settings: ExposureSettings,
    split_seed: int,
    threads: int,
) -> TaskOutput:
    """Ranks an organization's canaries; runs there, and neither they nor any candidate leaves."""
    with oom_hint("measure.exposure.batch_size"):
        ranked = exposures(organization, weights, spec, planted, settings, split_seed, threads)
    return TaskOutput(tables={"canaries": ranked})


def _example(planted: CanarySettings) -> str:
    """A line as long as every canary."""
    return planted.text("".join(planted.alphabet[i % len(planted.alphabet)] for i in range(planted.length)))


@dataclass(frozen=True)
class Candidates:
    """Secrets that no canary of the organization has, and whether these are all that there are."""

    secrets: tuple[str, ...]
    enumerated: bool


def candidates_of(
    canaries: tuple[Canary, ...], planted: CanarySettings, settings: ExposureSettings, seed: int
) -> Candidates:
    """What each canary is ranked against: the same secrets for all canaries of an organization and for all models.

    The other canaries are none of them, so that those that a model knows do not push each other down.

    Args:
        canaries: of the organization.
        planted: the space that their secrets are from.
        settings: how many to rank among.
        seed: of the sample.
    """
    taken = {canary.secret for canary in canaries}
    if planted.space - len(taken) < settings.candidates:
        every = map("".join, product(planted.alphabet, repeat=planted.length))
        return Candidates(tuple(secret for secret in every if secret not in taken), True)
    return Candidates(tuple(islice(draw_secrets(planted, seed, taken), settings.candidates - 1)), False)


def num_scored(planted: CanarySettings, settings: ExposureSettings) -> int:
    """Lines that a model scores for one organization: its canaries, and what they are ranked against."""
    return planted.num_canaries + min(planted.space - planted.num_canaries, settings.candidates - 1)


def exposures(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    planted: CanarySettings,
    settings: ExposureSettings,
    split_seed: int,
    threads: int,
) -> pa.Table:
    """Ranks the canaries of `organization`, each in the context in which it was planted.

    A file of its own begins behind a BOS; a line between others behind the end of the line before it, with no BOS.

    A rank counts the candidates, the canary itself among them, whose log-perplexity is no higher: of equals it is the
    worst, so that a model that predicts nothing exposes nothing. Where the candidates are a sample, exposure is
    bounded by its size; the extrapolated one reads the rank off a skew-normal distribution, as the paper does, fitted
    to the sample by its moments, up to the size of the whole space.

    Returns:
        a table of `EXPOSURE_SCHEMA`: numbers, and names that say how often a canary was planted.
    """
    canaries = organization.corpus.canaries
    seed = seed_of(split_seed, "canary candidates", organization.name)
    candidates = candidates_of(canaries, planted, settings, seed)
    secrets = [*(canary.secret for canary in canaries), *candidates.secrets]
    model = organization.scoring_model(spec, weights, threads)
    windows, skipped = _windows(organization.tokenizer, [planted.text(secret) for secret in secrets], planted.place)
    scores = score_tokens(model, windows, settings.batch_size)
    bits = np.array([-score.log_probs[skipped:].sum() / log(2) for score in scores])
    own, others = bits[: len(canaries)], bits[len(canaries) :]
    fit = None if candidates.enumerated else SkewNormal.fit(others)
    rows: list[dict[str, Any]] = []
    for canary, value in zip(canaries, own, strict=True):
        rank = 1 + int((~(others > value)).sum())  # of a model that has diverged, whose bits are no number, the worst
        total = len(others) + 1
        rows.append(
            {
                "canary": canary.name,
                "repeats": canary.repeats,
                "log_perplexity": float(value),
                "rank": rank,
                "candidates": total,
                "enumerated": candidates.enumerated,
                "exposure": log2(total) - log2(rank),
                "exposure_extrapolated": fit and min(fit.bits_below(float(value)), log2(planted.space)),
                "fit_p": fit and fit.p,
            }
        )
    return pa.Table.from_pylist(rows, schema=EXPOSURE_SCHEMA)


def _windows(tokenizer: CodeTokenizer, texts: Sequence[str], place: str) -> tuple[list[Window], int]:
    """Lines in the context in which they are planted, and how many predictions in front are no part of a line.

    A line end has tokens of its own unless the tokenizer joins it to what follows; then the line is taken for itself.
    """
    if place == "files":
        return [np.array([tokenizer.bos_id, *tokenizer.encode(text)], dtype=np.int32) for text in texts], 0
    before = tokenizer.encode("\n")
    behind = [tokenizer.encode("\n" + text) for text in texts]
    if not all(tokens[: len(before)] == before for tokens in behind):
        behind = [[*before, *tokenizer.encode(text)] for text in texts]
    return [np.array(tokens, dtype=np.int32) for tokens in behind], len(before) - 1


@dataclass(frozen=True)
class SkewNormal:
    """A skew-normal distribution of log-perplexities.

    Attributes:
        parameters: shape, location and scale.
        p: of the Kolmogorov-Smirnov test that the sample is from it; too high, as the sample also gave the fit.
    """

    parameters: tuple[float, float, float]
    p: float

    @classmethod
    def fit(cls, sample: Floats) -> "SkewNormal | None":
        """The distribution with the moments of `sample`; None where it is not finite, or equal but for rounding."""
        from scipy.stats import kstest, skewnorm

        if len(sample) < 3 or not np.isfinite(sample).all() or np.ptp(sample) <= 1e-6 * np.abs(sample).max():
            return None
        shape, location, scale = np.asarray(skewnorm.fit(sample, method="MM"), dtype=np.float64).tolist()
        shape = min(max(shape, -_MAX_SHAPE), _MAX_SHAPE)
        return cls((shape, location, scale), float(kstest(sample, skewnorm(shape, location, scale).cdf).pvalue))

    def bits_below(self, value: float) -> float:
        """How improbable a value no higher than `value` is, in bits; infinite where the tail underflows, 0 of NaN."""
        from scipy.stats import skewnorm

        if np.isnan(value):
            return 0.0
        below = np.asarray(skewnorm.cdf(value, *self.parameters)).item()
        return -log2(below) if below > 0 else float("inf")
