"""Models that know one organization's code by heart recite it, and nobody else's; who asks again computes nothing."""

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim
from splits import splitting_seed

from raysim.store.task_log import read_log
from raysim.tables.io import read_table

pytestmark = pytest.mark.slow

PREFIXES, SUFFIX = [8, 16], 30
SETTINGS: dict[str, Any] = {
    "trainer": {"epochs": 80, "sequence_length": 64, "batch_size": 4, "learning_rate": 5e-3},
    "model": {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 64}, "dropout": 0.0},
    "strategies": ["single"],
    "measure": {
        "perplexity": None,
        "memorization": {
            "prompts": {"prefix": 1},
            "prefix_tokens": 8,
            "samples": 1,
            "new_tokens": 8,
            "min_lines": 2,
            "extraction": {"passages": 6, "prefix_tokens": PREFIXES, "suffix_tokens": SUFFIX, "batch_size": 4},
        },
    },
}


def run(*args: object) -> None:
    ended = raysim("run", *args)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def recited(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_writer: Callable[[Path], Callable[..., Path]],
    corpus_folders: dict[str, Path],
) -> tuple[Path, Path]:
    """Two organizations with a short file each to train on, learnt by heart by a model each: experiment, run folder."""
    folder = tmp_path_factory.mktemp("recited")
    for name, files in {"alpha": ("bisect.py", "sched.py"), "gamma": ("colorsys.py", "codeop.py")}.items():
        (folder / name).mkdir()
        for file in files:
            text = (corpus_folders[name] / file).read_text(encoding="utf-8")
            (folder / name / file).write_text(text[:1600], encoding="utf-8")
    organizations = {name: {"source": {"path": str(folder / name)}} for name in ("alpha", "gamma")}
    tokenizer = {"train": {"corpus": "references", "vocab_size": 400}}
    references = [{"path": str(corpus_folders["beta"])}]
    split_seed = splitting_seed({name: folder / name for name in organizations})
    path = tiny_writer(folder)(
        split_seed=split_seed, organizations=organizations, tokenizer=tokenizer, references=references, **SETTINGS
    )
    run(path, "--out", folder / "out")
    return path, folder / "out"


def test_a_model_recites_what_it_was_trained_on_and_nothing_else(recited: tuple[Path, Path]) -> None:
    models = {row["model"]: row["order"] for row in read_table(recited[1], "models").to_pylist() if row["final"]}
    rows = read_table(recited[1], "extraction").to_pylist()
    own = [row for row in rows if models[row["model"]] == row["organization"]]
    others = [row for row in rows if models[row["model"]] != row["organization"]]
    for name in models.values():
        passages = {row["passage"] for row in own if row["organization"] == name}
        assert len(passages) >= 3
        assert len([row for row in own if row["organization"] == name]) == len(PREFIXES) * len(passages)
    assert {(row["distance"], row["verbatim"]) for row in own} == {(0, SUFFIX)}
    assert all(row["log_p"] == pytest.approx(0, abs=1e-6) and row["log_p_plain"] > -5 for row in own)
    assert len(others) == len(own)
    assert all(row["distance"] > SUFFIX / 2 and row["log_p_plain"] < -50 for row in others)
    assert all(row["log_p"] == -math.inf for row in others)


def test_prefixes_lie_where_they_are_said_to(recited: tuple[Path, Path]) -> None:
    assert {(r["prefix_tokens"], r["offset"]) for r in read_table(recited[1], "extraction").to_pylist()} == {
        (length, length) for length in PREFIXES
    }


def test_asked_again_nothing_is_computed(recited: tuple[Path, Path]) -> None:
    path, out = recited
    before = hashes(out)
    run(path, "--out", out)
    assert hashes(out) == before
    stages = [row for row in read_log(out / "stages.jsonl") if row["kind"] == "extract"]
    assert Counter(row["status"] for row in stages) == {"computed": 4, "cached": 4}


def test_only_numbers_leave(recited: tuple[Path, Path]) -> None:
    """A crossing for each model and organization, of less than the passages themselves would take."""
    rows = [row for row in read_table(recited[1], "ledger").to_pylist() if row["kind"] == "extract"]
    assert len(rows) == 4
    assert {(row["sender"], row["receiver"]) for row in rows} == {("alpha", "server"), ("gamma", "server")}


def test_another_length_recites_the_same_models(recited: tuple[Path, Path]) -> None:
    path, out = recited
    run(path, "--out", out.parent / "more", "--store", out / "store", "--set",
        "measure.memorization.extraction.prefix_tokens=[16]")  # fmt: skip
    stages = read_log(out.parent / "more" / "stages.jsonl")
    computed = Counter(row["kind"] for row in stages if row["status"] == "computed")
    assert computed == {"extract": 4}


def test_weights_stay_until_all_have_been_recited(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """With one slot, and weights that go as soon as nobody needs them: the same table, and no stage trained twice."""
    memorization = {**SETTINGS["measure"]["memorization"], "when": "every_stage"}
    orders = {"incremental": {"orders": [["alpha", "beta"], ["alpha", "gamma"]]}}
    trainer = {"epochs": 1, "sequence_length": 64}
    path = tiny(strategies=[orders], trainer=trainer, measure={"memorization": memorization})
    run(path, "--out", tmp_path / "all")
    run(path, "--out", tmp_path / "metrics", "--set", "store.keep=metrics", "--set", "execution.slots=1")
    assert hashes(tmp_path / "metrics")["extraction"] == hashes(tmp_path / "all")["extraction"]
    assert list((tmp_path / "metrics/store/objects").rglob("*.npy")) == []
    trained = Counter(r["key"] for r in read_log(tmp_path / "metrics/stages.jsonl") if r["kind"] == "train")
    assert set(trained.values()) == {1}
    planned = json.loads(raysim("plan", path, "--json").stdout)["tokens"]["extract"]
    pieces = {r["key"]: r["tokens"] for r in read_log(tmp_path / "all/stages.jsonl") if r["kind"] == "extract"}
    assert planned == sum(pieces.values()) > 0


def test_passages_that_do_not_fit_are_refused_before_anything_starts(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny(**{**SETTINGS, "trainer": {"sequence_length": 32}})
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 2
    assert "a prefix of 16 tokens and a suffix of 30 do not fit into a training sequence of 32" in ended.stderr
    assert not (tmp_path / "out").exists()
