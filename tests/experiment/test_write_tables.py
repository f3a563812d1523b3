"""Rows of tables from what a run reached; `tests/flows` has them of whole runs."""

import asyncio
from dataclasses import replace

import pytest

from raysim.cluster.backend import InlineBackend
from raysim.core.run_folder import RunFolder
from raysim.experiment.setup import content_of
from raysim.experiment.write_tables import (
    corpora_rows,
    licence_rows,
    model_rows,
    obfuscation_rows,
    participation_rows,
    redaction_rows,
    write_rows,
)
from raysim.simulation.executor import TrainedModel
from raysim.simulation.lineage import Lineage
from raysim.simulation.planner import plan
from raysim.tables.io import read_table

ENTRIES = [
    {"single": {"fraction": 0.5, "label": "half"}},
    "centralized",
    {"incremental": {"orders": [["b", "a"]]}},
    {"fedavg": {"rounds": 1}},
]


@pytest.fixture
def rows(make_context, strategy_runs_of):
    context = make_context({"a": 10, "b": 20})
    planned = asyncio.run(plan(strategy_runs_of(context, ENTRIES)))
    lineage = Lineage(("parent",), {"b": 5, "a": 7}, 12, 0.5, steps_in_sequence=8)
    reached = [TrainedModel(model.strategy_run, model.checkpoint, lineage) for model in planned.models]
    return model_rows(reached, {1: {"dropout": 0.1, "parameters": 99}})


def test_a_model_has_the_facts_of_its_setting(rows):
    found = {
        (row["strategy"], row["family"], row["fraction"], row["order"], tuple(row["members"]))
        for row in rows
        if row["final"]
    }
    assert found == {
        ("half", "single", 0.5, "a", ("a",)),
        ("half", "single", 0.5, "b", ("b",)),
        ("centralized", "centralized", 1.0, "a + b", ("a", "b")),
        ("incremental", "incremental", 1.0, "b > a", ("b", "a")),
        ("fedavg", "federated", 1.0, "a + b", ("a", "b")),
    }
    arms = {row["strategy"]: {other["arm"] for other in rows if other["strategy"] == row["strategy"]} for row in rows}
    assert all(len(of_setting) == 1 for of_setting in arms.values())
    assert len(set.union(*arms.values())) == 4


def test_a_model_has_the_budget_of_its_lineage(rows, tmp_path):
    write_rows(RunFolder(tmp_path), "models", rows)
    row = read_table(tmp_path, "models").to_pylist(maps_as_pydicts="strict")[0]
    assert (row["steps"], row["steps_in_sequence"], row["learning_rate_sum"]) == (12, 8, 0.5)
    assert (row["organizations"], row["tokens_seen"], row["parents"]) == (["a", "b"], {"a": 7, "b": 5}, ["parent"])
    assert (row["seed"], row["dropout"], row["parameters"]) == (1, 0.1, 99)


def test_all_orders_and_seeds_of_a_setting_share_its_arm(make_context, strategy_runs_of):
    contexts = [make_context({"a": 9, "b": 9}, seed=seed) for seed in (1, 2)]
    runs = [run for context in contexts for run in strategy_runs_of(context, ["incremental"])]
    assert len(runs) == 4
    assert len({run.config.arm for run in runs}) == 1


