"""Places that options name are looked at before the work that is to fill them."""

import os
import tempfile
from pathlib import Path

import pytest
from drive import raysim

OUTPUTS = {
    "scan": ["scan", "--generated", "nowhere", "--corpus", "a=nowhere"],
    "clones": ["clones", "--corpus", "a=nowhere"],
    "init": ["init", "--org", "a=nowhere"],
    "export-model": ["export-model", "nowhere", "0123"],
}


@pytest.mark.parametrize(
    ("command", "option"),
    [("scan", "--json"), ("scan", "--html"), ("clones", "--json"), ("clones", "--html"), ("init", "--file")],
)
def test_where_an_output_cannot_lie_is_said_before_the_work(tmp_path: Path, command: str, option: str) -> None:
    """Before what the command is to read is even looked for: that is nowhere, too."""
    (tmp_path / "file").touch()
    for place, told in {
        "no/dir/x": "no/dir is no folder that is there; make it",
        "file/x": "file is no folder that is there",
        "": "is a folder; name a file",
    }.items():
        ended = raysim(*OUTPUTS[command], option, tmp_path / place)
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"error: {option} {tmp_path / place}: ")
        assert told in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_where_a_folder_cannot_be_made_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    scan = ["clones", "--corpus", "a=nowhere", "--index"]
    csv = ["tables", "nowhere", "--csv"]
    for args, name in ((OUTPUTS["export-model"], "DIR"), (scan, "--index"), (csv, "--csv")):
        for place in (tmp_path / "file", tmp_path / "file" / "x" / "y"):
            ended = raysim(*args, place)
            assert (ended.returncode, ended.stderr) == (
                2,
                f"error: {name} {place}: {tmp_path / 'file'} is a file; name another place\n",
            )


def test_where_this_user_may_not_write_is_said_before_the_work() -> None:
    """A folder, and a file in it, of somebody else; and one that this user may not even look into."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        theirs, hidden = Path(folder) / "theirs", Path(folder) / "hidden"
        for path, mode in ((Path(folder), 0o755), (theirs, 0o555), (hidden, 0o000)):
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        become = "" if os.getuid() else "import os\nos.setgid(65534)\nos.setuid(65534)"
        for place in (theirs / "x", hidden / "x"):
            ended = raysim(*OUTPUTS["scan"], "--json", place, before=become)
            assert ended.returncode == 2
            (line,) = ended.stderr.splitlines()
            assert str(place) in line
            assert f"this user may not write to {theirs}" in line or "Permission denied; let this user" in line
