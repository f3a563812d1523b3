"""Tokens a second of training beside loops that one would write without raysim: bare PyTorch, plain DeepSpeed.

Interleaved pairs, medians. Two kinds of rows:
- the loop alone, in one process, in seconds for which its one thread had a core, so that others on the machine disturb
  little;
- end to end: an organization's actor on Ray, from the moment that a stage is begun to the moment that it is stored,
  beside a process that builds the same model and trains it as long, in seconds of the clock; and two organizations at
  once beside twice the bare loop, and beside two bare loops at once, which share caches and memory as well. Only a
  quiet machine says something here.
    python experiments/benchmarks/train.py [--pairs 5] [--sequences 96] [--only loop|one|two]
"""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Fixed before torch starts: one thread a rank, and no compiler for DeepSpeed.
os.environ |= {"OMP_NUM_THREADS": "1", "DS_BUILD_OPS": "0"}

import numpy as np
import torch
import yaml
from rich.console import Console

from raysim.cli.progress import ConsoleObserver
from raysim.experiment.run import Options, run
from raysim.report.write import write_report
from raysim.store.task_log import read_log
from raysim.training.deepspeed_engine import load_deepspeed
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings, build_model
from raysim.training.request import TrainerSettings, TrainRequest, TrainTask, Update, trainer_class
from raysim.training.weights import flatten

VOCABULARY, LENGTH, BATCH = 4096, 256, 8
CONFIG: dict[str, Any] = {"model_type": "gpt2", "n_layer": 4, "n_head": 4, "n_embd": 256}
RATE = 3e-4
ZERO = {"zero_optimization": {"stage": 1}}
EPOCHS = 2


def make_model(config: dict[str, Any], vocabulary: int, length: int) -> Any:
    return build_model(ModelSettings(config=config), vocabulary, 0, length, seed=1)


def make_sequences(count: int, vocabulary: int, length: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(1)).integers(0, vocabulary, (count, length)).astype(np.int32)


