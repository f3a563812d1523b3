"""Whatever ends a command is one line and an exit code."""

import os
import tempfile
from pathlib import Path

from drive import Driver, raysim


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
