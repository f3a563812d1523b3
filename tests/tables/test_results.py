import pytest

from raysim.core.errors import InputError
from raysim.tables.results import open_run, read_log


def test_a_torn_last_line_is_ignored(tmp_path):
    path = tmp_path / "stages.jsonl"
    path.write_text('{"key": "a"}\n{"key": "b"}\n{"key": "c')
    assert [stage["key"] for stage in read_log(path)] == ["a", "b"]


def test_a_broken_line_before_the_last_is_named(tmp_path):
    path = tmp_path / "stages.jsonl"
    path.write_text('{"key": "a"}\nnonsense\n{"key": "c"}\n')
    with pytest.raises(InputError, match="line 2"):
        read_log(path)


def test_no_stage_log_means_no_stages(tmp_path):
    assert read_log(tmp_path / "stages.jsonl") == ()


def test_a_folder_without_a_manifest_is_no_run(tmp_path):
    with pytest.raises(InputError, match=r"no manifest\.json"):
        open_run(tmp_path)


def test_a_broken_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json"):
        open_run(tmp_path)


def test_settings_are_found_by_their_path(run):
    assert open_run(run).setting("measure", "memorization", "min_lines") == 6
    assert open_run(run).setting("measure", "pass_at_k", "n") is None
