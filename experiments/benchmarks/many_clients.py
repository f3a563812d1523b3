"""Seconds a round and peak memory of federations of many small organizations, ten of which train in a round.

Every organization has a file of a few functions of the standard library to train on, and another that is held out. A
round should take as long, and as much memory, whether ten are drawn of a hundred or of a thousand. Each case runs in a
process of its own; its memory is the largest sum over its processes, each counting its part of what they share (PSS).
Preparation is everything before the first round, by the number of organizations; the first round, which builds models,
is left out of the median.
    python experiments/benchmarks/many_clients.py [--clients 100 1000] [--backends inline ray] [--rounds 5]
"""

import argparse
import ast
import io
import json
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from raysim.cli.progress import ConsoleObserver
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.experiment.run import Options, run
from raysim.store.task_log import TaskRecord

SAMPLED = 10
FILE_BYTES = 500
"""Of code in a file, at least."""
EVERY_S = 0.05
"""Between two looks at memory."""


def pieces() -> Iterator[str]:
    """Runs of whole definitions of the standard library, each of `FILE_BYTES` and a bit; none twice."""
    stdlib, given = Path(sysconfig.get_path("stdlib")), set[str]()
    for path in sorted(stdlib.rglob("*.py")):
        if {"test", "site-packages", "idlelib", "lib2to3"} & set(path.relative_to(stdlib).parts):
            continue
        text = path.read_text("utf-8", "replace")
        lines, piece = text.splitlines(keepends=True), ""
        try:
            nodes = ast.parse(text).body
        except SyntaxError:
            continue
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                piece += "".join(lines[node.lineno - 1 : node.end_lineno]) + "\n\n"
            if len(piece) >= FILE_BYTES:
                if len(piece) < 4 * FILE_BYTES and piece not in given:
                    given.add(piece)
                    yield piece
                piece = ""


def deal(folder: Path, clients: int) -> list[str]:
    """Writes the code of every organization; their names."""
    names = [f"org{number:04}" for number in range(clients)]
    found = islice(pieces(), 2 * clients)
    for name in names:
        for split in ("train", "valid"):
            (folder / name / split).mkdir(parents=True)
            (folder / name / split / "code.py").write_text(next(found), "utf-8")
    return names


def experiment(folder: Path, names: list[str], backend: str, rounds: int, own: bool) -> dict[str, Any]:
    """FedAvg of a model of about ten thousand parameters; what every organization makes of it is not measured."""
    return {
        "name": "many_clients",
        "organizations": {
            name: {"source": {"path": str(folder / name / "train")}, "held_out": {"path": str(folder / name / "valid")}}
            for name in names
        },
        "references": [{"path": str(folder / name / "train")} for name in names[:20]],
        "preparation": PreparationSettings.off().model_dump(mode="json"),
        "tokenizer": {"train": {"corpus": "references", "vocab_size": 300}},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}},
        "trainer": {"epochs": 1, "sequence_length": 64, "batch_size": 8},
        "strategies": [{"fedavg": {"clients": SAMPLED, "rounds": rounds}}],
        "measure": {"perplexity": None, "baselines": None},
        "execution": {
            "backend": backend,
            "private": str(folder / "private"),
            "share_actors": not own,
        },
    }


def cpu_seconds() -> float:
    """That this process and those that it started have taken."""
    mine = psutil.Process()
    total = 0.0
    for one in (mine, *mine.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended meanwhile
            total += sum(one.cpu_times()[:2])
    return total


class Clock(ConsoleObserver):
    """When phases began and rounds ended, in seconds since the run began; and CPU seconds at these ends of rounds."""

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.begun_s = time.monotonic()
        self.phases: dict[str, float] = {}
        self.rounds: list[float] = []
        self.cpu: list[float] = []

    def phase(self, name: str) -> None:
        super().phase(name)
        self.phases[name] = time.monotonic() - self.begun_s

    def ended(self, record: TaskRecord) -> None:
        super().ended(record)
        if record.kind == "aggregate":
            self.rounds.append(time.monotonic() - self.begun_s)
            self.cpu.append(cpu_seconds())


def measure(clients: int, backend: str, rounds: int, own: bool) -> None:
    """Prints what a run took, in this process and those that it starts."""
    clock = Clock()
    with tempfile.TemporaryDirectory(prefix="raysim-") as scratch, clock:
        folder = Path(scratch)
        settings = experiment(folder, deal(folder, clients), backend, rounds, own)
        clock.begun_s = time.monotonic()
        run(Options(settings, out=folder / "run"), clock, lambda *_: None)
        found = {
            "preparation": clock.phases["Training"] - clock.phases["Preparing the corpora"],
            "first": clock.rounds[0] - clock.phases["Training"],
            "round": statistics.median(later - earlier for earlier, later in pairwise(clock.rounds)),
            "round_cpu": statistics.median(later - earlier for earlier, later in pairwise(clock.cpu)),
            "whole": time.monotonic() - clock.begun_s,
        }
    print(json.dumps(found))


def peak_of(process: subprocess.Popen[str]) -> int:
    """The largest memory in bytes of a process and those that it starts, as long as it runs."""
    peak = 0
    while process.poll() is None:
        total, asked = 0, []
        try:
            asked = [root := psutil.Process(process.pid), *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        for one in asked:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:  # it has ended meanwhile
                continue
        peak = max(peak, total)
        time.sleep(EVERY_S)
    return peak


def case(clients: int, backend: str, rounds: int, own: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", str(clients), "--backends", backend, "--rounds", str(rounds)]
    command += ["--own"] if own else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = peak_of(process)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise RuntimeError(f"{clients} clients, {backend}: ended with {process.returncode}")
    return {**json.loads(printed.splitlines()[-1]), "memory": peak / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--backends", nargs="+", default=["inline", "ray"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--own", action="store_true", help="an actor for each organization, however many there are")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        measure(asked.case, asked.backends[0], asked.rounds, asked.own)
        return
    rows = []
    for backend in asked.backends:
        for clients in asked.clients:
            found = case(clients, backend, asked.rounds, asked.own)
            print(clients, backend, {name: round(value, 3) for name, value in found.items()}, flush=True)
            values = {
                "preparation a client": (1e3 * found["preparation"] / clients, "ms"),
                "a round": (found["round"], "s"),
                "a round, all processes": (found["round_cpu"], "CPU s"),
                "peak memory": (found["memory"], "MB"),
            }
            rows += [
                {"case": f"{clients} clients, {backend}: {name}", "raysim": round(value, 3), "unit": unit}
                for name, (value, unit) in values.items()
            ]
    print(json.dumps({"benchmark": "many_clients", "sampled": SAMPLED, "rounds": asked.rounds, "rows": rows}))


if __name__ == "__main__":
    main()
