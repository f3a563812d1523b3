"""A base from public code: trained once, shared by every setting and seed, in plan, tables, ledger and verify."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from drive import raysim

from raysim.core.keys import Key
from raysim.store.store import Store
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

MODEL = {
    "config": {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 32},
    "pretrain": {"epochs": 3, "learning_rate": 5e-3, "batch_size": 4},
}


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[..., Any], corpus_folders: Mapping[str, Path]
) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pretraining")
    path = tiny_writer(folder)(
        references=[{"path": str(corpus_folders["gamma"])}],
        organizations={
            name: {"source": {"path": str(corpus_folders[name])}, "agreement": {"share": "data"}}
            for name in ("alpha", "beta")
        },
        model=MODEL,
        seed=[1, 2],
        strategies=["single", {"fedavg": {"rounds": 1}}],
        measure={},
    )
    ended = raysim("run", path, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return path, folder / "out"


def test_every_setting_of_every_seed_starts_from_one_base(finished: tuple[Path, Path]) -> None:
    _, out = finished
    models = read_table(out, "models").to_pylist()
    bases = [row for row in models if row["strategy"] == "base"]
    assert [(row["seed"], row["family"], row["final"], row["organizations"]) for row in bases] == [
        (seed, "base", True, []) for seed in (1, 2)
    ]
    (base,) = {row["model"] for row in bases}
    initial = [row for row in models if row["moment"] == "initial"]
    assert {row["model"] for row in initial} == {base}
    assert {row["strategy"] for row in initial} == {"base", "single", "fedavg"}
    stages = [row for row in read_log(out / "stages.jsonl") if row["kind"] == "train" and row["key"] == base]
    assert [row["status"] for row in stages] == ["computed"], "once, for both seeds"
    recipe = Store(out / "store").peek(base).recipe  # pyright: ignore[reportOptionalMemberAccess]
    assert (recipe["epochs"], recipe["trainer"]["learning_rate"], recipe["trainer"]["batch_size"]) == (3, 5e-3, 4)
    of_settings = [_recipe(out, row["model"]) for row in models if row["strategy"] == "single" and row["final"]]
    assert {(one["weights"], one["trainer"]["learning_rate"], one["epochs"]) for one in of_settings} == {
        (base, 3e-3, 2)
    }
    assert all(row["steps"] == 0 for row in bases), "budgets are those of the organizations' code"


def test_the_base_is_better_on_code_that_nobody_trained_on(finished: tuple[Path, Path]) -> None:
    _, out = finished
    losses = read_table(out, "losses").to_pylist()
    (base,) = {row["model"] for row in read_table(out, "models").to_pylist() if row["strategy"] == "base"}
    mine = [row for row in losses if row["model"] == base and row["split"] == "valid"]
    uniform = {
        row["organization"]: row for row in read_table(out, "baselines").to_pylist() if row["baseline"] == "uniform"
    }
    for name in ("alpha", "beta"):
        nats = sum(row["nats"] for row in mine if row["organization"] == name)
        assert nats < 0.9 * uniform[name]["nats"]
        assert sum(row["tokens"] for row in mine if row["organization"] == name) == uniform[name]["tokens"]


def test_plan_lists_it_and_a_second_run_and_verify_find_it(finished: tuple[Path, Path]) -> None:
    path, out = finished
    planned = json.loads(raysim("plan", path, "--json").stdout)
    assert planned["strategies"]["base"] == {"naive": 1, "unique": 1, "cached": 0}
    again = json.loads(raysim("plan", path, "--out", out, "--json").stdout)
    assert again["strategies"]["base"]["cached"] == 1
    assert not any(again["tokens"].values())
    verified = raysim("verify", out)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_pooled_code_for_n_grams_is_in_the_ledger(finished: tuple[Path, Path]) -> None:
    _, out = finished
    ledger = read_table(out, "ledger").to_pylist()
    assert {(row["sender"], row["receiver"]) for row in ledger if row["kind"] == "sequences"} == {
        ("alpha", "beta"), ("beta", "alpha")
    }  # fmt: skip
    data = {row["data"] for row in read_table(out, "baselines").to_pylist()}
    assert data == {"", "own", "base", "base + own", "together", "base + together"}


def test_what_is_not_shared_is_not_pooled_for_n_grams(tiny: Callable[..., Path], tmp_path: Path) -> None:
    path = tiny(strategies=["single"], measure={}, tokenizer={"train": {"vocab_size": 400}})
    weights_only = ("--set", "organizations.alpha.agreement.share=weights")
    ended = raysim("run", path, "--out", tmp_path / "out", *weights_only)
    assert ended.returncode == 0, ended.stderr
    assert {row["data"] for row in read_table(tmp_path / "out", "baselines").to_pylist()} == {"", "own"}
    assert "not all of them share data" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert not [row for row in read_table(tmp_path / "out", "ledger").to_pylist() if row["kind"] == "sequences"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"references": []}, "model.pretrain.corpus: is 'references', but there are none"),
        ({"strategies": [{"single": {"label": "base"}}]}, "'base' names the model that settings start from"),
        ({"model": {**MODEL, "pretrain": {"limit": "100 B"}}}, "model.pretrain: of the references"),
        ({"model": {"pretrained": "gpt2", "pretrain": {}}}, "pretrain goes with config"),
    ],
)
def test_what_makes_no_base_is_said(tiny: Callable[..., Path], changes: dict[str, Any], said: str) -> None:
    ended = raysim("plan", tiny(**{"model": MODEL, **changes}))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert said in ended.stderr


def _recipe(out: Path, key: Key) -> Mapping[str, Any]:
    entry = Store(out / "store").peek(key)
    assert entry is not None
    return entry.recipe


def test_a_base_alone_goes_on_from_its_folder(
    tmp_path: Path, tiny_writer: Callable[..., Any], corpus_folders: Mapping[str, Path]
) -> None:
    """`strategies: []` trains a base; exported, it is what other experiments start from, the same to the last bit."""

    def losses(out: Path) -> list[tuple[str, float]]:
        (base,) = {row["model"] for row in read_table(out, "models").to_pylist() if row["strategy"] == "base"}
        rows = [
            row for row in read_table(out, "losses").to_pylist() if row["model"] == base and row["split"] == "valid"
        ]
        return sorted((row["file"], row["nats"]) for row in rows)

    given: dict[str, Any] = {
        "references": [{"path": str(corpus_folders["gamma"])}],
        "organizations": {"alpha": {"source": {"path": str(corpus_folders["alpha"])}, "agreement": {"share": "data"}}},
        "measure": {},
    }
    path = tiny_writer(tmp_path)(**given, model=MODEL, strategies=[])
    ended = raysim("run", path, "--out", tmp_path / "base")
    assert ended.returncode == 0, ended.stderr
    models = read_table(tmp_path / "base", "models").to_pylist()
    assert {row["strategy"] for row in models} == {"base"}
    exported = raysim("export-model", tmp_path / "base", models[0]["model"], tmp_path / "folder")
    assert exported.returncode == 0, exported.stderr
    here = {"pretrained": str(tmp_path / "folder")}
    path = tiny_writer(tmp_path)(**given, model=here, tokenizer=here, strategies=["single"])
    ended = raysim("run", path, "--out", tmp_path / "after")
    assert ended.returncode == 0, ended.stderr
    assert losses(tmp_path / "after") == losses(tmp_path / "base") != []
    assert {row["strategy"] for row in read_table(tmp_path / "after", "models").to_pylist()} == {"base", "single"}


def test_no_strategy_needs_a_base(tmp_path: Path, tiny_writer: Callable[..., Any]) -> None:
    ended = raysim("run", tiny_writer(tmp_path)(strategies=[]), "--out", tmp_path / "out")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "strategies: there is none" in ended.stderr
