"""How far lexers are is shown on a terminal alone."""

import io
from pathlib import Path

from rich.console import Console

from raysim.scan.command import Input, Lexing, run_clones
from raysim.scan.progress import lexing_display
from raysim.scan.reading import Reader


def shown(code: Path, terminal: bool, reader: Reader) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    lexing = Lexing(display=lambda num_files: lexing_display(console, num_files))
    run_clones([f"a={code}"], Input(None, "content"), 6, reader, lexing)
    return out.getvalue()


def test_a_terminal_sees_how_many_files_are_ready(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.py").write_text("x = 1\n")
    assert "3/3" in shown(tmp_path, True, Reader(blind=True))
    assert shown(tmp_path, False, Reader(blind=True)) == ""
    assert shown(tmp_path, True, Reader()) == ""
