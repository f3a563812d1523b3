"""Tables with known counterfactuals: lines that models give away of an owner whom some of them were never trained on.

Prompts stand in files. Files differ in how memorable they are, as `kind` says (see `simulated_studies.KINDS`), and so
do the prompts in them; what a model makes of a file differs between seeds and between models. Lines are counted, a
window of six at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from simulated_studies import KINDS

from raysim.analysis.counterfactuals import Counterfactual, counterfactuals
from raysim.analysis.results import RunResults
from raysim.analysis.statistics import Floats
from raysim.tables.io import schema
from raysim.tables.results import Results

OWNER, OTHERS = "owner", ("left", "right")
SAMPLES, WINDOW = 5, 6


@dataclass(frozen=True)
class Leaks:
    """How tables are drawn.

    Attributes:
        kind: of the files.
        chance: that a sample of a model never trained on the owner holds a window of it, mean over prompts.
        trained: how often more models that were trained on it do; 1: the true effect is none.
        files, prompts_a_file, seeds: how many.
    """

    kind: str = "exponential"
    chance: float = 0.15
    trained: float = 1.0
    files: int = 60
    prompts_a_file: int = 2
    seeds: int = 5

    @property
    def effect(self) -> float:
        """Lines a prompt that training on the owner adds, on average over files and seeds."""
        return SAMPLES * WINDOW * self.chance * (self.trained - 1)


def draw(rng: np.random.Generator, leaks: Leaks) -> list[Counterfactual]:
    """Rows of `counterfactuals` with the exclusive lines of the owner by three models, each trained alone."""
    return [row for row in counterfactuals(_results(rng, leaks)) if row.owner == OWNER and row.lines == "exclusive"]


def _results(rng: np.random.Generator, leaks: Leaks) -> RunResults:
    names = (OWNER, *OTHERS)
    models = [_model(seed, name) for seed in range(leaks.seeds) for name in names]
    prompts = [_prompt(number, leaks) for number in range(leaks.files * leaks.prompts_a_file)]
    samples = list(_samples(rng, leaks, models, prompts))
    tables = {"models": models, "prompts": prompts, "samples": samples}
    found = {name: pa.Table.from_pylist(rows, schema(name)) for name, rows in tables.items()}
    manifest = {"organizations": list(names), "experiment": {}}
    return RunResults(Results(Path("simulated"), manifest, (), found | {"losses": schema("losses").empty_table()}))


def _samples(
    rng: np.random.Generator, leaks: Leaks, models: list[dict[str, Any]], prompts: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rows of `samples` of the owner's lines; a prompt's samples are added up in one."""
    rates = _rates(rng, leaks)
    for model in models:
        times = leaks.trained if model["organizations"] == [OWNER] else 1.0
        own = _lognormal(rng, 0.3, 1) * np.repeat(_lognormal(rng, 0.5, leaks.files), leaks.prompts_a_file)
        windows = rng.poisson(SAMPLES * times * rates * own)
        for prompt, count in zip(prompts, windows.tolist(), strict=True):
            lines = WINDOW * count
            counts = {"covered": lines, "exclusive": lines, "shared": 0, "public": 0, "continued": None}
            where = {"model": model["model"], "prompt": prompt["prompt"], "sample": 0, "owner": OWNER}
            yield {**where, "lines": lines + 10, **counts}


def _rates(rng: np.random.Generator, leaks: Leaks) -> Floats:
    """Windows to expect in a sample behind each prompt: unequal, with the mean `chance`."""
    share = KINDS[leaks.kind]
    files = rng.exponential(size=leaks.files) if leaks.kind != "normal" else _lognormal(rng, 0.3, leaks.files)
    files *= (rng.random(leaks.files) < share) / share
    return (
        leaks.chance * np.repeat(files, leaks.prompts_a_file) * rng.gamma(2, 1 / 2, leaks.files * leaks.prompts_a_file)
    )


def _lognormal(rng: np.random.Generator, sigma: float, number: int) -> Floats:
    """Factors with the mean 1."""
    return rng.lognormal(-(sigma**2) / 2, sigma, number)


def _model(seed: int, name: str) -> dict[str, Any]:
    return {
        "seed": seed, "strategy": "single", "family": "single", "arm": "alone", "fraction": 1.0, "order": name,
        "members": [name], "moment": "stage", "index": 1, "final": True, "model": f"{name} {seed}", "parents": [],
        "organizations": [name], "last": name, "tokens_seen": [(name, 1000)], "steps": 1, "steps_in_sequence": 1,
        "learning_rate_sum": 0.1, "dropout": 0.0, "parameters": 10,
    }  # fmt: skip


def _prompt(number: int, leaks: Leaks) -> dict[str, Any]:
    return {
        "prompt": f"p{number}", "kind": "prefix", "organization": OWNER, "file": f"f{number // leaks.prompts_a_file}",
        "repository": "r", "licence": None, "lines_to_come": 20, "eligible": True, "copies_within": 0,
        "copies_across": 0, "copies_public": 0, "licence_header": False,
    }  # fmt: skip