def groups(model: Any) -> list[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    return [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]


def loss_of(model: Any, ids: torch.Tensor, bf16: bool) -> torch.Tensor:
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=bf16):
        logits = model(input_ids=ids, use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


def batches(sequences: np.ndarray, batch: int, steps: int, device: str) -> Any:
    rows = torch.from_numpy(sequences.astype(np.int64))
    for step in range(steps):
        yield rows[torch.arange(step * batch, (step + 1) * batch) % len(rows)].to(device, non_blocking=True)


def now_s(device: str) -> float:
    """The clock, once the device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.monotonic()


def bare_torch(
    model: Any, sequences: np.ndarray, steps: int, batch: int = BATCH, bf16: bool = False, compiled: bool = False
) -> float:
    """The loop as one would write it; seconds of the loop alone."""
    device = str(next(model.parameters()).device)
    optimizer = torch.optim.AdamW(groups(model), lr=RATE, fused=True)
    forward = torch.compile(model) if compiled else model
    model.train()
    started_s = now_s(device)
    for ids in batches(sequences, batch, steps, device):
        loss_of(forward, ids, bf16).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return now_s(device) - started_s


def bare_deepspeed(
    model: Any, sequences: np.ndarray, steps: int, batch: int = BATCH, bf16: bool = False, zero: int = 1
) -> float:
    """The loop of DeepSpeed's own tutorial, with the same optimizer; seconds of the loop alone."""
    device = next(model.parameters()).device.type
    deepspeed = load_deepspeed(device)
    if not torch.distributed.is_initialized():
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29533", "RANK": "0", "WORLD_SIZE": "1"}
        os.environ["LOCAL_RANK"] = "0"
        deepspeed.init_distributed(dist_backend="nccl" if device == "cuda" else "gloo", verbose=False)
    config = {
        "train_micro_batch_size_per_gpu": batch,
        "gradient_clipping": 1.0,
        "zero_optimization": {"stage": zero},
        "zero_allow_untested_optimizer": True,
    }
    optimizer = torch.optim.AdamW(groups(model), lr=RATE, fused=True)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    model.train()
    started_s = now_s(device)
    for ids in batches(sequences, batch, steps, device):
        engine.backward(loss_of(engine, ids, bf16))
        engine.step()
    seconds = now_s(device) - started_s
    engine.destroy()
    return seconds


BARE: dict[str, Callable[..., float]] = {"torch": bare_torch, "deepspeed": bare_deepspeed}


def with_raysim(model: Any, sequences: np.ndarray, epochs: int, weights: np.ndarray, **settings: Any) -> Update:
    """The same training as a stage of raysim, in this process."""
    given = {"sequence_length": sequences.shape[1], "batch_size": BATCH, "learning_rate": RATE, **settings}
    task = TrainTask("stage", TrainerSettings(**given), epochs, epochs, seed=1, checkpoint_every_s=1e9)
    spec = ModelSpec(ModelSettings(config=CONFIG), VOCABULARY, 0, LENGTH)
    request = TrainRequest(spec, task).at_client(sequences, weights)
    *_, update = trainer_class(task.settings.backend)(model).train(request)
    assert isinstance(update, Update)
    return update


def loop_rows(pairs: int, count: int) -> list[dict[str, Any]]:
    """Rows of the loop alone."""
    torch.set_num_threads(1)
    sequences = make_sequences(count, VOCABULARY, LENGTH)
    steps = EPOCHS * -(-count // BATCH)
    rows = []
    for backend, peer in BARE.items():
        extra = {"backend": backend, "deepspeed": ZERO if backend == "deepspeed" else {}}
        model = make_model(CONFIG, VOCABULARY, LENGTH)
        weights = flatten(model)
        with_raysim(model, sequences[: 2 * BATCH], 1, weights, **extra)
        rates: list[tuple[float, float]] = []
        for number in range(pairs):
            ours = cpu_seconds(lambda m=model, w=weights, e=extra: with_raysim(m, sequences, EPOCHS, w, **e))
            # DeepSpeed leaves its traces in a model.
            other = make_model(CONFIG, VOCABULARY, LENGTH)
            theirs = cpu_seconds(lambda p=peer, m=other: p(m, sequences, steps))
            tokens = EPOCHS * sequences.size
            rates.append((tokens / ours, tokens / theirs))
            print(f"{backend}, pair {number + 1}: {rates[-1][0]:,.0f} and {rates[-1][1]:,.0f} tokens/s", flush=True)
        rows.append(row(f"{backend}, the loop alone", rates, "tokens/s of one thread's CPU seconds"))
    return rows


def cpu_seconds(work: Callable[[], Any]) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


def row(case: str, rates: list[tuple[float, float]], unit: str) -> dict[str, Any]:
    mine, peer = (statistics.median(side) for side in zip(*rates, strict=True))
    ratios = [ours / theirs for ours, theirs in rates]
    return {
        "case": case,
        "raysim": round(mine, 1),
        "peer": round(peer, 1),
        "unit": unit,
        "ratio": round(statistics.median(ratios), 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }


# End to end, on Ray.


def experiment(folder: Path, organizations: int) -> Path:
    """Organizations of the standard library's modules, of about as many sequences each."""
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-z]*.py"))
    chosen = [module for module in modules if 4_000 <= module.stat().st_size <= 25_000]
    for number, module in enumerate(chosen):
        home = folder / f"org{number % organizations}"
        home.mkdir(exist_ok=True)
        shutil.copy(module, home / module.name)
    raw: dict[str, Any] = {
        "name": "train",
        "organizations": {f"org{n}": {"source": {"path": f"org{n}"}, "limit": "110 KB"} for n in range(organizations)},
        "references": ["stdlib"],
        "tokenizer": {"train": {"corpus": "references", "vocab_size": VOCABULARY}},
        "model": {"config": CONFIG},
        "trainer": {
            "epochs": EPOCHS,
            "sequence_length": LENGTH,
            "batch_size": BATCH,
            "learning_rate": RATE,
            "schedule": "constant",
        },
        "strategies": ["single"],
        "measure": {"perplexity": None},
        "execution": {"backend": "ray", "slots": organizations, "checkpoint_every_s": 1e6},
    }
    path = folder / f"train{organizations}.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def on_ray(path: Path, seed: int, store: Path, **trainer: Any) -> tuple[int, float]:
    """Tokens of all stages of one run, and seconds of the longest; they run side by side."""
    overrides = [f"seed={seed}", *(f"trainer.{name}={json.dumps(value)}" for name, value in trainer.items())]
    with tempfile.TemporaryDirectory(prefix="raysim-") as out:
        with ConsoleObserver(Console(file=io.StringIO())) as quiet:
            run(Options(path, out=Path(out) / "run", store=store, overrides=tuple(overrides)), quiet, write_report)
        rows = [row for row in read_log(Path(out) / "run" / "stages.jsonl") if row["kind"] == "train"]
    assert all(row["status"] == "computed" for row in rows)
    return sum(row["tokens"] for row in rows), max(row["seconds"] for row in rows)


def bare_processes(backend: str, tokens: int, count: int) -> float:
    """Tokens a second of so many processes at once, each of which builds the model and trains on so many tokens."""
    command = [sys.executable, __file__, "--bare", backend, "--tokens", str(tokens)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    seconds = [float(process.communicate()[0].strip().splitlines()[-1]) for process in started]
    return count * tokens / max(seconds)


def be_bare(backend: str, tokens: int) -> None:
    torch.set_num_threads(1)
    import transformers  # noqa: F401 - an organization has it by then, too

    started_s = time.monotonic()
    model = make_model(CONFIG, VOCABULARY, LENGTH)
    steps = tokens // (BATCH * LENGTH)
    BARE[backend](model, make_sequences(steps * BATCH // EPOCHS, VOCABULARY, LENGTH), steps)
    flatten(model)
    print(time.monotonic() - started_s)


def ray_rows(pairs: int, only: str | None) -> list[dict[str, Any]]:
    """Rows of whole stages."""
    import logging

    import ray

    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="raysim-") as scratch:
        rows = [*(one_row(Path(scratch), pairs, backend) for backend in BARE)] if only != "two" else []
        rows += two_rows(Path(scratch), pairs) if only != "one" else []
    ray.shutdown()
    return rows


def one_row(scratch: Path, pairs: int, backend: str) -> dict[str, Any]:
    """One organization beside one bare loop."""
    folder = scratch / backend
    folder.mkdir()
    extra = {"backend": backend, "deepspeed": ZERO} if backend == "deepspeed" else {}
    path, rates = experiment(folder, 1), []
    for number in range(pairs):
        tokens, seconds = on_ray(path, number, folder / "store", **extra)
        rates.append((tokens / seconds, bare_processes(backend, tokens, 1)))
        print(f"{backend} on Ray, pair {number + 1}: {rates[-1][0]:,.0f} and {rates[-1][1]:,.0f} tokens/s", flush=True)
    return row(f"{backend}, one organization on Ray", rates, "tokens/s")


def two_rows(scratch: Path, pairs: int) -> list[dict[str, Any]]:
    """Two organizations at once beside one bare loop and beside two."""
    folder = scratch / "two"
    folder.mkdir()
    path = experiment(folder, 2)
    rates: list[tuple[float, float, float]] = []
    for number in range(pairs):
        tokens, seconds = on_ray(path, number, folder / "store")
        one, two = (bare_processes("torch", tokens // 2, count) for count in (1, 2))
        rates.append((tokens / seconds, 2 * one, two))
        prompt_stats = ", ".join(f"{rate:,.0f}" for rate in rates[-1])
        print(f"two organizations, twice one loop, two loops, round {number + 1}: {prompt_stats} tokens/s", flush=True)
    return [
        row(
            "two organizations on Ray beside twice one bare loop",
            [(ours, twice) for ours, twice, _ in rates],
            "tokens/s",
        ),
        row("two organizations on Ray beside two bare loops", [(ours, two) for ours, _, two in rates], "tokens/s"),
        row("two bare loops beside twice one", [(two, twice) for _, twice, two in rates], "tokens/s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--sequences", type=int, default=96)
    parser.add_argument("--only", choices=("loop", "one", "two"))
    parser.add_argument("--bare", choices=tuple(BARE), help=argparse.SUPPRESS)
    parser.add_argument("--tokens", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        be_bare(options.bare, options.tokens)
        return
    rows = loop_rows(options.pairs, options.sequences) if options.only in (None, "loop") else []
    rows += ray_rows(options.pairs, options.only) if options.only != "loop" else []
    print(json.dumps({"benchmark": "train", "rows": rows}))


if __name__ == "__main__":
    main()
