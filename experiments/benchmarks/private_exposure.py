"""Exposure of canaries under record-level differential privacy, against the run without noise, at stated perplexity.

One base, trained on public code, goes on in federated rounds on the code of three organizations with canaries in it:
without privacy (`fedavg`), and as `dp_sgd` for each epsilon. A private model predicts worse, and a worse model exposes
less whatever protects it. So each private model is set beside the plain one of the first round that predicts no worse
(perplexity on all validation files), as well as beside the plain one in the end. Sequence canaries, put in by coins,
give a lower bound of each epsilon from the same runs.
    python experiments/benchmarks/private_exposure.py [--epsilons 8 64] [--rounds 12] [--kilobytes 60] [--seeds 1]
"""

import argparse
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console

from raysim.cli.progress import ConsoleObserver
from raysim.experiment.run import Options, run
from raysim.report.run_page import write_run_page
from raysim.tables.io import read_table

PACKAGES = {"a": ["rich"], "b": ["networkx"], "c": ["aiohttp"]}
REPEATS = (0, 1, 4, 16)
PLAIN = "plain"


def experiment(epsilons: Sequence[float], rounds: int, kilobytes: int, seeds: int) -> dict[str, Any]:
    """The experiment; every setting trains one epoch a round."""
    model = {"model_type": "llama", "hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2}
    model |= {"num_attention_heads": 4, "num_key_value_heads": 4, "tie_word_embeddings": False}
    length = {"rounds": rounds, "local_epochs": 1}
    private = [
        {"dp_sgd": {**length, "label": f"epsilon {epsilon:g}", "target_epsilon": epsilon}} for epsilon in epsilons
    ]
    return {
        "name": "private_exposure",
        "seed": list(range(1, seeds + 1)),
        "organizations": {
            name: {"source": {"packages": packages}, "limit": f"{kilobytes} KB"} for name, packages in PACKAGES.items()
        },
        "references": ["stdlib"],
        "preparation": {"largest_file": 0.25},
        "canaries": {"repeats": list(REPEATS), "count": 8, "length": 8},
        "sequence_canaries": {"count": 100},
        "tokenizer": {"train": {"corpus": "references", "vocab_size": 512}},
        "model": {"config": model, "pretrain": {"limit": "400 KB", "epochs": 2, "batch_size": 16}},
        "trainer": {"epochs": rounds, "sequence_length": 64, "batch_size": 32, "learning_rate": 1.0e-3},
        "strategies": [{"fedavg": {**length, "label": PLAIN}}, *private],
        "measure": {
            "perplexity": {"training_sequences": 0},
            "baselines": None,
            "exposure": {"when": "every_round", "candidates": 256},
            "privacy_audit": {"guesses": 40},
        },
        "execution": {"backend": "inline"},
    }


@dataclass(frozen=True)
class Reached:
    """A model of a setting: after which round, how well it predicts, and what it knows of canaries by repeats."""

    setting: str
    seed: int
    round: int
    final: bool
    perplexity: float
    exposure: Mapping[int, float]


def reached(folder: Path) -> list[Reached]:
    """All models of rounds, and the base as round 0 of each setting."""
    losses: dict[str, list[float]] = {}
    for row in read_table(folder, "losses").to_pylist():
        if row["split"] == "valid":
            total = losses.setdefault(row["model"], [0.0, 0])
            total[0] += row["nats"]
            total[1] += row["tokens"]
    canaries: dict[str, dict[int, list[float]]] = {}
    for row in read_table(folder, "canaries").to_pylist():
        canaries.setdefault(row["model"], {}).setdefault(row["repeats"], []).append(row["exposure"])
    return [
        Reached(
            row["strategy"],
            row["seed"],
            row["index"],
            row["final"],
            math.exp(losses[row["model"]][0] / losses[row["model"]][1]),
            {repeats: mean(found) for repeats, found in canaries[row["model"]].items()},
        )
        for row in read_table(folder, "models").to_pylist()
        if row["family"] == "federated"
    ]


def table(folder: Path) -> Iterator[str]:
    """Lines of a Markdown table: each final model, and behind a private one the plain one that predicts as well."""
    models = reached(folder)
    spent = {(r["strategy"], r["seed"]): r["epsilon"] for r in read_table(folder, "privacy").to_pylist()}
    audits: dict[tuple[str, int], list[float]] = {}
    for row in read_table(folder, "privacy_audits").to_pylist():
        audits.setdefault((row["strategy"], row["seed"]), []).append(row["audited_epsilon"])
    yield f"| setting, seed | round | perplexity | exposure of {', '.join(f'{r}x' for r in REPEATS)} | epsilon |"
    yield "|---|---|---|---|---|"
    for model in (m for m in models if m.final):
        place = model.setting, model.seed
        claimed = f" to {spent[place]:.2f}" if place in spent else ", none claimed"
        yield _line(model.setting, model, f"{min(audits[place]):.2f}-{max(audits[place]):.2f}{claimed}")
        if model.setting != PLAIN:
            plain = [m for m in models if (m.setting, m.seed) == (PLAIN, model.seed)]
            no_worse = [m for m in plain if m.perplexity <= model.perplexity]
            if no_worse:
                first = min(no_worse, key=lambda m: m.round)
                yield _line(f"{PLAIN}, the first that predicts no worse than {model.setting}", first, "")


def _line(name: str, model: Reached, epsilon: str) -> str:
    exposures = ", ".join(f"{model.exposure[repeats]:.2f}" for repeats in REPEATS)
    return f"| {name}, {model.seed} | {model.round} | {model.perplexity:.2f} | {exposures} | {epsilon} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epsilons", type=float, nargs="+", default=[8.0, 64.0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--kilobytes", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    settings = experiment(options.epsilons, options.rounds, options.kilobytes, options.seeds)
    with tempfile.TemporaryDirectory(prefix="raysim-") as scratch, ConsoleObserver(Console(stderr=True)) as observer:
        out = Path(scratch) / "run"
        run(Options(settings, out=out), observer, write_run_page)
        print("\n".join(table(out)))


if __name__ == "__main__":
    main()
