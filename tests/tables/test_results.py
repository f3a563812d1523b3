import copy
import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

import raysim
from raysim.core.errors import InputError
from raysim.tables.io import TABLES, read_table, table_hash, table_path
from raysim.tables.results import Results, open_run


def test_torn_lines_of_the_task_log_are_ignored(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "stages.jsonl").write_text('{"key": "a"}\n{"key": "to\n{"key": "b"}\n{"key": "c')
    assert [stage["key"] for stage in open_run(tmp_path).stages] == ["a", "b"]


def test_no_task_log_means_no_stages(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    assert open_run(tmp_path).stages == ()


def test_a_folder_without_a_manifest_is_no_run(tmp_path):
    with pytest.raises(InputError, match=r"no manifest\.json"):
        open_run(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_manifest_is_named(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json"):
        open_run(tmp_path)


def test_settings_are_found_by_their_path(run):
    assert open_run(run).setting("measure", "memorization", "min_lines") == 6
    assert open_run(run).setting("measure", "pass_at_k", "n") is None


def test_every_table_is_an_attribute_and_an_item(run: Path) -> None:
    results = raysim.open_results(run)
    assert results.folder == run
    assert set(results.tables) >= {"models", "samples", "losses", "corpora", "ledger"}
    for name in results:
        assert getattr(results, name) is results[name] is results.table(name)
        assert table_hash(results[name]) == table_hash(read_table(run, name))
    assert results.models.to_pandas()["strategy"].nunique() == 5
    assert results.strategies == ["single", "centralized", "incremental", "fedavg", "fedyogi"]


def test_no_attribute_hides_a_table() -> None:
    assert not {*TABLES} & {name for name in dir(Results) if not name.startswith("_")}
    assert not {*TABLES} & {field.name for field in fields(Results)}


def test_what_was_not_written_is_empty_and_not_offered(run: Path) -> None:
    results = raysim.open_results(str(run))
    assert "sweep" not in results.tables
    assert "sweep" not in results
    assert "sweep" not in dir(results)
    assert results.sweep.num_rows == 0
    assert {"models", "samples", "tables", "report"} <= set(dir(results))


def test_an_unknown_name_lists_the_tables(run: Path) -> None:
    results = raysim.open_results(run)
    with pytest.raises(AttributeError, match=r"'sampels' is no attribute and no table of a run; .*models, .*samples"):
        _ = results.sampels
    with pytest.raises(InputError, match=r"'sampels' is no table of a run; there are: models"):
        _ = results["sampels"]
    assert getattr(results, "_repr_png_", None) is None


def test_results_are_copied_and_pickled(run: Path) -> None:
    results = raysim.open_results(run)
    for again in (copy.deepcopy(results), pickle.loads(pickle.dumps(results))):
        assert again == results
        assert table_hash(again.models) == table_hash(results.models)


def test_a_summary_says_what_was_run(build_run: Callable[..., Path]) -> None:
    results = raysim.open_results(build_run())
    text, page = repr(results), results._repr_html_()
    for fact in (
        "meta, microsoft, google",
        "incremental, fedavg",
        f"{len(results.models['model'].unique())}",
        "not written yet",
    ):
        assert fact in text
        assert fact in page
    assert "<a " not in page


def test_a_summary_of_hostile_names_is_text(build_run: Callable[..., Path]) -> None:
    results = raysim.open_results(build_run(organizations=("<script>alert(1)</script>", "b", "c")))
    assert "<script>" in repr(results)
    assert "<script>" not in results._repr_html_()


def test_a_summary_survives_what_cannot_be_read(build_run: Callable[..., Path]) -> None:
    folder = build_run()
    table_path(folder, "models").write_bytes(b"no table")
    (folder / "report.html").touch()
    results = raysim.open_results(folder)
    assert "models: " in repr(results)
    assert "not a readable Parquet file" in repr(results)
    assert "report.html</td>" in results._repr_html_()
    assert '/report.html" target="_blank">Open the report</a>' in results._repr_html_()


def test_organizations_are_those_of_the_experiment(run):
    assert open_run(run).organizations == ["meta", "microsoft", "google"]


def test_organizations_that_the_manifest_does_not_name_are_those_of_the_models(build_run):
    folder = build_run(memorization=False, perplexity=False)
    (folder / "manifest.json").write_text("{}")
    assert open_run(folder).organizations == ["google", "meta", "microsoft"]
