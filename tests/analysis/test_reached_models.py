from dataclasses import replace

import pyarrow as pa
from run_tables import Setting

from raysim.analysis.reached_models import finals, read_reached_models, settings
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run


def test_families_are_those_of_the_table(run):
    families = {reached.strategy: reached.family for reached in read_reached_models(open_run(run))}
    assert families == {
        "single": "single",
        "centralized": "centralized",
        "incremental": "incremental",
        "fedavg": "federated",
        "fedyogi": "federated",
    }


def test_nothing_is_read_off_labels_orders_or_moments(build_run):
    """A strategy from outside may call its orders as it likes, and its stages rounds."""
    folder = build_run(memorization=False, perplexity=False)
    rows = read_table(folder, "models").to_pylist(maps_as_pydicts="strict")
    for row in rows:
        row["tokens_seen"] = list(row["tokens_seen"].items())
        if row["strategy"] == "incremental":
            row.update(strategy="half + equal", order="/".join(row["members"]), moment="round")
    write_table(folder, "models", pa.Table.from_pylist(rows, schema("models")))
    found = [m for m in read_reached_models(open_run(folder)) if m.strategy == "half + equal"]
    assert {m.family for m in found} == {"incremental"}
    assert {m.members for m in found if m.order == "google/meta/microsoft"} == {("google", "meta", "microsoft")}


def test_settings_have_one_final_model_an_order_and_seed(build_run):
    found = finals(read_reached_models(open_run(build_run(seeds=(1, 2)))))
    assert len(found) == 2 * (3 + 1 + 6 + 2)


def test_orders_follow_the_experiment(run):
    found = finals(read_reached_models(open_run(run)))
    assert [m.members for m in found if m.family == "single"] == [("meta",), ("microsoft",), ("google",)]
    orders = [m.members for m in found if m.family == "incremental"]
    assert orders[0] == ("meta", "microsoft", "google")
    assert orders[-1] == ("google", "microsoft", "meta")


def test_settings_of_a_family_are_its_labels(build_run):
    found = read_reached_models(open_run(build_run(more=(Setting("a fifth", "single", 0.2),), memorization=False)))
    assert settings(found, "single") == ["a fifth", "single"]
    assert settings(found, "federated") == ["fedavg", "fedyogi"]


def test_tokens_are_those_of_all_organizations(run):
    first = read_reached_models(open_run(run))[0]
    assert replace(first, tokens_seen={"a": 3, "b": 4}).tokens == 7
