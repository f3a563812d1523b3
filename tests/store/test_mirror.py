"""A store and a run folder that are copied to another place, torn on the way, and go on elsewhere."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from raysim.core.errors import RunError
from raysim.core.keys import key_of
from raysim.core.remote_folder import RemoteFolder
from raysim.store.mirror import Mirror, mirrored
from raysim.store.store import Store


def recipe(number: int) -> dict[str, object]:
    return {"kind": "train", "version": 1, "number": number}


def put(folder: Path, number: int) -> str:
    arrays = {"weights": np.full(8, number, np.float32), "m": np.zeros(8, np.float32)}
    return Store(folder / "store").put(recipe(number), {}, arrays).key


def names(remote: RemoteFolder) -> set[str]:
    return {name for name, _ in remote.list()}


@pytest.fixture
def remote(tmp_path: Path) -> RemoteFolder:
    return RemoteFolder(f"file://{tmp_path}/there")


def test_a_store_goes_on_elsewhere(tmp_path: Path, remote: RemoteFolder) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    keys = [put(here, number) for number in range(3)]
    Store(here / "store").put_partial(recipe(9), 5, {}, {"weights": np.ones(8, np.float32)})
    (here / "manifest.json").write_text("{}")
    (here / ".lock").write_text("1")
    (here / ".secret").write_bytes(b"0" * 32)
    Mirror(here, remote).push()
    Mirror(elsewhere, remote).pull()
    store = Store(elsewhere / "store")
    assert sorted(store) == sorted(keys)
    for number, key in enumerate(keys):
        entry = store.get(key)
        assert entry is not None
        assert entry.array("weights").tolist() == [number] * 8
    checkpoint = store.get_partial(key_of(recipe(9)))
    assert checkpoint is not None
    assert checkpoint.array("weights").tolist() == [1] * 8
    assert not (elsewhere / ".lock").exists()
    assert (elsewhere / ".secret").stat().st_mode & 0o077 == 0


def test_only_what_is_new_goes_up(tmp_path: Path, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    here, sent = tmp_path / "here", list[str]()
    upload = RemoteFolder.upload

    def counted(self: RemoteFolder, path: Path, name: str) -> None:
        sent.append(name.rpartition("/")[2])
        upload(self, path, name)

    monkeypatch.setattr(RemoteFolder, "upload", counted)
    put(here, 1)
    mirror = Mirror(here, remote)
    mirror.pull()
    mirror.push()
    assert sent == ["weights.npy", "m.npy", "entry.json"]
    mirror.push()
    put(here, 2)
    mirror.push()
    assert sent[3:] == ["weights.npy", "m.npy", "entry.json"]
    again = Mirror(here, remote)  # as after a kill
    again.pull()
    again.push()
    assert len(sent) == 6


def test_a_torn_upload_is_never_taken_for_an_entry(tmp_path: Path, remote: RemoteFolder) -> None:
    """Whatever is the last file that went up: there is the whole entry elsewhere, or none, and none that is damaged."""
    here = tmp_path / "here"
    key = put(here, 1)
    order = ["weights.npy", "m.npy", "entry.json"]
    for last in range(4):
        torn = RemoteFolder(f"file://{tmp_path}/torn-{last}")
        place = f"store/objects/{key[:2]}/{key}"
        for name in order[:last]:
            torn.upload(here / place / name, f"{place}/{name}")
        elsewhere = tmp_path / f"elsewhere-{last}"
        Mirror(elsewhere, torn).pull()
        entry = Store(elsewhere / "store").get(key)
        assert (entry is not None) == (last == 3)
        assert put(elsewhere, 1) == key
        Mirror(elsewhere, torn).push()
        third = tmp_path / f"third-{last}"
        Mirror(third, torn).pull()
        assert Store(third / "store").get(key) is not None


def test_a_torn_download_is_never_taken_for_an_entry(
    tmp_path: Path, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    key = put(here, 1)
    Mirror(here, remote).push()
    download, left = RemoteFolder.download, [2]

    def broken(self: RemoteFolder, name: str, path: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RunError("gone")
        download(self, name, path)

    monkeypatch.setattr(RemoteFolder, "download", broken)
    with pytest.raises(RunError, match="gone"):
        Mirror(elsewhere, remote).pull()
    assert Store(elsewhere / "store").get(key) is None
    left[0] = 9
    Mirror(elsewhere, remote).pull()
    assert Store(elsewhere / "store").get(key) is not None


def test_what_is_evicted_goes_there_too(tmp_path: Path, remote: RemoteFolder) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    keys = [put(here, number) for number in range(2)]
    mirror = Mirror(here, remote)
    mirror.push()
    store = Store(here / "store")
    store.drop_arrays(keys[0])
    store.remove(keys[1])
    mirror.push()
    assert {name.rpartition("/")[2] for name in names(remote)} == {"entry.json"}
    Mirror(elsewhere, remote).pull()
    entry = Store(elsewhere / "store").get(keys[0])
    assert entry is not None
    assert entry.dropped == {"m.npy", "weights.npy"}
    put(here, 0)  # made again
    mirror.push()
    Mirror(elsewhere, remote).pull()
    shutil.rmtree(elsewhere)
    Mirror(elsewhere, remote).pull()
    entry = Store(elsewhere / "store").get(keys[0])
    assert entry is not None
    assert not entry.dropped


def test_what_this_machine_never_had_is_left_alone(tmp_path: Path, remote: RemoteFolder) -> None:
    note = tmp_path / "note"
    note.write_text("mine")
    remote.upload(note, "notes.txt")
    put(tmp_path / "here", 1)
    Mirror(tmp_path / "here", remote).push()
    assert "notes.txt" in names(remote)


def test_links_are_not_followed(tmp_path: Path, remote: RemoteFolder) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    Mirror(tmp_path / "here", remote).push()
    assert names(remote) == set()


def test_what_is_brought_is_said_before(tmp_path: Path, remote: RemoteFolder) -> None:
    notes: list[str] = []
    Mirror(tmp_path / "elsewhere", remote).pull(notes.append)
    assert notes == []
    put(tmp_path / "here", 1)
    Mirror(tmp_path / "here", remote).push()
    Mirror(tmp_path / "elsewhere", remote).pull(notes.append)
    Mirror(tmp_path / "elsewhere", remote).pull(notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("3 files, 0.0 MB, are brought from file://")


def test_the_longer_log_stays_and_other_files_are_taken_from_there(tmp_path: Path, remote: RemoteFolder) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("stages.jsonl", "manifest.json"):
        (here / name).write_text("there")
    Mirror(here, remote).push()
    for log, expected in (("here, longer", "here, longer"), ("here", "there")):
        (here / "stages.jsonl").write_text(log)
        (here / "manifest.json").write_text(log)
        Mirror(here, remote).pull()
        assert (here / "stages.jsonl").read_text() == expected
        assert (here / "manifest.json").read_text() == "there"


def test_names_from_there_stay_below_the_folder(
    tmp_path: Path, remote: RemoteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object store has no folders, so a name may be anything."""
    wrong = ["../x.npy", "/etc/x", "a//b", "a/../../x", ".lock", "a/.hidden/b", "a\\b"]
    monkeypatch.setattr(RemoteFolder, "list", lambda self: [(name, 1) for name in wrong])
    monkeypatch.setattr(RemoteFolder, "download", lambda self, name, path: pytest.fail(name))
    Mirror(tmp_path / "here", remote).pull()


def write_where_nothing_can_be(tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "there", ignore_errors=True)
    (tmp_path / "there").write_text("a file in its place")
    put(tmp_path / "here", 1)
    time.sleep(0.2)


def test_a_failure_is_noted_once_and_the_last_one_ends_the_run(tmp_path: Path, remote: RemoteFolder) -> None:
    notes: list[str] = []
    says = r"what is not there is in .*here, and the same command goes on from it"
    with pytest.raises(RunError, match=says), mirrored(tmp_path / "here", remote, notes.append, every_s=0.01):
        write_where_nothing_can_be(tmp_path)
    assert len(notes) == 1
    assert notes[0].endswith("; it is tried again")


def test_the_error_of_a_run_comes_out_though_the_last_copy_fails(tmp_path: Path, remote: RemoteFolder) -> None:
    notes: list[str] = []

    def interrupted() -> None:
        write_where_nothing_can_be(tmp_path)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), mirrored(tmp_path / "here", remote, notes.append):
        interrupted()
    assert len(notes) == 1
