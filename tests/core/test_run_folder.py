import json

import pytest

from raysim.core.errors import InputError
from raysim.core.run_folder import RunFolder


def test_a_manifest_keeps_when_its_run_was_created(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_manifest(name="one", created="2026-01-02T03:04:05Z", finished=None)
    created = folder.read_manifest()["created"]
    assert not folder.is_finished()
    folder.write_manifest(name="two", finished="now")
    assert (folder.read_manifest()["name"], folder.read_manifest()["created"]) == ("two", created)
    assert folder.is_finished()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read .*nested more than 100 levels"),
        ("[]", "expected a JSON object"),
        ('{"store": 7}', "names a store or points that are none"),
        ('{"store": "a\\u0000b"}', "names a store or points that are none"),
        ('{"points": [{"name": "p", "folder": "../p"}]}', "names a store or points that are none"),
        ('{"points": [{"name": "p", "folder": "/p"}]}', "names a store or points that are none"),
        ('{"points": [{"name": "p"}]}', "names a store or points that are none"),
        ('{"points": 7}', "names a store or points that are none"),
    ],
)
def test_a_broken_manifest_is_named(tmp_path, text, words):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=words):
        RunFolder(tmp_path).read_manifest()


def test_a_folder_without_a_manifest_says_how_to_make_one(tmp_path):
    with pytest.raises(InputError, match=r"no run folder \(it has no manifest\.json\); give the --out folder"):
        RunFolder(tmp_path).read_manifest()
    assert not RunFolder(tmp_path).is_finished()


def test_a_store_elsewhere_is_found_again_after_both_have_moved(tmp_path):
    (tmp_path / "a" / "run").mkdir(parents=True)
    (tmp_path / "a" / "store").mkdir()
    folder = RunFolder(tmp_path / "a" / "run", tmp_path / "a" / "store")
    folder.write_manifest(store=folder.store_for_manifest())
    (tmp_path / "a").rename(tmp_path / "b")
    assert RunFolder.reopen(tmp_path / "b" / "run").store == (tmp_path / "b" / "store").resolve()
    assert json.loads((tmp_path / "b/run/manifest.json").read_text())["store"] == "../store"


def test_a_store_that_is_gone_is_said(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_manifest(store=folder.store_for_manifest())
    with pytest.raises(InputError, match="its store is not at"):
        RunFolder.reopen(tmp_path)


def test_one_run_at_a_time_works_in_a_folder(tmp_path):
    with (
        RunFolder(tmp_path / "run").locked(),
        pytest.raises(InputError, match="another raysim run"),
        RunFolder(tmp_path / "run").locked(),
    ):
        pass
