"""Preparation of generated code: megabytes a second of a core, and memory, beside `datasets.map`.

Each system reads the same record files, drops files by the study's heuristics on lines and letters, and tokenizes the
rest with the same tokenizer; raysim also leaves out copies, splits, packs and counts lines. Every measurement is a
process of its own; its memory is without mapped files and without that of processes that it starts. `inspect` is all
of `raysim inspect`, with the overlap report, and may be given a limit (``RLIMIT_DATA``: heap and anonymous mappings).
    python experiments/benchmarks/preparation.py [--megabytes 50 200] [--limit 1000] [--processes 2]
        [--systems raysim datasets inspect]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

SHARD_BYTES = 50_000_000
SYSTEMS = ("raysim", "datasets", "inspect")
TOKENIZER_TEXTS = 100

FUNCTION = '''def {name}_{other}(self, {a}, {b}={number}):
    """Compute the {a} of {b}, as {other} does.

    Returns:
        {a} times {number}.
    """
    {c} = self.{other}({a}, {b}) + {number}
    for {a}_{b} in range({c}):
        if {a}_{b} % {number} == {c}.{name}:
            self.{name}[{a}] = {b}({c}, "{other}")
    return {c} if {c} > {number} else self.{other}_{number}

'''
NAMES = [f"{begin}{end}" for begin in ("user", "node", "path", "cache", "row", "token") for end in "_abcdefghij"]


def generate(folder: Path, num_bytes: int, seed: int = 1) -> None:
    """Writes about `num_bytes` of Python in files of about 10 KB, as records; a tenth of the functions are copies."""
    generator = np.random.default_rng(seed)
    shared = [_function(generator) for _ in range(500)]
    folder.mkdir()
    written = number = shard = 0
    while written < num_bytes:
        with (folder / f"{shard:03}.jsonl").open("w", encoding="utf-8") as file:
            until = min(num_bytes, written + SHARD_BYTES)
            while written < until:
                copies = generator.random(20) < 0.1
                parts = [shared[generator.integers(500)] if copy else _function(generator) for copy in copies]
                text = f"class Module{number}:\n    value = {number}\n\n" + "".join(parts)
                row = {"path": f"{number:07}.py", "repo_name": f"repo{number % 97}", "content": text}
                file.write(json.dumps(row) + "\n")
                written, number = written + len(text), number + 1
        shard += 1


def _function(generator: np.random.Generator) -> str:
    name, other, a, b, c = (NAMES[i] for i in generator.integers(len(NAMES), size=5))
    return FUNCTION.format(name=name, other=other, a=a, b=b, c=c, number=generator.integers(10_000))


def save_tokenizer(data: Path, folder: Path) -> None:
    from raysim.corpus.tokenizer import train_tokenizer

    with (data / "000.jsonl").open(encoding="utf-8") as file:
        texts = [json.loads(line)["content"] for line, _ in zip(file, range(TOKENIZER_TEXTS), strict=False)]
    folder.mkdir()
    (folder / "tokenizer.json").write_text(train_tokenizer(texts, 4096).json, encoding="utf-8")


def keep(text: str) -> bool:
    """The heuristics of the study on lines, letters and assignments."""
    from raysim.corpus import filters

    lines = filters.line_statistics(text)
    return (
        not filters.is_generated(text)
        and lines.longest <= 1000
        and lines.mean <= 100
        and filters.alphanumeric_share(text) >= 0.25
        and filters.num_assignments(text) >= 5
    )


def raysim(folder: Path, processes: int) -> int:
    from raysim.corpus.preparation_settings import PreparationSettings
    from raysim.corpus.sources import SourceSettings
    from raysim.corpus.tokenizer import TokenizerSettings, load_tokenizer
    from raysim.organizations.organization import Organization, PreparationContext
    from raysim.organizations.settings import OrganizationSettings

    source = SourceSettings(files=[f"{folder}/data/*.jsonl"])
    tokenizer = load_tokenizer(TokenizerSettings(pretrained=str(folder / "tokenizer")), folder)
    organization = Organization("a", OrganizationSettings(source=source), folder, "private")
    stats = organization.prepare(PreparationContext(PreparationSettings(), 1, tokenizer, 1024, 6))
    return sum(split["tokens"] for split in stats.splits.values())


def datasets(folder: Path, processes: int) -> int:
    import datasets
    from tokenizers import Tokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are what is parallel
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))

    def step(batch: dict[str, list[str]]) -> dict[str, list[Any]]:
        texts = [text for text in batch["content"] if keep(text)]
        return {"ids": [one.ids for one in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]}

    loaded = datasets.load_dataset(
        "json", data_files=f"{folder}/data/*.jsonl", split="train", cache_dir=str(folder / "datasets")
    )
    mapped = loaded.map(step, batched=True, batch_size=200, num_proc=processes, remove_columns=loaded.column_names)
    return mapped.num_rows


def inspect(folder: Path, processes: int) -> int:
    from raysim.cli.main import app

    app(["inspect", str(folder / "experiment.yaml"), "--json", "--out", str(folder / "run")], standalone_mode=False)
    return 0


EXPERIMENT = """name: preparation
organizations: {{a: {{source: {{files: ["{folder}/data/*.jsonl"]}}}}}}
tokenizer: {{pretrained: "{folder}/tokenizer"}}
model: {{config: {{model_type: gpt2, n_layer: 1, n_head: 1, n_embd: 8}}}}
trainer: {{sequence_length: 1024}}
strategies: [single]
measure: {{memorization: {{prompts: {{function: 200}}, new_tokens: 128}}}}
execution: {{private: "{folder}/private"}}
"""


class Watch:
    """Looks at the memory of this process that is no mapped file, while it is open."""

    def __enter__(self) -> "Watch":
        self.peak_bytes, self._ended = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            with open("/proc/self/status", encoding="ascii") as status:
                own = next(line for line in status if line.startswith("RssAnon"))
            self.peak_bytes = max(self.peak_bytes, int(own.split()[1]) * 1024)


def measure(system: str, folder: Path, processes: int, limit_bytes: int) -> None:
    """Runs a system in this process, and prints what it took."""
    if limit_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
    output, sys.stdout = sys.stdout, open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    begin = time.perf_counter()
    with Watch() as watch:
        {"raysim": raysim, "datasets": datasets, "inspect": inspect}[system](folder, processes)
    wall_s = time.perf_counter() - begin
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(usage.ru_utime + usage.ru_stime for usage in used)
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, "peak_bytes": watch.peak_bytes}), file=output)


def measured(system: str, folder: Path, processes: int, limit_bytes: int = 0) -> dict[str, float]:
    """What `measure` printed in a process of its own."""
    given = [system, str(folder), str(processes), str(limit_bytes)]
    command = [sys.executable, __file__, "--measure", *given]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{system}: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def prepared(folder: Path, num_bytes: int) -> Path:
    """A folder with generated code, a tokenizer and an experiment."""
    generate(folder / "data", num_bytes)
    save_tokenizer(folder / "data", folder / "tokenizer")
    (folder / "experiment.yaml").write_text(EXPERIMENT.format(folder=folder), encoding="utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--limit", type=int, default=1000, help="MB that inspect may have; 0: all")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        system, folder, processes, limit_bytes = options.measure
        measure(system, Path(folder), int(processes), int(limit_bytes))
        return
    print("| system | MB | s | CPU s | MB a CPU second | peak of its own memory, MB |\n|---|---|---|---|---|---|")
    rows = []
    for megabytes in options.megabytes:
        with tempfile.TemporaryDirectory(prefix="raysim-preparation-") as name:
            folder = prepared(Path(name), megabytes * 1_000_000)
            for system in options.systems:
                limit_bytes = options.limit * 1_000_000 if system == "inspect" else 0
                found = measured(system, folder, options.processes, limit_bytes)
                rate, peak = megabytes / found["cpu_s"], found["peak_bytes"] / 1e6
                times = f"{found['wall_s']:.1f} | {found['cpu_s']:.1f} | {rate:.2f}"
                print(f"| {system} | {megabytes} | {times} | {peak:.0f} |", flush=True)
                rows.append({"case": f"{system}, {megabytes} MB", "raysim": rate, "unit": "MB a CPU second", **found})
    print(json.dumps({"benchmark": "preparation", "rows": rows}))


if __name__ == "__main__":
    main()