def test_steps_in_sequence_of_a_small_run(run_study):
    """Two clients of unequal size in two rounds; and the same organizations one after the other."""
    entries = [{"fedavg": {"rounds": 2}}, {"incremental": {"orders": [["alpha", "beta"]]}}]
    study = run_study(InlineBackend(), entries, epochs=2)
    reached = [model for model in study.reached if model.checkpoint.moment != "upload"]
    rows = model_rows(reached, {1: {"dropout": 0.1, "parameters": 1}})
    federated, ordered = ([r for r in rows if r["final"] and r["family"] == f] for f in ("federated", "incremental"))
    assert [row["steps"] for row in federated] == [row["steps"] for row in ordered]
    per_client = [
        sum(-(-study.context.client_stats[name].sequences // 8) for _ in range(2)) for name in ("alpha", "beta")
    ]
    assert [(row["steps"], row["steps_in_sequence"]) for row in federated] == [(sum(per_client), max(per_client))]
    assert [(row["steps"], row["steps_in_sequence"]) for row in ordered] == [(sum(per_client), sum(per_client))]


def test_every_member_has_a_row_a_round_whether_or_not_it_takes_part(make_context, strategy_runs_of, tmp_path):
    gone = {"dropout": 0.4, "seconds_per_1k_tokens": 2}
    entries = ["single", {"fedavg": {"rounds": 5, "clients": 2}}]
    entries.append({"fedavg": {"label": "gone", "rounds": 5, "clients": 2, "availability": gone}})
    runs = strategy_runs_of(make_context({"a": 10, "b": 20, "c": 30}), entries)
    write_rows(RunFolder(tmp_path), "participation", participation_rows(runs))
    rows = read_table(tmp_path, "participation").to_pylist()
    places = [(row["strategy"], row["round"], row["organization"]) for row in rows]
    assert places == [(label, n, name) for label in ("fedavg", "gone") for n in range(1, 6) for name in "abc"]
    plain, some = rows[:15], rows[15:]
    assert [row["selected"] for row in plain] == [row["selected"] for row in some]
    for row in plain:
        assert row["took_part"] == row["selected"] == (row["reason"] == "")
        assert (row["simulated_seconds"], row["round_seconds"], row["attempts"]) == (None, None, int(row["selected"]))
    # 64 tokens a sequence, for 4 epochs in 5 rounds one in each, 2 s a thousand.
    expected = {"a": 10, "b": 20, "c": 30}
    for row in some:
        seconds = expected[row["organization"]] * 64 / 1000 * 2 if row["selected"] else None
        assert row["simulated_seconds"] == (seconds if seconds is None else pytest.approx(seconds))
        assert row["took_part"] == (row["reason"] == "")
    planned = asyncio.run(plan(runs))
    trained = {(s.strategy_run.label, s.round + 1, s.instruction.organizations[0]) for s in planned.stages}
    assert {place for place, row in zip(places, rows, strict=True) if row["took_part"]} == {
        one for one in trained if one[0] != "single"
    }


def test_corpora_and_drops_have_a_row_each(make_context):
    stats = make_context({"a": 3, "b": 4}).client_stats.values()
    corpora, drops = corpora_rows(stats)
    assert [(row["organization"], row["split"], row["sequences"]) for row in corpora] == [
        ("a", "train", 3),
        ("b", "train", 4),
    ]
    assert drops == []


def test_licences_and_redactions_have_a_row_each(make_context, tmp_path):
    (stats,) = make_context({"a": 3}).client_stats.values()
    found = {"category": "personal", "kind": "IBAN", "action": "redact", "files": 1, "occurrences": 2}
    told = replace(stats, licences={"MIT": 2, "not stated": 1}, redactions=(found,))
    write_rows(RunFolder(tmp_path), "file_licences", licence_rows([told]))
    write_rows(RunFolder(tmp_path), "redactions", redaction_rows([told]))
    assert [tuple(row.values()) for row in read_table(tmp_path, "file_licences").to_pylist()] == [
        ("a", "MIT", 2),
        ("a", "not stated", 1),
    ]
    assert read_table(tmp_path, "redactions").to_pylist() == [{"organization": "a", **found}]
    assert b"redactions" in content_of(told)
    assert b"redactions" not in content_of(stats)  # as it crossed before there were any


def test_what_was_obfuscated_has_a_row_each(make_context, tmp_path):
    (stats,) = make_context({"a": 3}).client_stats.values()
    found = {"transformation": "rename", "outcome": "changed", "files": 1, "changes": 2}
    told = replace(stats, obfuscations=(found,))
    write_rows(RunFolder(tmp_path), "obfuscations", obfuscation_rows([told]))
    assert read_table(tmp_path, "obfuscations").to_pylist() == [{"organization": "a", **found}]
    assert b"obfuscations" in content_of(told)
    assert b"obfuscations" not in content_of(stats)  # as it crossed before there were any
