"""Seconds of training that all orders of n organizations cost: as one tree of stages, and each order by itself.

One run of `orders: all` trains sum n!/(n-k)! stages; all orders, each run alone with a store of its own, n * n!. The
sums of their stages' seconds, of interleaved runs on small real corpora, should have the same ratio. Ends with 1 if
the median is further from it than 10 %.
    python experiments/benchmarks/orders.py [--organizations 4] [--rounds 3]
"""

import argparse
import io
import itertools
import json
import math
import shutil
import statistics
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from raysim.cli.progress import ConsoleObserver
from raysim.experiment.run import Options, run
from raysim.report.write import write_report
from raysim.store.task_log import read_log

TOLERANCE = 0.1
FILES = 6
"""For each organization, of the standard library's modules of 4 to 12 KB."""


def organizations(folder: Path, count: int) -> list[str]:
    """Deals real files out to `count` folders of equal numbers of files."""
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*.py"))
    chosen = [module for module in modules if 4_000 <= module.stat().st_size <= 12_000][: count * FILES]
    names = [f"org{number}" for number in range(count)]
    for name, module in zip(itertools.cycle(names), chosen, strict=False):
        (folder / name).mkdir(exist_ok=True)
        shutil.copy(module, folder / name / module.name)
    return names


def experiment(folder: Path, names: list[str]) -> Path:
    """Stages of about 0.4 s: long beside the building of a model, which a run does once for each organization."""
    raw: dict[str, Any] = {
        "name": "orders",
        "organizations": {name: {"source": {"path": name}, "agreement": {"share": "data"}} for name in names},
        "tokenizer": {"train": {"corpus": "organizations", "vocab_size": 512}},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 64}},
        "trainer": {"epochs": 1, "sequence_length": 128, "batch_size": 8},
        "strategies": [{"incremental": {"orders": "all"}}],
        "measure": {"perplexity": None},
        "execution": {"backend": "inline", "slots": 1},
    }
    path = folder / "orders.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def train(path: Path, orders: Any) -> tuple[int, float]:
    """Runs `orders` into a folder and store of their own; stages trained, and the sum of their seconds."""
    with tempfile.TemporaryDirectory(prefix="raysim-") as out:
        chosen = f"strategies={json.dumps([{'incremental': {'orders': orders}}])}"
        with ConsoleObserver(Console(file=io.StringIO())) as quiet:
            run(Options(path, out=Path(out) / "run", overrides=(chosen,)), quiet, write_report)
        rows = read_log(Path(out) / "run" / "stages.jsonl")
    trained = [row["seconds"] for row in rows if row["kind"] == "train" and row["status"] == "computed"]
    return len(trained), sum(trained)


def compare(path: Path, names: list[str]) -> tuple[tuple[int, float], tuple[int, float]]:
    """All orders in one run, and each by itself: half of these before it and half after, so that drifts cancel."""
    orders = [list(order) for order in itertools.permutations(names)]
    half = len(orders) // 2
    before = [train(path, [order]) for order in orders[:half]]
    together = train(path, "all")
    alone = before + [train(path, [order]) for order in orders[half:]]
    return together, (sum(stages for stages, _ in alone), sum(seconds for _, seconds in alone))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--organizations", type=int, choices=(2, 3, 4, 5), default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    n, started_s = options.organizations, time.monotonic()
    expected = (sum(math.perm(n, k) for k in range(1, n + 1)), n * math.factorial(n))
    pairs: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="raysim-") as scratch:
        names = organizations(Path(scratch), n)
        path = experiment(Path(scratch), names)
        train(path, [names])  # loads the libraries
        for number in range(1, options.rounds + 1):
            (ours, our_s), (theirs, their_s) = compare(path, names)
            print(f"round {number}: {ours} stages, {our_s:.2f} s; {theirs} stages, {their_s:.2f} s", flush=True)
            if (ours, theirs) != expected:
                sys.exit(f"expected {expected[0]} and {expected[1]} stages")
            pairs.append((our_s, their_s))
    mine, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [their_s / our_s for our_s, their_s in pairs]
    ratio, wanted = statistics.median(ratios), expected[1] / expected[0]
    case = f"all orders of {n} organizations, one run against a run each"
    rows = [
        {"case": f"{case}: stages", "raysim": expected[0], "peer": expected[1], "unit": "stages", "ratio": wanted},
        {"case": f"{case}: their seconds", "raysim": mine, "peer": peer, "unit": "s", "ratio": ratio},
    ]
    print(f"ratios {', '.join(f'{r:.3f}' for r in ratios)}; {time.monotonic() - started_s:.0f} s in all")
    rounded = [{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    print(json.dumps({"benchmark": "orders", "rows": [row | {"expected": round(wanted, 3)} for row in rounded]}))
    if abs(ratio / wanted - 1) > TOLERANCE:
        sys.exit(1)


if __name__ == "__main__":
    main()
