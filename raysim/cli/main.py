"""The command line. Imports what a command needs only when it runs, so that help comes at once."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console

from raysim import __version__
from raysim.cli.audit import audit
from raysim.cli.ending import run_command
from raysim.cli.options import (
    AddressOption,
    BlindOption,
    ColumnOption,
    CommentsOption,
    CorpusOption,
    ExperimentArgument,
    FailOption,
    HtmlFileOption,
    IncludeOption,
    IndexOption,
    JsonFileOption,
    JsonOption,
    MinLinesOption,
    OutOption,
    OverwriteOption,
    SetOption,
    StoreArgument,
    StoreOption,
    TokensOption,
    new_file,
    new_folder,
    typed_command,
)
from raysim.core.errors import Adjusted, InputError, RenamedSetting, os_errors

if TYPE_CHECKING:
    from raysim.experiment.run import Options
    from raysim.scan.command import Lexing, ScanFinding
    from raysim.scan.reading import Reader

app = typer.Typer(
    name="raysim",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Simulate collaborative training of code language models, and measure whose code they give away.",
)

store_app = typer.Typer(no_args_is_help=True, help="What lies in a store, which run needs it, and how to tidy it up.")
app.add_typer(store_app, name="store")

_out = Console(highlight=False)
if not _out.is_terminal:
    _out.width = 100  # a file or a pipe has no width; tables need this much
_err = Console(stderr=True, highlight=False)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Prints the version.")] = False) -> None:
    if version:
        _out.print(f"raysim {__version__}")
        raise typer.Exit


@app.command()
def run(
    experiment: ExperimentArgument,
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    address: AddressOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Runs an experiment, or its sweep; the same command again goes on where it stopped."""
    from raysim.cli.progress import ConsoleObserver
    from raysim.core.arrow import without_pandas
    from raysim.experiment.sweep import run as run_all
    from raysim.report.write import write_report

    without_pandas()
    options = replace(_options(experiment, out, store, overrides, address), overwrite=overwrite)
    with ConsoleObserver(_err if as_json else _out) as observer:
        outcome = run_all(options, observer, write_report)
    if as_json:
        from raysim.report.terminal import summary

        _print_json(summary(outcome.folder.path) | {"seconds": round(outcome.seconds, 1), "counts": outcome.counts})
        return
    _print_summary(outcome.folder.path)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(outcome.counts.items()))
    _out.print(f"[dim]{outcome.seconds:.0f} s; {counts}[/dim]", soft_wrap=True)


@app.command()
def plan(
    experiment: ExperimentArgument,
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Says what a run would do and cost, without training."""
    from raysim.analysis.detectable import plan_with_effects
    from raysim.cli.views import plan_view

    planned = plan_with_effects(_options(experiment, out, store, overrides, None))
    _print(planned, plan_view, as_json)


@app.command()
def inspect(
    experiment: ExperimentArgument,
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows what each organization keeps and drops, and why; sizes, licences, and who shares what with whom."""
    from raysim.cli.views import inspect_view
    from raysim.experiment.run import inspect_experiment

    inspected = inspect_experiment(_options(experiment, out, store, overrides, None))
    _print(inspected, inspect_view, as_json)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Of a run or a sweep, or a bundle.")],
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="Writes its figures there, SVG and PDF.", callback=new_folder),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="DIR|FILE.zip",
            help="Writes there what may be published of a run: tables, report, figures, methods.",
            callback=new_folder,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the report of a run or a sweep anew, from its results alone; its figures as files, a bundle to publish."""
    from raysim.report.write import write_report

    if not (run_dir / "manifest.json").is_file():
        raise InputError(
            f"{run_dir}: no run folder (it has no manifest.json); run `raysim run EXPERIMENT --out {run_dir}`"
        )
    _check_places(figures, bundle)
    write_report(run_dir)
    written = _publish(run_dir, figures, bundle)
    if as_json:
        from raysim.report.terminal import summary

        _print_json(summary(run_dir) | written)
    else:
        _print_summary(run_dir)
        for name, found in written.items():
            _out.print(f"{name}: {found}", markup=False, soft_wrap=True)


def _check_places(figures: Path | None, bundle: Path | None) -> None:
    """Refuses what could not be written, before the report is."""
    from raysim.report.bundle import check_target
    from raysim.report.figure_files import check_browser

    if figures:
        check_browser()
    if bundle:
        check_target(bundle)


def _publish(run_dir: Path, figures: Path | None, bundle: Path | None) -> dict[str, Any]:
    """Writes figures and bundle, where they are asked for: what was written where."""
    from raysim.report.bundle import write_bundle
    from raysim.report.figure_files import figures_of, write_figures

    written: dict[str, Any] = {}
    if figures:
        write_figures(figures_of(run_dir), figures)
        written["figures"] = str(figures)
    if bundle:
        made = write_bundle(run_dir, bundle)
        written["bundle"] = str(made.path)
        for note in made.notes:
            _err.print(f"bundle: {note}", markup=False, soft_wrap=True)
    return written


app.command()(audit)


@app.command()
def compare(
    run_dirs: Annotated[
        list[Path], typer.Argument(metavar="RUN_DIR...", help="Runs, or a sweep for its points; the first is the base.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Compares runs, or the points of a sweep, with the first: settings and findings, paired, with intervals."""
    from raysim.analysis.compared_runs import open_compared
    from raysim.analysis.comparison import comparison_table
    from raysim.cli.views import comparison_view

    _print(comparison_table(open_compared(run_dirs)).to_pylist(), comparison_view, as_json)


