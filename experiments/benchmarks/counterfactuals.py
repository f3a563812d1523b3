"""Counterfactuals of organizations that a model was never trained on, and doses of planted functions, in real runs.

Each run deals files of one library out to three organizations by chance, so that none is nearer to another than by
accident, and trains every order, pool and federation of them at five seeds. Counted are, over all runs, the intervals
of exclusive lines of an owner that a model never saw: whether they hold 0; and the slopes of planted functions over
repeats: of their owner's models, and of the others'.
    python experiments/benchmarks/counterfactuals.py [--runs 40]
"""

import argparse
import io
import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from raysim.analysis.counterfactuals import counterfactuals
from raysim.analysis.recitals import slope
from raysim.analysis.results import RunResults
from raysim.cli.progress import ConsoleObserver
from raysim.experiment.run import Options, run
from raysim.tables.results import open_run

NAMES = ("a", "b", "c")
FILES = 24
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
    """A model that learns the style of 40 KB and no more; a line alone is a match, since longer ones never come."""
    shared = {"agreement": {"share": "data"}}
    return {
        "name": "counterfactuals",
        "seed": [100 * seed + number for number in range(SEEDS)],
        "split_seed": seed,
        "preparation": {"split": {"train": 1.0, "valid": 0.0}, "min_assignments": 0},
        "organizations": {name: {"source": {"path": str(folder / name)}, **shared} for name in NAMES},
        "tokenizer": {"train": {"corpus": "organizations", "vocab_size": 512}},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 64}},
        "trainer": {"epochs": 3, "sequence_length": 128, "batch_size": 8, "learning_rate": 1.0e-2},
        "plants": {"functions": {0: 4, 1: 4, 6: 4}},
        "strategies": ["single"],
        "measure": {
            "perplexity": None,
            "baselines": None,
            "memorization": {
                "prompts": {"prefix": 80},
                "prefix_tokens": 24,
                "samples": 2,
                "new_tokens": 12,
                "min_lines": 1,
            },
        },
        "execution": {"backend": "inline", "slots": 1},
    }
