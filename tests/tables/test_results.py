import pytest

from raysim.core.errors import InputError
from raysim.tables.results import open_run


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


def test_organizations_are_those_of_the_experiment(run):
    assert open_run(run).organizations == ["meta", "microsoft", "google"]


def test_organizations_that_the_manifest_does_not_name_are_those_of_the_models(build_run):
    folder = build_run(memorization=False, perplexity=False)
    (folder / "manifest.json").write_text("{}")
    assert open_run(folder).organizations == ["google", "meta", "microsoft"]
