"""What clients send in place of their weights, on small real runs: compressed updates and masked ones."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drive import hashes, raysim

from raysim.cluster.backend import InlineBackend
from raysim.store.transfers import transfers_of
from raysim.tables.io import read_table
from raysim.training.compression import RESIDUAL, Int8, TopK

ROUNDS = {"rounds": 2, "local_epochs": 1}
TOP_K = {"label": "top", "compression": {"top_k": {"share": 0.01}}, **ROUNDS}
INT8 = {"label": "int8", "compression": {"int8": {}}, **ROUNDS}
SECURE = {"label": "secure", "secure_aggregation": {}, **ROUNDS}


@pytest.fixture(scope="module")
def study(run_study) -> Any:
    return run_study(InlineBackend(), [{"fedavg": settings} for settings in (ROUNDS, TOP_K, INT8, SECURE)])


def stages_of(study: Any, label: str, number: int) -> dict[str, Any]:
    """The entries of a setting's stages in a round from 0, by organization."""
    found = [s for s in study.plan.stages if s.strategy_run.label == label and s.round == number]
    return {s.instruction.organizations[0]: study.store.get(s.key) for s in found}


def aggregations_of(study: Any, label: str) -> list[Any]:
    """The entries of a setting's aggregations, round after round."""
    keys = [m.checkpoint.model for m in study.plan.models if m.strategy_run.label == label]
    return [study.store.get(key) for key in keys if key in study.plan.aggregations]


def test_the_server_has_of_an_update_what_its_form_lets_through(study: Any) -> None:
    """In the first round, where settings train on the same batches: beside the whole weights of plain averaging."""
    start = study.store.get(study.context.start).array("weights")
    for name, plain in stages_of(study, "fedavg", 0).items():
        update = plain.array("weights") - start
        top, quantized = (stages_of(study, label, 0)[name] for label in ("top", "int8"))
        form = TopK(share=0.01)
        received = form.decode(form.encode(update, 0), update.size)
        assert np.array_equal(top.array("weights"), start + received)
        assert np.array_equal(top.array(RESIDUAL), update - received)
        assert set(quantized.array_names()) == {"weights"}
        error = np.abs(quantized.array("weights") - plain.array("weights"))
        assert 0 < error.max() <= np.abs(update).max() / 127 * 1.01
        assert top.info["upload"]["update_norm"] == pytest.approx(np.linalg.norm(update), rel=1e-5)
        assert top.info["upload"]["cut_norm"] == pytest.approx(np.linalg.norm(update - received), rel=1e-5)
        assert plain.recipe == {k: v for k, v in top.recipe.items() if k != "upload"}


def test_the_next_round_goes_on_from_what_was_cut(study: Any) -> None:
    for name, later in stages_of(study, "top", 1).items():
        assert later.recipe["upload_state"] == stages_of(study, "top", 0)[name].key
        assert later.recipe["client_state"] is None
        start = study.store.get(later.recipe["weights"]).array("weights")
        moved = np.flatnonzero(later.array("weights") != start)
        assert 0 < moved.size <= np.ceil(start.size * 0.01)
        earlier = stages_of(study, "top", 0)[name].array(RESIDUAL)
        assert not np.any(later.array(RESIDUAL)[moved])
        assert np.linalg.norm(later.array(RESIDUAL)) > np.linalg.norm(earlier)
    assert all("upload_state" not in entry.recipe for entry in stages_of(study, "int8", 1).values())


def test_the_ledger_has_the_bytes_of_the_compressed_form(study: Any) -> None:
    size = study.store.get(study.context.start).array("weights").size
    expected = {"top": len(TopK(share=0.01).encode(np.ones(size, np.float32), 0)),
                "int8": len(Int8().encode(np.ones(size, np.float32), 0))}  # fmt: skip
    assert expected["top"] < expected["int8"] < 4 * size
    for label, num_bytes in expected.items():
        for number in range(2):
            for name, entry in stages_of(study, label, number).items():
                sent = {t.kind: t.num_bytes for _, t in transfers_of(entry, study.store) if t.sender == name}
                assert sent["compressed update"] == num_bytes == entry.info["upload"]["bytes"]
                assert "weights" not in sent
                kept = {t.kind for _, t in transfers_of(entry, study.store) if t.receiver == f"{name} (its shelf)"}
                assert kept == ({"client state"} if label == "top" else set())


