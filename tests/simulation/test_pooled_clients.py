"""Clients of several organizations: what is sent to make one, and what it then trains on."""

from typing import Any

import numpy as np

from raysim.cluster.backend import InlineBackend
from raysim.store.transfers import ledger_rows


def rows_of(results) -> list[dict[str, Any]]:
    return ledger_rows([results.store.peek(key) for key in sorted(results.used)], results.store)


def test_only_centralized_moves_sequences(run_study) -> None:
    results = run_study(InlineBackend(), ["single", "centralized"])
    moved = [r for r in rows_of(results) if r["kind"] == "sequences"]
    expected = {(name, "alpha+beta", stats.sequences * 64 * 4) for name, stats in results.context.client_stats.items()}
    assert {(r["sender"], r["receiver"], r["bytes"]) for r in moved} == expected
    assert len(moved) == 2
    (pooled,) = (s.key for s in results.plan.stages if s.strategy_run.label == "centralized")
    assert {r["work"] for r in moved} == {pooled}


def test_pooled_packing_trains_on_common_sequences_of_all_files(run_study) -> None:
    entries = [
        {"centralized": {"label": label, "pooled_packing": label == "together"}} for label in ("apart", "together")
    ]
    results = run_study(InlineBackend(), entries)
    apart, together = ({s.strategy_run.label: s for s in results.plan.stages}[label] for label in ("apart", "together"))
    assert apart.key != together.key
    moved = {(r["sender"], r["receiver"]): r["bytes"] for r in rows_of(results) if r["kind"] == "sequences"}
    stats = results.context.client_stats
    assert {name: moved[name, "alpha+beta (pooled packing)"] for name in stats} == {
        name: one.stream_tokens * 4 for name, one in stats.items()
    }
    streams = sum(one.stream_tokens for one in stats.values())
    metrics = {stage.key: results.store.get(stage.key).info["metrics"] for stage in (apart, together)}
    assert metrics[together.key]["sequences"] == streams // 64 == together.stage.num_sequences
    assert metrics[apart.key]["sequences"] == sum(one.sequences for one in stats.values())
    assert metrics[together.key]["first_loss"] != metrics[apart.key]["first_loss"]
    reached = {m.strategy_run.label: m for m in results.reached if m.checkpoint.final}
    assert sum(reached["together"].lineage.tokens_seen.values()) == streams // 64 * 64 * 2
    weights = [results.store.get(stage.key).array("weights") for stage in (apart, together)]
    assert not np.array_equal(*weights)


def test_a_fraction_moves_a_fraction(run_study) -> None:
    results = run_study(InlineBackend(), [{"centralized": {"fraction": 0.5}}])
    moved = {r["sender"]: r["bytes"] for r in rows_of(results) if r["kind"] == "sequences"}
    assert moved == {n: -(-i.sequences // 2) * 64 * 4 for n, i in results.context.client_stats.items()}
