"""How long a run will take: what was measured in this project, corrected by what runs took on this machine.

Each phase, and each kind of work, has a first guess from what there is to do. Where the log has runs, the guess is
multiplied by how much longer than their own guesses these took; runs with a model of about this size, and late ones,
count more. So one run of an experiment makes the next plan of it right, and helps with others.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from raysim.experiment.estimate.timings import Timing, Workload
from raysim.measures.registry import work_kinds
from raysim.tasks.kinds import TRAIN

EFFICIENCY = 0.35
"""Share of the matrix-multiplication rate that training reaches. Measured in this project: 0.3 to 0.5 on CPUs."""

PHASES = {
    "start": "to start",
    "preparation": "to prepare the corpora",
    "work": "of work",
    "report": "for tables and report",
}
"""Phases of a run and what each is for, in their order."""

_START_S = {"inline": 1.5, "ray": 7.0}
"""Python's start and, on Ray, its own."""
_ACTOR_S = 6.0
"""Of a core, for an actor to import torch and transformers."""
_READ_BYTES_PER_S = 15e6
_TOKENIZER_BYTES_PER_S = 4e6
_REPORT_S, _REPORT_MODEL_S = 4.0, 0.03
"""Of tables and report: whatever there is, and for each model at each organization."""

_SIMILAR = 1.5
"""Standard deviation of the logarithm of a model's size within which runs tell of one another."""
_AGEING = 0.8
"""What the run before counts, of what a run counts."""
_FARTHEST = 1000.0
"""From the first guess that anything is believed to be."""
_DOUBT = 0.05
"""What the first guess counts, beside the runs of the log."""


@dataclass(frozen=True)
class Duration:
    """How long a run will take.

    Attributes:
        phases: seconds of each of `PHASES`.
        kinds: seconds of a core for each kind of work.
        runs: of the log that it was corrected by.
    """

    phases: dict[str, float]
    kinds: dict[str, float]
    runs: int

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())


def duration(ahead: Workload, log: Sequence[Timing], flop_per_s: float) -> Duration:
    """How long `ahead` takes.

    Args:
        ahead: what there is to do.
        log: what runs took on this machine, oldest first.
        flop_per_s: of matrix products of one slot.
    """
    alike = [run for run in log if (run.workload.backend, run.workload.engine) == (ahead.backend, ahead.engine)]
    weights = [
        _AGEING**age * math.exp(-0.5 * (math.log(run.workload.parameters / ahead.parameters) / _SIMILAR) ** 2)
        for age, run in zip(range(len(alike) - 1, -1, -1), alike, strict=True)
    ]

    def correction(measured: Callable[[Timing], float | None], guess: Callable[[Timing], float]) -> float:
        """The weighted geometric mean of what runs took over what would have been guessed of them."""
        known = [
            (weight, math.log(min(max(seconds / expected, 1 / _FARTHEST), _FARTHEST)))
            for weight, run in zip(weights, alike, strict=True)
            if (seconds := measured(run)) and (expected := guess(run))
        ]
        return math.exp(sum(w * ratio for w, ratio in known) / (_DOUBT + sum(w for w, _ in known)))

    def of_kind(kind: str) -> float:
        guess = partial(_of_kind, kind=kind, flop_per_s=flop_per_s)
        return guess(ahead) * correction(lambda run: run.kinds.get(kind), lambda run: guess(run.workload))

    def of_phase(name: str, guess: Callable[[Workload], float]) -> float:
        return guess(ahead) * correction(lambda run: run.phases.get(name), lambda run: guess(run.workload))

    kinds = {kind: of_kind(kind) for kind, pieces in ahead.pieces.items() if pieces}
    work = _side_by_side(ahead, kinds) * correction(
        lambda run: run.phases.get("work"), lambda run: _side_by_side(run.workload, run.kinds)
    )
    phases = {name: of_phase(name, guess) for name, guess in _GUESSES.items()} | {"work": work}
    return Duration({name: phases[name] for name in PHASES}, kinds, len(alike))


def _of_kind(work: Workload, kind: str, flop_per_s: float) -> float:
    """Seconds of a core."""
    cost = work_kinds()[kind]
    flop = cost.flop_per_parameter * work.parameters + (2 * work.trained if kind == TRAIN.name else 0)
    tokens, pieces = work.tokens.get(kind, 0), work.pieces.get(kind, 0)
    return pieces * cost.piece_s + tokens * (cost.token_s + flop / (EFFICIENCY * flop_per_s))


def _side_by_side(work: Workload, kinds: Mapping[str, float]) -> float:
    """Seconds on all slots, or of the stages that must follow one another if these take longer."""
    trained = work.tokens.get(TRAIN.name, 0)
    chain = kinds.get(TRAIN.name, 0.0) * work.longest / trained if trained else 0.0
    return max(sum(kinds.values()) / work.slots, chain)


def _start(work: Workload) -> float:
    return _START_S[work.backend]


def _preparation(work: Workload) -> float:
    reading = work.source_bytes / _READ_BYTES_PER_S + work.tokenizer_bytes / _TOKENIZER_BYTES_PER_S
    return reading + _ACTOR_S * (work.organizations / work.slots if work.backend == "ray" else 1)


def _report(work: Workload) -> float:
    return _REPORT_S + _REPORT_MODEL_S * work.models * work.organizations


_GUESSES = {"start": _start, "preparation": _preparation, "report": _report}
"""Seconds of the phases other than the work."""
