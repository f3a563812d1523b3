"""Counterfactuals of organizations that a model was never trained on, and doses of planted functions, in real runs.

Each run deals files of one library out to three organizations by chance, so that none is nearer to another than by
accident, and trains each alone at five seeds. Counted are, over all runs, the intervals of exclusive lines of an owner
that a model never saw: how many hold 0 (of covered lines, too, where 0 is not quite the truth: two models may have
seen unlike parts of what an owner shares with theirs); and the slopes of planted functions over repeats, of their
owner's models and of the others'. What has ended is kept in a file, so the same command goes on where it stopped.
    python experiments/benchmarks/counterfactuals.py FILE [--runs 40]
"""

import argparse
import io
import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from raysim.analysis.counterfactuals import counterfactuals
from raysim.analysis.recitals import Slope, slope
from raysim.analysis.results import RunResults
from raysim.cli.progress import ConsoleObserver
from raysim.experiment.run import Options, run
from raysim.tables.results import open_run

NAMES = ("a", "b", "c")
FILES = 24
"""Of an organization; all are trained on."""
SIZES = range(500, 1_200)
SEEDS = 5


def deal(folder: Path, seed: int) -> None:
    """Deals files of PyTorch out to the organizations."""
    modules = sorted(p for p in Path(torch.__file__).parent.rglob("*.py") if p.stat().st_size in SIZES)
    chosen = random.Random(seed).sample(modules, FILES * len(NAMES))
    for number, module in enumerate(chosen):
        owner = folder / NAMES[number % len(NAMES)]
        owner.mkdir(exist_ok=True)
        shutil.copy(module, owner / f"{number}_{module.name}")


def experiment(folder: Path, seed: int) -> dict[str, Any]:
    """Models that learn little of 20 KB; one line alone is a match, since chance brings out no longer ones."""
    memorization = {"prompts": {"prefix": 80}, "prefix_tokens": 24, "samples": 4, "new_tokens": 12, "min_lines": 1}
    memorization["repetition_penalty"] = 1.0  # one above makes the very line ends unlikely that prompts are full of
    return {
        "name": "counterfactuals",
        "seed": [100 * seed + number for number in range(SEEDS)],
        "split_seed": seed,
        "preparation": {"split": {"train": 1.0, "valid": 0.0}, "min_assignments": 0},
        "organizations": {
            name: {"source": {"path": str(folder / name)}, "agreement": {"share": "data"}} for name in NAMES
        },
        "tokenizer": {"train": {"corpus": "organizations", "vocab_size": 512}},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 32}},
        "trainer": {"epochs": 2, "sequence_length": 128, "batch_size": 8, "learning_rate": 1.0e-2},
        "plants": {"functions": {0: 4, 1: 4, 6: 4}},
        "strategies": ["single"],
        "measure": {"perplexity": None, "baselines": None, "memorization": memorization},
        "execution": {"backend": "inline", "slots": 1},
    }


def measure(seed: int) -> dict[str, Any]:
    """One run: intervals of owners that a model never saw, and slopes of nats a token over doses."""
    with tempfile.TemporaryDirectory(prefix="raysim-") as scratch:
        folder = Path(scratch)
        deal(folder, seed)
        with ConsoleObserver(Console(file=io.StringIO())) as quiet:
            run(Options(experiment(folder, seed), out=folder / "run"), quiet, lambda *_, **__: None)
        results = RunResults(open_run(folder / "run"))
        # Of three models, two have not seen an owner, and the contrast of one is that of the other, turned round.
        rows = [row for row in counterfactuals(results) if not row.trained]
        untrained = [row for row in rows if row.trained_on == min(set(NAMES) - {row.owner})]
        found: dict[str, Any] = {"run": seed}
        found["intervals"] = [[row.lines, row.owner, row.effect, row.low, row.high, row.note] for row in untrained]
        for trained in (True, False):
            one = dose_response(results, trained)
            found["owner" if trained else "others"] = [one.slope, one.low, one.high]
    return found


def dose_response(results: RunResults, trained: bool) -> Slope:
    """Nats a token that a doubling of 1 + repeats takes off, over functions, by models of their owner or of others."""
    seen = {m.model: m.organizations for m in results.reached_models}
    nats: dict[tuple[str, str, int], list[float]] = {}
    for row in results.run.table("recitals").to_pylist():
        if seen[row["model"]] and (row["organization"] in seen[row["model"]]) == trained:
            key = row["organization"], row["function"], row["repeats"]
            nats.setdefault(key, []).append(row["nats"] / row["tokens"])
    found = slope([key[2] for key in nats], [-sum(values) / len(values) for values in nats.values()])
    assert found is not None
    return replace(found, slope=round(found.slope, 4))


def ended(path: Path) -> Iterator[dict[str, Any]]:
    """The runs that a file holds."""
    if path.exists():
        yield from (json.loads(line) for line in path.read_text("utf-8").splitlines())


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the benchmark."""
    cases: list[tuple[str, int, int]] = []
    for lines in ("exclusive", "covered"):
        all_of = [one[3:5] for found in runs for one in found["intervals"] if one[0] == lines]
        issued = [(low, high) for low, high in all_of if low is not None]
        zero = sum(low <= 0 <= high for low, high in issued)
        cases.append((f"{lines} lines of owners never trained on: intervals issued", len(issued), len(all_of)))
        cases.append((f"{lines} lines of owners never trained on: of these hold 0", zero, len(issued)))
    for name in ("owner", "others"):
        rises = sum(found[name][1] > 0 for found in runs)
        cases.append(
            (f"runs in which nats fall with the dose, by its interval: models of the {name}", rises, len(runs))
        )
    return [
        {"case": case, "raysim": number, "peer": of, "unit": "count", "ratio": round(number / of, 3) if of else None}
        for case, number, of in cases
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path, help="where runs that have ended are kept, a line each")
    parser.add_argument("--runs", type=int, default=40)
    options = parser.parse_args()
    done = {found["run"] for found in ended(options.file)}
    for seed in range(1, options.runs + 1):
        if seed not in done:
            line = json.dumps(measure(seed))
            with options.file.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            print(line, flush=True)
    print(json.dumps({"benchmark": "counterfactuals", "rows": summary(list(ended(options.file)))}))


if __name__ == "__main__":
    main()
