"""The commands `raysim scan`, `raysim clones` and `raysim check`."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysim import __version__
from raysim.cli.console import ERR, OUT
from raysim.cli.options import (
    BaselineOption,
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
    NewBaselineOption,
    OwnersOption,
    ReferenceOption,
    SarifFileOption,
    TokensOption,
    typed_command,
)
from raysim.core.errors import os_errors

if TYPE_CHECKING:
    from raysim.scan.code_findings import CodeFinding
    from raysim.scan.command import Lexing, ScanFinding
    from raysim.scan.reading import Reader


def scan(
    generated: Annotated[list[str], typer.Option("--generated", metavar="PATH", help="The code in question.")],
    corpora: CorpusOption,
    references: ReferenceOption = None,
    min_lines: MinLinesOption = 6,
    tokens: TokensOption = None,
    ignore_comments: CommentsOption = False,
    blind: BlindOption = False,
    index: IndexOption = None,
    include: IncludeOption = None,
    column: ColumnOption = "content",
    json_file: JsonFileOption = None,
    html_file: HtmlFileOption = None,
    sarif_file: SarifFileOption = None,
    baseline: BaselineOption = None,
    new_baseline: NewBaselineOption = None,
    fail_over: FailOption = None,
) -> None:
    """Says whose code other code repeats: every run of lines that occurs in somebody's files, and where."""
    from raysim.scan.baseline import read_baseline
    from raysim.scan.code_findings import COPIED, COPIED_ABOUT
    from raysim.scan.command import Input, run_scan
    from raysim.scan.reading import Reader

    reader = Reader("tokens" if tokens else "lines", ignore_comments, blind)
    where = Input(include, column)
    known = None if baseline is None else read_baseline(baseline)
    finding = run_scan(generated, corpora, references or (), where, tokens or min_lines, reader, _lexing(index))
    failed = _present(finding, "scan", reader, tokens or min_lines, json_file, html_file, fail_over)
    if sarif_file or baseline or new_baseline:
        found = finding.code_findings(reader.unit)
        failed |= present_findings(found, {COPIED: COPIED_ABOUT}, sarif_file, known, new_baseline)
    if failed:
        raise typer.Exit(1)


def check(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Generated code: folders, files, records.")],
    corpora: OwnersOption = None,
    references: ReferenceOption = None,
    min_lines: MinLinesOption = 6,
    include: IncludeOption = None,
    column: ColumnOption = "content",
    json_file: JsonFileOption = None,
    sarif_file: SarifFileOption = None,
    baseline: BaselineOption = None,
    new_baseline: NewBaselineOption = None,
) -> None:
    """Looks at generated code before it is used: does it parse, is it dangerous, whose lines does it repeat?"""
    from raysim.scan.baseline import new_findings, read_baseline
    from raysim.scan.check import check as check_code
    from raysim.scan.command import Input
    from raysim.scan.views import check_view, findings_json

    known = None if baseline is None else read_baseline(baseline)
    checked = check_code(paths, corpora or (), references or (), Input(include, column), min_lines)
    new = checked.findings if known is None else new_findings(checked.findings, known)
    if json_file and str(json_file) == "-":
        typer.echo(findings_json(new))
    else:
        OUT.print(check_view(new, checked.num_files), soft_wrap=True)
    if json_file and str(json_file) != "-":
        _write(json_file, findings_json(new) + "\n")
    present_findings(checked.findings, checked.rules, sarif_file, known, new_baseline)
    if new:
        raise typer.Exit(1)


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
    sarif_file: SarifFileOption = None,
    baseline: BaselineOption = None,
    new_baseline: NewBaselineOption = None,
    fail_over: FailOption = None,
) -> None:
    """Says who has which code in common with whom, before any training."""
    from raysim.scan.baseline import read_baseline
    from raysim.scan.code_findings import COPIED, COPIED_ABOUT
    from raysim.scan.command import Input, run_clones
    from raysim.scan.reading import Reader

    reader = Reader("tokens" if tokens else "lines", ignore_comments, blind)
    where = Input(include, column)
    known = None if baseline is None else read_baseline(baseline)
    finding = run_clones(corpora, where, tokens or min_lines, reader, _lexing(index))
    failed = _present(finding, "clones", reader, tokens or min_lines, json_file, html_file, fail_over)
    if sarif_file or baseline or new_baseline:
        found = finding.code_findings(reader.unit)
        failed |= present_findings(found, {COPIED: COPIED_ABOUT}, sarif_file, known, new_baseline)
    if failed:
        raise typer.Exit(1)


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
) -> bool:
    """Shows what was found, and writes what was asked for; whether more matches than was asked for."""
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
    return failed


def present_findings(
    findings: "Sequence[CodeFinding]",
    rules: Mapping[str, str],
    sarif_file: Path | None,
    known: "Counter[str] | None",
    new_baseline: Path | None,
) -> bool:
    """Writes findings where that was asked for; whether there is one that a baseline, `known`, does not know."""
    from raysim.scan.baseline import new_findings, write_baseline
    from raysim.scan.sarif import as_sarif

    if new_baseline:
        write_baseline(new_baseline, findings)
    new = findings if known is None else new_findings(findings, known)
    if sarif_file:
        _write(sarif_file, as_sarif(new, rules, __version__) + "\n")
    if known is None:
        return False
    ERR.print(f"{len(new):,} of {len(findings):,} findings are new", markup=False)
    return bool(new)


def _write(path: Path, text: str) -> None:
    with os_errors(path):
        path.write_text(text, encoding="utf-8")
