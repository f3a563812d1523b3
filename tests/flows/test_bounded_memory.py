"""Preparation and the overlap report where little fits into memory: the same results, in no more than is given."""

import importlib.util
import tempfile
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import Any

import pytest

from raysim.core import hash_groups, long_arrays, spool
from raysim.corpus import files
from raysim.experiment.preview import inspect_experiment
from raysim.experiment.run import Options

BENCHMARK = Path(__file__).parents[2] / "experiments" / "benchmarks" / "preparation.py"
LIMIT_BYTES = 1_000_000_000

EXPERIMENT = """
name: small
organizations:
  records: {source: {files: [data/*.jsonl]}, limit: 300 KB}
  package: {source: {packages: [PyYAML]}, agreement: {share: data}}
references: [{packages: [click]}]
preparation: {near_dedup: true, split: {train: 0.6, valid: 0.2, test: 0.2}}
tokenizer: {pretrained: tokenizer}
model: {config: {model_type: gpt2, n_layer: 1, n_head: 1, n_embd: 8}}
trainer: {sequence_length: 256}
strategies: [single]
measure: {memorization: {prompts: {function: 30, prefix: 20, held_out: 20}, new_tokens: 64, prefix_tokens: 32}}
execution: {private: private}
"""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """The benchmark of preparation, which generates code."""
    spec = importlib.util.spec_from_file_location("preparation", BENCHMARK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inspected(folder: Path, private: str) -> dict[str, Any]:
    overrides = (f"execution.private={private}",)
    options = Options(folder / "small.yaml", folder / "run", None, overrides, None)
    return inspect_experiment(options)


def test_what_does_not_fit_into_memory_is_prepared_alike(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark.prepared(tmp_path, 600_000)
    (tmp_path / "small.yaml").write_text(EXPERIMENT, encoding="utf-8")
    opened: list[Path] = []

    def temporary(dir: Path | None) -> Any:
        opened.append(Path(dir or ""))
        return TemporaryFile(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    held = inspected(tmp_path, "held")
    assert not opened
    monkeypatch.setattr(spool, "HELD_BYTES", 100_000)
    monkeypatch.setattr(long_arrays, "HELD_BYTES", 1000)
    monkeypatch.setattr(hash_groups, "ROWS_AT_A_TIME", 1000)
    monkeypatch.setattr(files, "BATCH_SIZE", 50_000)
    assert inspected(tmp_path, "spooled") == held
    assert {path.name for path in opened} >= {"records", "package"}
    shards = [sorted(path.read_bytes() for path in tmp_path.glob(f"{name}/*/*/*")) for name in ("held", "spooled")]
    assert shards[0] == shards[1]
    assert len(shards[0]) == 4
    assert all(found["asked"] > 20 for found in held["xray"]["prompts"].values())


@pytest.mark.stress
def test_half_a_gigabyte_of_code_is_inspected_in_one_of_memory(benchmark: ModuleType, tmp_path: Path) -> None:
    folder = benchmark.prepared(tmp_path, 500_000_000)
    assert benchmark.measured("inspect", folder, 2, LIMIT_BYTES)["peak_bytes"] < LIMIT_BYTES
