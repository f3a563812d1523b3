"""Incremental training with elastic weight consolidation and replay, from the command line to verify."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import raysim

from raysim.tables.io import read_table

Tiny = Callable[..., Path]

BOTH: list[Any] = [{"incremental": {"orders": [["alpha", "beta"]], "ewc": {"samples": 4}, "replay": 0.2}}]
KEEPS = ("--set", "organizations.{}.agreement.share=weights", "--set", "tokenizer.train.corpus=references")


def keeps(name: str) -> list[str]:
    """Has an organization keep its code to itself."""
    return [part.format(name) for part in KEEPS]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[[Path], Tiny]) -> tuple[Path, Path]:
    """A run in which beta, who is last, keeps its code, and alpha shares."""
    folder = tmp_path_factory.mktemp("continual")
    path = tiny_writer(folder)(strategies=BOTH, measure={})
    ended = raysim("run", path, "--out", folder / "out", *keeps("beta"))
    assert ended.returncode == 0, ended.stderr
    return path, folder / "out"


def test_the_ledger_has_what_left_the_earlier_one_and_nothing_of_the_later(finished: tuple[Path, Path]) -> None:
    _, out = finished
    ledger = read_table(out, "ledger").to_pylist()
    parts = {(row["sender"], row["receiver"], row["kind"]) for row in ledger}
    assert {("alpha", "server", "fisher"), ("server", "beta", "objective"), ("alpha", "beta", "sequences")} <= parts
    assert not [part for part in parts if part[0] == "beta" and part[2] in ("sequences", "fisher", "texts")]
    models = {row["index"]: row for row in read_table(out, "models").to_pylist() if row["moment"] == "stage"}
    seen = [dict(zip(models[n]["organizations"], models[n]["tokens_seen"], strict=True)) for n in (1, 2)]
    assert seen[1]["alpha"] > seen[0]["alpha"]


def test_a_second_run_and_verify_find_everything(finished: tuple[Path, Path]) -> None:
    path, out = finished
    planned = json.loads(raysim("plan", path, "--out", out, "--json", *keeps("beta")).stdout)
    assert planned["tokens"]["fisher"] == 0
    assert not any(planned["tokens"].values())
    verified = raysim("verify", out)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_who_keeps_its_code_is_not_replayed(tiny: Tiny, tmp_path: Path) -> None:
    ended = raysim("run", tiny(strategies=BOTH, measure={}), "--out", tmp_path / "out", *keeps("alpha"))
    assert ended.returncode == 2
    assert "strategies: incremental replays the code of alpha, but alpha shares weights only" in ended.stderr
    assert not (tmp_path / "out" / "stages.jsonl").exists()
