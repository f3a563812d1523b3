"""An audit in a real run: what it finds of models that nothing protects, and of those that noise does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import raysim

from raysim.tables.io import read_table

MODEL = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
ROUNDS = {"rounds": 3}
SETTINGS: dict[str, Any] = {
    "model": {"config": MODEL},
    "trainer": {"epochs": 12, "sequence_length": 32, "batch_size": 16, "learning_rate": 3e-3},
    "strategies": [{"fedavg": ROUNDS}, {"dp_sgd": {**ROUNDS, "target_epsilon": 8}}],
    "sequence_canaries": {"count": 200, "organizations": ["alpha"]},
    "measure": {"baselines": None},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[[Path], Callable[..., Path]]) -> Path:
    """A run with canaries at one organization, inline."""
    folder = tmp_path_factory.mktemp("audited")
    ended = raysim("run", tiny_writer(folder)(**SETTINGS), "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return folder / "out"


def test_the_bound_is_above_zero_without_noise_and_below_the_claim_with_it(finished: Path) -> None:
    rows = {row["strategy"]: row for row in read_table(finished, "privacy_audits").to_pylist()}
    assert rows.keys() == {"fedavg", "dp_sgd"}
    plain, private = rows["fedavg"], rows["dp_sgd"]
    assert {(row["organization"], row["canaries"], row["guesses"]) for row in rows.values()} == {("alpha", 200, 66)}
    assert plain["audited_epsilon"] > 0.5
    assert (plain["claimed_epsilon"], plain["verdict"]) == (None, "nothing claimed")
    spent = [row for row in read_table(finished, "privacy").to_pylist() if row["organization"] == "alpha"]
    assert private["claimed_epsilon"] == spent[-1]["epsilon"] <= 8
    assert private["audited_epsilon"] < private["claimed_epsilon"]
    assert private["verdict"] == "within the claim"


def test_the_report_has_both_bounds(finished: Path) -> None:
    page = (finished / "report.html").read_text("utf-8")
    assert "Epsilon is above (audit, 95 %)" in page
    assert "within the claim" in page


def test_canaries_are_in_what_is_trained_on_and_in_no_other_count(finished: Path) -> None:
    train = {r["organization"]: r for r in read_table(finished, "corpora").to_pylist() if r["split"] == "train"}
    coins = [r for r in read_table(finished, "sequence_canaries").to_pylist() if r["included"]]
    planted = len({row["canary"] for row in coins})
    assert {row["organization"] for row in coins} == {"alpha"}
    # Whatever is left over of code is less than a sequence.
    code = train["alpha"]["tokens"] + train["alpha"]["files"]
    assert train["alpha"]["sequences"] == code // 32 + planted
    assert train["beta"]["sequences"] == (train["beta"]["tokens"] + train["beta"]["files"]) // 32