@app.command()
def tables(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Of a run or a sweep.")],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="DIR", help="Writes CSV files there.", callback=new_folder)
    ] = None,
    latex: Annotated[
        Path | None, typer.Option("--latex", metavar="DIR", help="Writes LaTeX tables there.", callback=new_folder)
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="TABLE", help="This table; again for more. Default: all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Lists the tables of a run with their meaning, or writes them as CSV or LaTeX."""
    from raysim.cli.views import tables_view
    from raysim.tables.export import export_tables, table_list
    from raysim.tables.results import open_run

    results = open_run(run_dir)
    written: list[Path] = []
    if csv:
        written += export_tables(results, csv, "csv", only or ())
    if latex:
        written += export_tables(results, latex, "tex", only or ())
    if not (csv or latex):
        _print(table_list(results), tables_view, as_json)
    elif as_json:
        _print_json([str(path) for path in written])
    else:
        _out.print(f"Wrote {len(written)} files to {' and '.join(str(f) for f in (csv, latex) if f)}.", soft_wrap=True)


@app.command()
def verify(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a finished run.")],
    sample: Annotated[
        int | None, typer.Option(min=1, help="Pieces of work to make once more, of each kind in turn. Default: all.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Relative L2 distance let pass, for another kind of machine. 0: equal bits.")
    ] = 0.0,
    address: AddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hashes every store entry, makes the work of a run once more and compares bits; repairs nothing."""
    from raysim.cli.progress import ConsoleObserver
    from raysim.cli.views import verification_view
    from raysim.experiment.verify import verify_run

    with ConsoleObserver(_err if as_json else _out) as observer:
        found = verify_run(run_dir, sample, tolerance, address, observer)
    if as_json:
        _print_json({"entries": found.entries, "made": dict(found.made), "problems": found.problems})
    found.check()
    if not as_json:
        _out.print(verification_view(found.entries, found.made))


@app.command("export-model")
def export_model(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Of a run.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Of the model, or its beginning; see the table models.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", callback=new_folder)],
) -> None:
    """Writes a model of a run as a Hugging Face folder, from its store alone."""
    from raysim.experiment.export import export_model as export

    whole = export(run_dir, key, target)
    _out.print(f"Wrote {whole} to {target}.", soft_wrap=True)


@store_app.command("show")
def store_show(path: StoreArgument, as_json: JsonOption = False) -> None:
    """Says what lies in a store, and which run needs it."""
    from raysim.cli.views import store_view
    from raysim.store.gc import store_usage

    _print(store_usage(path), store_view, as_json)


@store_app.command("gc")
def store_gc(
    path: StoreArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only says what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Removes what no run refers to any more."""
    from raysim.cli.views import garbage_view
    from raysim.store.gc import collect_garbage

    _print(collect_garbage(path, dry_run), garbage_view, as_json)


@app.command()
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


@app.command()
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


@app.command()
def init(
    org: Annotated[list[str], typer.Option("--org", metavar="NAME=PATH", help="An organization and its code.")],
    file: Annotated[Path, typer.Option("--file", help="The file to write.", callback=new_file)] = Path(
        "experiment.yaml"
    ),
    limit: Annotated[
        list[str] | None, typer.Option("--limit", metavar="[NAME=]SIZE", help="Code to keep, of one or of all: 40 KB.")
    ] = None,
    share: Annotated[
        list[str] | None,
        typer.Option("--share", metavar="[NAME=]WHAT", help="What one agrees to share, or all: data or weights."),
    ] = None,
    small: Annotated[bool, typer.Option("--small", help="A run of about ten minutes on two cores.")] = False,
) -> None:
    """Writes a commented experiment for your own data."""
    from raysim.cli.init import write_experiment

    write_experiment(file, org, limit or (), share or (), small)
    _out.print(
        f"Wrote {file}. Next: raysim inspect {file}, then raysim plan {file}, then raysim run {file}.", soft_wrap=True
    )


@app.command()
def settings(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="A setting or a group, as for --set.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Lists the settings of an experiment: type, default, meaning."""
    from raysim.cli.views import settings_view
    from raysim.experiment.reference import find_settings

    _print([setting.plain() for setting in find_settings(key)], settings_view, as_json)


@app.command()
def schema(
    of: Annotated[Literal["experiment", "audit"], typer.Option(help="audit: of what `raysim audit --json` prints.")] = (
        "experiment"
    ),
) -> None:
    """Prints the JSON schema of an experiment, by which editors complete and check a YAML file, or of an audit."""
    import json

    if of == "audit":
        from raysim.analysis.audit import AuditReport

        found = AuditReport.model_json_schema()
    else:
        from raysim.experiment.schema import experiment_schema

        found = experiment_schema()
    typer.echo(json.dumps(found, indent=1, ensure_ascii=False))


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Says what is installed, which devices there are, and what will not work and why."""
    from raysim.cli.doctor import doctor_view, examine

    _print(examine(), doctor_view, as_json)


def _options(
    experiment: Path, out: Path | None, store: Path | None, overrides: list[str] | None, address: str | None
) -> "Options":
    from raysim.experiment.run import Options

    return Options(experiment, out, store, tuple(overrides or ()), address, typed_command())


def _lexing(index: Path | None) -> "Lexing":
    from raysim.scan.command import Lexing

    def display(num_files: int) -> AbstractContextManager[Callable[[int], None]]:
        from raysim.scan.progress import lexing_display

        return lexing_display(_err, num_files)

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
            _err.print(f"Note: {sentence}.", markup=False, soft_wrap=True)
    else:
        _out.print((scan_view if command == "scan" else clones_view)(finding, unit))
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
        _err.print(f"{share:.2%} of the {unit} match, more than --fail-over {fail_over:.2%}", markup=False)
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    with os_errors(path):
        path.write_text(text, encoding="utf-8")


def _print_summary(run_dir: Path) -> None:
    from raysim.analysis.sweep import is_sweep
    from raysim.report.terminal import summary_table, sweep_summary

    _out.print(sweep_summary(run_dir) if is_sweep(run_dir) else summary_table(run_dir))


def _print(value: Any, view: Any, as_json: bool) -> None:
    if as_json:
        _print_json(value)
    else:
        _out.print(view(value))


def _print_json(value: Any) -> None:
    import json

    typer.echo(json.dumps(value, indent=1))


def _warn(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Shows a warning of ours in one line; it is about the experiment, not about a line of Python."""
    if issubclass(category, RenamedSetting | Adjusted):
        _err.print(f"warning: {message}", markup=False, soft_wrap=True)
    else:
        _show_warning(message, category, *where)


_show_warning = warnings.showwarning


def main() -> NoReturn:
    """Entry point of the console script."""
    warnings.showwarning = _warn
    run_command(app, _err)
