"""Canaries and membership, end to end: an overfitted model knows what it has often seen, and no more."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from drive import hashes, raysim
from store_runs import kinds

from raysim.corpus.canaries import CanarySettings, make_canaries
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

pytestmark = pytest.mark.slow

NUM_FILES = 100


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of random words, split at random; trained until they are known by heart."""
    folder = tmp_path_factory.mktemp("audited")
    for name, seed in (("alpha", 1), ("beta", 2)):
        rng = np.random.default_rng(seed)
        (folder / name).mkdir()
        for number in range(NUM_FILES):
            words = rng.choice([f"{a}{b}" for a in "abcdefgh" for b in "stuvwxyz"], 16)
            text = "".join(f"{one} = {other}\n" for one, other in zip(words[::2], words[1::2], strict=True))
            (folder / name / f"{number:02}.py").write_text(text)
    off = {"min_assignments": 0, "min_characters_per_token": 0, "no_keyword_drop_probability": 0}
    raw = {
        "name": "audited",
        "organizations": {name: {"source": {"path": name}} for name in ("alpha", "beta")},
        "references": [{"path": "alpha"}],
        "preparation": {**off, "config_or_test_drop_probability": 0, "split": {"valid": 0.5}},
        "canaries": {"organizations": ["alpha"], "repeats": [0, 16], "count": 3, "length": 8},
        "tokenizer": {"train": {"vocab_size": 300}},
        "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 128}, "dropout": 0.0},
        "trainer": {"epochs": 60, "sequence_length": 64, "batch_size": 4, "learning_rate": 3e-3},
        "strategies": ["single"],
        "measure": {
            "perplexity": None,
            "exposure": {"candidates": 256, "when": "every_stage"},
            "membership": {"chunk_tokens": None, "k": "60 %"},
        },
        "execution": {"backend": "inline"},
    }
    path = folder / "audited.yaml"
    path.write_text(yaml.safe_dump(raw))
    plan = json.loads(raysim("plan", path, "--json").stdout)
    assert plan["tokens"]["exposure"] > 0
    assert plan["tokens"]["membership"] > 0
    ended = raysim("run", path, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return path, folder / "out"


def models(out: Path) -> dict[str, str]:
    """The order of each final model, and 'initial'."""
    rows = read_table(out, "models").to_pylist()
    return {row["model"]: row["order"] if row["final"] else "initial" for row in rows}


def test_a_canary_that_was_repeated_is_exposed(audited: tuple[Path, Path]) -> None:
    """To the bound of the sample, and by extrapolation far beyond; what is like it by chance comes near the first."""
    _, out = audited
    order = models(out)
    found: dict[tuple[str, int], list[float]] = {}
    beyond: dict[tuple[str, int], list[float]] = {}
    for row in read_table(out, "canaries").to_pylist():
        assert row["organization"] == "alpha"
        found.setdefault((order[row["model"]], row["repeats"]), []).append(row["exposure"])
        beyond.setdefault((order[row["model"]], row["repeats"]), []).append(row["exposure_extrapolated"])
    assert set(found) == {(name, repeats) for name in ("alpha", "beta", "initial") for repeats in (0, 16)}
    assert found["alpha", 16] == [8.0, 8.0, 8.0]
    assert min(beyond["alpha", 16]) > max(beyond["alpha", 0]) + 10
    for never in (("alpha", 0), ("beta", 0), ("beta", 16), ("initial", 16)):
        assert float(np.mean(found[never])) < 4


def test_members_of_an_overfitted_model_are_told_and_not_by_a_blind_guess(audited: tuple[Path, Path]) -> None:
    _, out = audited
    order = models(out)
    rows = read_table(out, "attacks").to_pylist()
    attacks = {(order[row["model"]], row["organization"], row["score"]): row for row in rows}
    for score in ("loss", "min_k", "min_k_plus_plus", "zlib"):
        assert attacks["alpha", "alpha", score]["auc"] > 0.7
        for name, other in (("alpha", "beta"), ("beta", "alpha")):
            assert attacks[name, other, score]["verdict"] == "shows nothing"
            assert 0.35 < attacks[name, other, score]["auc"] < 0.67
            assert 0.35 < attacks[name, name, score]["blind_auc"] < 0.67
    assert attacks["alpha", "alpha", "loss"]["auc"] > 0.85
    assert attacks["alpha", "alpha", "loss"]["verdict"] == "shows membership"


def test_a_second_run_audits_nothing_again(audited: tuple[Path, Path]) -> None:
    path, out = audited
    before = hashes(out)
    plan = json.loads(raysim("plan", path, "--out", out, "--json").stdout)
    assert plan["tokens"]["exposure"] == plan["tokens"]["membership"] == 0
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert hashes(out) == before
    computed = Counter(row["kind"] for row in read_log(out / "stages.jsonl") if row["status"] == "computed")
    # Exposures of two final models and the initial one on alpha; membership of two models at two organizations.
    assert (computed["exposure"], computed["membership"], computed["blind"]) == (3, 4, 2)


def test_audits_are_verified(audited: tuple[Path, Path]) -> None:
    _, out = audited
    ended = raysim("verify", out, "--sample", len(kinds(out)))
    assert ended.returncode == 0, ended.stderr
    assert "1 exposure" in ended.stdout
    assert "1 blind" in ended.stdout


def test_no_secret_leaves(audited: tuple[Path, Path]) -> None:
    """Not even into the store."""
    _, out = audited
    settings = CanarySettings(organizations=("alpha",), repeats=(0, 16), count=3, length=8)
    secrets = [canary.secret for canary in make_canaries(settings, "alpha", 1)]
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        table = path.suffix == ".parquet"
        content = repr(pq.read_table(path).to_pylist()) if table else path.read_bytes().decode(errors="replace")
        assert not any(secret in content for secret in secrets), path
    crossed = {row["kind"] for row in read_table(out, "ledger").to_pylist() if row["sender"] == "alpha"}
    assert crossed == {"inventory", "initial", "weights", "metrics", "exposure", "membership", "blind", "baselines"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("canaries.organizations=[gamma]", "'gamma' is no organization of this experiment"),
        ("canaries.length=60", "a canary of 73 bytes may not fit a sequence of 64 tokens"),
        ("measure.membership.chunk_tokens=65", "65 tokens are more than a sequence of 64"),
    ],
)
def test_what_does_not_fit_is_refused(audited: tuple[Path, Path], change: str, said: str) -> None:
    path, _ = audited
    ended = raysim("plan", path, "--set", change)
    assert ended.returncode == 2
    assert said in ended.stderr