def test_masked_rounds_end_where_plain_ones_do(study: Any) -> None:
    """Both train on the same batches in every round, so that rounding to the field is all that differs."""
    for plain, masked in zip(aggregations_of(study, "fedavg"), aggregations_of(study, "secure"), strict=True):
        assert not np.array_equal(plain.array("weights"), masked.array("weights"))
        np.testing.assert_allclose(masked.array("weights"), plain.array("weights"), atol=1e-4)
        assert masked.info["norms"]["updates"] == [None, None]


def test_the_server_has_masked_vectors_and_the_ledger_their_bytes(study: Any) -> None:
    for number in range(2):
        for name, entry in stages_of(study, "secure", number).items():
            assert entry.array_names() == ["masked"]
            vector = entry.array("masked")
            assert np.bincount(vector >> 28, minlength=16).min() > vector.size / 16 * 0.8
            assert entry.info["upload"]["clipped"] == 0
            transfers = [t for _, t in transfers_of(entry, study.store)]
            assert {t.kind: t.num_bytes for t in transfers if t.sender == name and t.kind != "metrics"} == {
                "masked update": 4 * vector.size,
                "keys and shares": 32 + 2 * 66,
            }
            assert {t.kind for t in transfers if t.receiver == name} == {"weights", "keys and shares"}
    for entry in aggregations_of(study, "secure"):
        told = [t for _, t in transfers_of(entry, study.store)]
        assert [(t.sender, t.kind, t.num_bytes) for t in told] == [
            (name, "keys and shares", 2 * 66) for name in ("alpha", "beta")
        ]


def test_uploads_are_the_sum_alone(study: Any) -> None:
    sent: dict[str, list[tuple[str, bool]]] = {}
    for model in study.plan.uploads:
        checkpoint = model.checkpoint
        sent.setdefault(model.strategy_run.label, []).append((checkpoint.last, checkpoint.model == checkpoint.average))
    for label in ("fedavg", "top", "int8"):
        assert sent[label] == [("alpha", False), ("beta", False)] * 2
    assert sent["secure"] == [("alpha", True), ("beta", True)] * 2
    ours = {model.checkpoint.model for model in study.reached if model.strategy_run.label == "secure"}
    assert ours == {study.context.start, *(entry.key for entry in aggregations_of(study, "secure"))}


KILLED = """
import os
from raysim.simulation.executor import TrainingExecutor
apply = TrainingExecutor.apply
async def once(self, run, plan, results):
    planned = await apply(self, run, plan, results)
    await self._executor.flush()
    os.kill(os.getpid(), 9)
TrainingExecutor.apply = once
"""
"""The driver is killed when its first aggregation is in the store: residuals and masked vectors are there alone."""


@pytest.fixture(scope="module")
def finished(tiny_writer: Callable[[Path], Callable[..., Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both forms, inline to its end."""
    folder = tmp_path_factory.mktemp("forms")
    memorization = {
        "prompts": {"prefix": 2}, "prefix_tokens": 24, "samples": 1, "new_tokens": 16, "min_lines": 2,
        "uploads": "final", "when": "final",
    }  # fmt: skip
    path = tiny_writer(folder)(
        strategies=[{"fedavg": TOP_K}, {"fedavg": SECURE}], measure={"memorization": memorization}
    )
    ended = raysim("run", path, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return path


def test_tables_and_report_have_bytes_and_what_was_cut(finished: Path) -> None:
    out = finished.parent / "out"
    rows = read_table(out, "update_sizes").to_pylist()
    assert len(rows) == 2 * 2 * 3
    ledger = {(row["work"], row["sender"]): row["bytes"] for row in read_table(out, "ledger").to_pylist()
              if row["kind"] in ("compressed update", "masked update")}  # fmt: skip
    for row in rows:
        assert row["bytes"] == ledger[row["model"], row["organization"]]
        assert row["bytes"] < row["raw_bytes"] / 20 if row["form"] == "top_k" else row["bytes"] == row["raw_bytes"]
        small = row["cut_norm"] < 1e-4 * row["update_norm"]
        assert small if row["form"] == "masked" else row["cut_norm"] > 0.1 * row["update_norm"]
    norms = read_table(out, "update_norms").to_pylist()
    assert {row["strategy"] for row in norms if row["update_norm"] is None} == {"secure"}
    probed = {row["strategy"]: row["model"] == row["average"] for row in read_table(out, "uploads").to_pylist()}
    assert probed == {"top": False, "secure": True}
    page = (out / "report.html").read_text()
    assert "What clients send in place of their weights" in page
    assert "protects nobody from whoever runs it" in page


def test_killed_between_rounds_it_goes_on_to_equal_tables(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    assert raysim("run", finished, "--out", out, before=KILLED).returncode == -signal.SIGKILL
    ended = raysim("run", finished, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert hashes(out) == hashes(finished.parent / "out")
