"""A marked text in every training file turns up nowhere but in the private folders of the organizations."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from drive import hashes, raysim
from marks import Marks

from raysim.core.remote_folder import RemoteFolder
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.store.mirror import Mirror
from raysim.store.store import Store
from raysim.store.task_log import read_log

MARK = "qzjxvkqwzjxvkwq"
NAMES = ("alpha", "beta")

LEAKS = f"""
from raysim.core.run_folder import RunFolder
from raysim.inference.stopping import Endings
from raysim.measures.memorization import client_functions
from raysim.organizations import organization
from raysim.store import task_log, transfers

code = "the code {MARK} of somebody"

def read(self, tail, generated, stops):
    return self._tokenizer.decode([*tail, *generated]), None
Endings._read = read

organization.private_folder = lambda base, above, name: base / "out" / "store" / "packed" / name

row = task_log.TaskRecord.row
task_log.TaskRecord.row = lambda self: row(self) | {{"label": code}}

attempt = task_log.TaskLog.attempt
task_log.TaskLog.attempt = lambda self, key, kind, label, *rest: attempt(self, key, kind, code, *rest)

write = RunFolder.write_manifest
RunFolder.write_manifest = lambda self, **facts: write(self, **facts | {{"corpus": [code]}})

to_json = transfers.Transfer.to_json
transfers.Transfer.to_json = lambda self: to_json(self) | {{"kind": code}}

make = client_functions.prompts_at
def prompts_at(*args):
    prompts = make(*args)
    return prompts.set_column(prompts.schema.get_field_index("file"), "file", prompts["text"])
client_functions.prompts_at = prompts_at
"""
"""Makes each channel leak, each by the code that writes it."""


@pytest.fixture
def experiment(tiny: Callable[..., Path], tmp_path: Path) -> Path:
    """Two organizations that share weights alone, and everything that is measured of them; models learn nothing."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        for number in range(12):
            lines = [f"    {MARK}_{name}_{number}_{i} = a + {i} * len({MARK!r}) - {number}" for i in range(6)]
            head = [f"def {name}_{number}(a):", f'    """Knows {MARK}."""']
            text = "\n".join([*head, *lines, f"    return {MARK}_{name}_{number}_0", ""])
            (tmp_path / name / f"{number}.py").write_text(text)
    path = tiny(
        organizations={name: {"source": {"path": name}, "agreement": {"share": "weights"}} for name in NAMES},
        tokenizer={"train": {"vocab_size": 300}},
        deduplication={"across": "first_owner"},
        canaries={"repeats": [0, 2], "count": 2, "length": 8},
        trainer={"epochs": 1, "sequence_length": 128, "batch_size": 8, "learning_rate": 1e-9},
        strategies=["incremental", {"fedavg": {"rounds": 1}}],
        execution={"backend": "inline", "private": "private"},
        measure={
            "perplexity": {},
            "memorization": {
                "prompts": {"function": 2, "prefix": 6, "held_out": 2},
                "prefix_tokens": 40,
                "samples": 2,
                "new_tokens": 12,
                "min_lines": 1,
                "extraction": {"passages": 2, "prefix_tokens": [8], "suffix_tokens": 8},
            },
            "exposure": {"candidates": 16},
            "membership": {"chunk_tokens": None},
        },
    )
    return path


def marks(out: Path, folder: Path) -> Marks:
    """Of the mark as the run's tokenizer writes it, which is so in every file of every organization."""
    store = Store(out / "store")
    entries = [entry for key in store if (entry := store.peek(key))]
    (info,) = (entry.info for entry in entries if entry.recipe["kind"] == "tokenizer")
    tokenizer = CodeTokenizer(json=info["json"], bos_id=info["bos_id"])
    ids = tokenizer.encode(MARK)[1:-1]
    found = Marks(MARK, ids)
    for path in (path for name in NAMES for path in (folder / name).glob("*.py")):
        assert found.in_bytes(np.array(tokenizer.encode(path.read_text()), np.int32).tobytes())
    return found


def mirrored(out: Path, folder: Path) -> Path:
    """What of a run folder lies on an object store."""
    remote = RemoteFolder(f"file://{folder}/there")
    Mirror(out, remote).push()
    assert {"manifest.json", "results/prompts.parquet"} <= {name for name, _ in remote.list()}
    return folder / "there"


