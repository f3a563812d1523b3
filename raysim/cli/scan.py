"""The commands `raysim scan` and `raysim clones`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysim import __version__
from raysim.cli.console import ERR, OUT
from raysim.cli.options import (
    BlindOption,
    ColumnOption,
    CommentsOption,
    CorpusOption,
    FailOption,
    HtmlFileOption,
    IncludeOption,
    IndexOption,
    JsonFileOption,
    MinLinesOption,
    TokensOption,
    typed_command,
)
from raysim.core.errors import os_errors

if TYPE_CHECKING:
    from raysim.scan.command import Lexing, ScanFinding
    from raysim.scan.reading import Reader


def scan(
    generated: Annotated[list[str], typer.Option("--generated", metavar="PATH", help="The code in question.")],
    corpora: CorpusOption,
    references: Annotated[
        list[str] | None,
        typer.Option("--reference", metavar="PATH", help="Public code: what is there is nobody's."),
    ] = None,
    min_lines: MinLinesOption = 6,
    tokens: TokensOption = None,
    ignore_comments: CommentsOption = False,
    blind: BlindOption = False,
    index: IndexOption = None,
    include: IncludeOption = None,
    column: ColumnOption = "content",
    json_file: JsonFileOption = None,
    html_file: HtmlFileOption = None,
    fail_over: FailOption = None,
) -> None:
    """Says whose code other code repeats: every run of lines that occurs in somebody's files, and where."""
    from raysim.scan.command import Input, run_scan
    from raysim.scan.reading import Reader

    reader = Reader("tokens" if tokens else "lines", ignore_comments, blind)
    where = Input(include, column)
    finding = run_scan(generated, corpora, references or (), where, tokens or min_lines, reader, _lexing(index))
    _present(finding, "scan", reader, tokens or min_lines, json_file, html_file, fail_over)


def clones(
    corpora: CorpusOption,
    min_lines: MinLinesOption = 6,
    tokens: TokensOption = None,
    ignore_comments: CommentsOption = False,
    blind: BlindOption = False,
    index: IndexOption = None,
    include: IncludeOption = None,
    column: ColumnOption = "content",
    json_file: JsonFileOption = None,
    html_file: HtmlFileOption = None,
    fail_over: FailOption = None,
) -> None:
    """Says who has which code in common with whom, before any training."""
    from raysim.scan.command import Input, run_clones
    from raysim.scan.reading import Reader

    reader = Reader("tokens" if tokens else "lines", ignore_comments, blind)
    where = Input(include, column)
    finding = run_clones(corpora, where, tokens or min_lines, reader, _lexing(index))
    _present(finding, "clones", reader, tokens or min_lines, json_file, html_file, fail_over)


def _lexing(index: Path | None) -> "Lexing":
    from raysim.scan.command import Lexing

    def display(num_files: int) -> AbstractContextManager[Callable[[int], None]]:
        from raysim.scan.progress import lexing_display

        return lexing_display(ERR, num_files)

    return Lexing(index, display)


def _present(
    finding: "ScanFinding",
    command: str,
    reader: "Reader",
    shortest: int,
    json_file: Path | None,
    html_file: Path | None,
    fail_over: float | None,
) -> None:
    """Shows what was found, writes what was asked for, and fails where that was asked for."""
    from raysim.scan.views import as_json, as_rows, clones_view, scan_view

    unit, share = reader.unit, finding.share
    failed = fail_over is not None and share > fail_over
    if json_file and str(json_file) == "-":
        typer.echo(as_json(finding.found))
        for sentence in finding.notes:
            ERR.print(f"Note: {sentence}.", markup=False, soft_wrap=True)
    else:
        OUT.print((scan_view if command == "scan" else clones_view)(finding, unit))
    if json_file and str(json_file) != "-":
        _write(json_file, as_json(finding.found) + "\n")
    if html_file:
        from raysim.core.run_folder import now
        from raysim.report.scan_page import scan_page

        threshold = "none given (--fail-over)" if fail_over is None else f"{fail_over:.2%} (--fail-over)"
        verdict = "no threshold was given" if fail_over is None else "failed" if failed else "passed"
        facts = {
            "Made": f"{now()}, by raysim {__version__}",
            "Command": typed_command(),
            "Compared": f"{shortest} {unit} and more in a row{reader.describe()}",
            "Threshold": threshold,
            "Verdict": f"{verdict}: {share:.2%} of the {unit} match",
        }
        _write(html_file, scan_page(command, unit, finding.found, as_rows(finding.excerpts), facts))
    if failed:
        ERR.print(f"{share:.2%} of the {unit} match, more than --fail-over {fail_over:.2%}", markup=False)
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    with os_errors(path):
        path.write_text(text, encoding="utf-8")
