"""The command line itself: how fast it answers, and what becomes of errors."""

import os
import tempfile
import time
from pathlib import Path

import pytest
from drive import Driver, raysim, raysim_anew

from raysim import __version__


def test_help_comes_within_a_second() -> None:
    fastest_s = 60.0
    for _ in range(3):
        started_s = time.monotonic()
        assert raysim_anew("--help").returncode == 0
        fastest_s = min(fastest_s, time.monotonic() - started_s)
    assert fastest_s < 1


def test_report_of_no_run(tmp_path: Path) -> None:
    ended = raysim("report", tmp_path)
    assert (ended.returncode, "no run folder" in ended.stderr) == (2, True)


def test_missing_file(tmp_path: Path) -> None:
    ended = raysim("run", tmp_path / "none.yaml")
    assert (ended.returncode, "no such file" in ended.stderr) == (2, True)


def test_the_version_is_that_of_the_package() -> None:
    assert raysim("--version").stdout == f"raysim {__version__}\n"


@pytest.mark.parametrize(("args", "said"), [(("plam",), "plam"), (("report", "x", "--jsn"), "--jsn")], ids=str)
def test_what_there_is_not_is_named(args: tuple[str, ...], said: str) -> None:
    ended = raysim(*args)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_no_command_shows_all_of_them() -> None:
    shown = raysim().stdout
    assert all(
        name in shown for name in ("run", "plan", "inspect", "verify", "export-model", "scan", "doctor", "store")
    )


def test_scanned_lines_over_the_limit_fail(tmp_path: Path) -> None:
    """Of eight lines all are somebody's: more than half of them, not more than all."""
    text = "".join(f"line_{number} = {number}\n" for number in range(8))
    for folder in ("theirs", "generated"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text(text)
    args = ["scan", "--generated", tmp_path / "generated", "--corpus", f"them={tmp_path / 'theirs'}", "--fail-over"]
    over = raysim(*args, "0.5")
    assert (over.returncode, over.stderr) == (1, "100.00% of the lines match, more than --fail-over 50.00%\n")
    assert raysim(*args, "1.0").returncode == 0


@pytest.mark.parametrize("args", [["-h"], ["scan", "-h"], ["store", "gc", "-h"]], ids=str)
def test_short_help(args: list[str]) -> None:
    shown = raysim(*args)
    assert (shown.returncode, shown.stdout) == (0, raysim(*args[:-1], "--help").stdout)
    assert "Usage" in shown.stdout


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
    for args, name in ((OUTPUTS["export-model"], "DIR"), (scan, "--index")):
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


def test_a_reader_that_goes_early_ends_a_command_quietly(tmp_path: Path) -> None:
    """As ``| head`` does; through typer, rich and a write of our own, of which two would end with 1."""
    text = "".join(f"line_{number} = {number}\n" for number in range(9))
    for folder in ("theirs", "generated"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text(text)
    scan = ["scan", "--generated", tmp_path / "generated", "--corpus", f"them={tmp_path / 'theirs'}"]
    for args in (scan, [*scan, "--json", "-"], ["schema"], ["-h"]):
        reader, writer = os.pipe()
        os.close(reader)
        with tempfile.TemporaryFile("w+") as err:
            driver = Driver(tuple(args), writer, err.fileno())
            os.close(writer)
            assert driver.wait() == 3, args
            err.seek(0)
            assert err.read() == "", args


def test_output_that_has_no_room_is_an_error(tmp_path: Path) -> None:
    for args in (["schema"], ["doctor", "--json"], ["--version"]):
        with open("/dev/full", "w") as full, tempfile.TemporaryFile("w+") as err:
            driver = Driver(tuple(args), full.fileno(), err.fileno())
            assert driver.wait() == 3, args
            err.seek(0)
            assert err.read() == "error: No space left on device; free some room, then run the same command again\n"


def test_what_nobody_foresaw_is_a_line_and_a_file(tmp_path: Path) -> None:
    wrong = "import raysim.cli.doctor as doctor\ndoctor.examine = lambda: {}['a\\nb']"
    ended = raysim("doctor", before=f"import tempfile\ntempfile.tempdir = {str(tmp_path)!r}\n{wrong}")
    assert ended.returncode == 3
    (file,) = tmp_path.glob("raysim-*.txt")
    assert ended.stderr == f"error: a fault of raysim itself: KeyError: 'a\\nb'; please report {file}\n"
    assert file.read_text().startswith("Traceback")


def test_a_signal_that_a_library_catches_is_not_lost() -> None:
    """Whatever the command has become, its exit code is that of an interrupted one."""
    for name in ("SIGINT", "SIGTERM"):
        code = f"""
import os, signal
import raysim.cli.doctor as doctor
def examine():
    try:
        os.kill(os.getpid(), signal.{name})
        signal.pause()
    except:
        return {{}}
doctor.examine = examine
doctor.doctor_view = str
"""
        ended = raysim("doctor", before=code)
        assert (ended.returncode, ended.stderr) == (3, "\nstopped; the same command goes on from here\n"), name