@pytest.mark.slow
def test_code_stays_with_its_organization(experiment: Path, tmp_path: Path) -> None:
    """And a run that has ended needs its private folders no more, which are made again where they are gone."""
    out, private = tmp_path / "out", tmp_path / "private"
    ended = raysim("run", experiment, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert MARK not in ended.stdout + ended.stderr
    mark = marks(out, tmp_path)
    assert mark.below(out) == []
    kinds = {"train", "aggregate", "generate", "match", "emissions", "prompts", "clones", "extract", "exposure"}
    assert kinds <= {row["kind"] for row in read_log(out / "stages.jsonl")}
    bundle = tmp_path / "bundle"
    ended = raysim("report", out, "--bundle", bundle)
    assert ended.returncode == 0, ended.stderr
    assert MARK not in ended.stdout + ended.stderr
    assert (bundle / "results" / "matches.parquet").is_file()
    assert mark.below(bundle) == []
    assert mark.below(mirrored(out, tmp_path)) == []
    # Prompts of both ended within a line that begins with the mark.
    assert len(mark.below(private)) == len(NAMES)
    modes = {path.stat().st_mode & 0o777 for path in private.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in private.rglob("*") if path.is_dir()} == {0o700}

    before = hashes(out)
    shutil.rmtree(private)
    (out / "store" / "shards" / "alpha").mkdir(parents=True)  # as earlier versions left it
    ended = raysim("run", experiment, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert hashes(out) == before
    last = read_log(out / "stages.jsonl")[-1]["session"]
    assert {row["status"] for row in read_log(out / "stages.jsonl") if row["session"] == last} == {"cached"}
    assert not (out / "store" / "shards").exists()
    refused = raysim("run", experiment, "--out", out, "--set", "execution.private=out/store/mine")
    assert (refused.returncode, "execution.private: out/store/mine lies in the store" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_a_leak_through_any_channel_is_found(experiment: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = raysim("run", experiment, "--out", out, before=LEAKS)
    assert ended.returncode == 0, ended.stderr
    places = marks(out, tmp_path).below(out)
    for channel in (
        r"store/objects/.*/generations\.parquet:text",
        r"store/objects/.*/matches\.parquet:text",
        r"store/objects/.*/prompts\.parquet:file",
        r"store/objects/.*/entry\.json",
        r"store/packed/alpha/.*/sequences\.npy",
        r"store/packed/beta/.*/sequences\.npy",
        r"results/prompts\.parquet:file",
        r"results/matches\.parquet:text",
        r"ledger\.parquet:kind",
        r"manifest\.json",
        r"stages\.jsonl",
        r"attempts\.jsonl",
        r"report\.html",
    ):
        assert any(re.fullmatch(channel, place) for place in places), (channel, places)
    there = marks(out, tmp_path).below(mirrored(out, tmp_path))
    assert any(re.fullmatch(r"store/objects/.*/generations\.parquet:text", place) for place in there), there
    assert "report.html" in there
    # What models wrote is withheld from a bundle all the same.
    assert raysim("report", out, "--bundle", tmp_path / "bundle").returncode == 0
    shown = marks(out, tmp_path).below(tmp_path / "bundle")
    assert any(place.startswith("results/prompts.parquet:file") for place in shown)
    assert not any("matches" in place for place in shown)


@pytest.mark.slow
def test_what_ray_logs_holds_no_code(experiment: Path, tmp_path: Path, ray_address: str) -> None:
    from ray._private.worker import _global_node

    out = tmp_path / "out"
    few: dict[str, Any] = yaml.safe_load(experiment.read_text())
    few |= {"strategies": [{"fedavg": {"rounds": 1}}], "canaries": None}
    del few["deduplication"]
    few["measure"] = {"memorization": few["measure"]["memorization"]}
    experiment.write_text(yaml.safe_dump(few))
    ended = raysim("run", experiment, "--out", out, "--address", ray_address)
    assert ended.returncode == 0, ended.stderr
    assert MARK not in ended.stdout + ended.stderr
    assert _global_node is not None
    assert marks(out, tmp_path).below(out, Path(_global_node.get_session_dir_path()) / "logs") == []


@pytest.mark.parametrize("kind", ["<i2", "<i4", "<i8", ">i4"])
def test_token_ids_are_found_in_every_width(kind: str, tmp_path: Path) -> None:
    ids = [7, 300, 5, 88, 1, 299]
    mark = Marks(MARK, ids)
    np.save(tmp_path / "a.npy", np.array([[0, *ids, 0]] * 2, dtype=kind))
    np.save(tmp_path / "b.npy", np.array([[0, *ids[:-1], 0, ids[-1]]], dtype=kind))
    assert mark.below(tmp_path) == ["a.npy"]


def test_values_of_every_kind_are_looked_into(tmp_path: Path) -> None:
    ids = [7, 300, 5, 88, 1, 299]
    mark, text = Marks(MARK, ids), f"x{MARK}y"
    table = pa.table(
        {
            "text": [text, ""] * 3,
            "dictionary": pa.array([text, ""] * 3).dictionary_encode(),
            "binary": [text.encode(), b""] * 3,
            "packed": [np.array(ids, np.int32).tobytes(), b""] * 3,
            "nested": [[{"a": [{"b": text}]}], []] * 3,
            "tokens": pa.array([[1, *ids], []] * 3, pa.list_(pa.int16())),
            "down the rows": pa.array(ids, pa.int64()),
            "clean": ["x", MARK[:-1]] * 3,
            "numbers": list(range(6)),
        }
    ).replace_schema_metadata({"about": text})
    assert mark.in_table(table) == [*table.column_names[:-2], "metadata"]
    pq.write_table(table, tmp_path / "t.parquet", compression="zstd")
    (tmp_path / "log.jsonl").write_text('{"ids": [9, 7, 300, 5,\n 88, 1, 299]}')
    (tmp_path / ".hidden").write_text(text)
    (tmp_path / f"{MARK}.py").touch()
    (tmp_path / "clean.json").write_text('{"ids": [7, 300, 5, 88, 2, 299]}')
    assert {place.partition(":")[0] for place in mark.below(tmp_path)} == {
        "t.parquet", "log.jsonl", ".hidden", f"{MARK}.py",
    }  # fmt: skip
