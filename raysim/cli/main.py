"""The command line. Imports what a command needs only when it runs, so that help comes at once."""

import os
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import click
import typer
from rich.console import Console

from raysim import __version__
from raysim.core.errors import InputError, RaysimError, RenamedSetting, RunError, os_error, os_errors
from raysim.core.signals import call_on_interrupt

if TYPE_CHECKING:
    from raysim.experiment.run import Options
    from raysim.scan.command import Lexing, ScanFinding

app = typer.Typer(
    name="raysim",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Simulate collaborative training of code language models, and measure whose code they give away.",
)

store_app = typer.Typer(no_args_is_help=True, help="What lies in a store, which run needs it, and how to tidy it up.")
app.add_typer(store_app, name="store")

_TYPER_INTERRUPTED = 130
"""What typer makes of a Ctrl-C."""

_out = Console(highlight=False)
if not _out.is_terminal:
    _out.width = 100  # a file or a pipe has no width; tables need this much
_err = Console(stderr=True, highlight=False)


def _new_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuses a file that could not be written, before the work that it is to hold."""
    del context
    if path is None or str(path) == "-":
        return path
    if path.is_dir():
        raise InputError(f"{_name(parameter)} {path}: is a folder; name a file")
    if not (folder := path.absolute().parent).is_dir():
        raise InputError(f"{_name(parameter)} {path}: {folder} is no folder that is there; make it, or name another")
    _require_writable(parameter, path, path if path.exists() else folder)
    return path


def _new_folder(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuses a folder that could not be made or written, before the work that it is to hold."""
    del context
    if path is not None:
        there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
        if not there.is_dir():
            raise InputError(f"{_name(parameter)} {path}: {there} is a file; name another place")
        _require_writable(parameter, path, there)
    return path


def _require_writable(parameter: click.Parameter, path: Path, there: Path) -> None:
    if not os.access(there, os.W_OK):
        raise InputError(f"{_name(parameter)} {path}: this user may not write to {there}; name another place")


def _name(parameter: click.Parameter) -> str:
    return parameter.opts[0] if parameter.param_type_name == "option" else parameter.human_readable_name


ExperimentArgument = Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="A YAML file; see experiments/.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Run folder. Default: runs/NAME.")]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Store of results. Default: OUT/store.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Overrides one setting.")]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Of a Ray cluster, or auto. Default: RAY_ADDRESS, else a Ray of our own."),
]
StoreArgument = Annotated[Path, typer.Argument(metavar="PATH", help="A store, or the folder of a run.")]
CorpusOption = Annotated[
    list[str], typer.Option("--corpus", metavar="NAME=PATH", help="An owner and its code; again for more of either.")
]
MinLinesOption = Annotated[int, typer.Option("--min-lines", min=1, help="Significant lines of the shortest match.")]
TokensOption = Annotated[
    int | None, typer.Option("--min-tokens", min=1, help="Compares tokens instead of lines; 50 is usual.")
]
CommentsOption = Annotated[bool, typer.Option("--ignore-comments", help="Compares without comments (slow: a lexer).")]
BlindOption = Annotated[
    bool, typer.Option("--blind", help="Finds renamed copies: identifiers and literals count as equal (slow: a lexer).")
]
IndexOption = Annotated[
    Path | None,
    typer.Option(
        "--index",
        metavar="DIR",
        help="Keeps there what a lexer made of each file, for the next time.",
        callback=_new_folder,
    ),
]
IncludeOption = Annotated[
    list[str] | None, typer.Option("--include", metavar="GLOB", help="Files in folders. Default: **/*.py.")
]
ColumnOption = Annotated[str, typer.Option("--column", help="Of record files, that holds the code.")]
JsonFileOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="OUT",
        help="Writes all matches; - prints them.",
        allow_dash=True,
        callback=_new_file,
    ),
]
HtmlFileOption = Annotated[
    Path | None, typer.Option("--html", metavar="OUT", help="Writes a page.", callback=_new_file)
]
FailOption = Annotated[
    float | None, typer.Option("--fail-over", min=0, max=1, help="Exit code 1 if a larger share of the lines matches.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Prints JSON.")]


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
) -> None:
    """Runs an experiment, or its sweep; the same command again goes on where it stopped."""
    from raysim.cli.progress import ConsoleObserver
    from raysim.core.arrow import without_pandas
    from raysim.experiment.sweep import run as run_all
    from raysim.report.write import write_report

    without_pandas()
    options = _options(experiment, out, store, overrides, address)
    with ConsoleObserver(_out) as observer:
        outcome = run_all(options, observer, write_report)
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
    from raysim.cli.views import plan_view
    from raysim.experiment.sweep import plan as plan_all

    planned = plan_all(_options(experiment, out, store, overrides, None))
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
def report(run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Of a run or a sweep.")]) -> None:
    """Writes the report of a run or a sweep anew, from its results alone."""
    from raysim.report.write import write_report

    if not (run_dir / "manifest.json").is_file():
        raise InputError(
            f"{run_dir}: no run folder (it has no manifest.json); run `raysim run EXPERIMENT --out {run_dir}`"
        )
    write_report(run_dir)
    _print_summary(run_dir)


@app.command()
def verify(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a finished run.")],
    sample: Annotated[
        int | None, typer.Option(min=1, help="Pieces of work to make once more. Default: all of them.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Relative L2 distance let pass, for another kind of machine. 0: equal bits.")
    ] = 0.0,
    address: AddressOption = None,
) -> None:
    """Hashes every store entry, makes the work of a run once more and compares bits; repairs nothing."""
    from raysim.cli.progress import ConsoleObserver
    from raysim.cli.views import verification_view
    from raysim.experiment.verify import verify_run

    with ConsoleObserver(_out) as observer:
        found = verify_run(run_dir, sample, tolerance, address, observer)
    _out.print(verification_view(found.entries, found.made))


@app.command("export-model")
def export_model(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Of a run.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Of the model, or its beginning; see the table models.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", callback=_new_folder)],
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
    _present(finding, "scan", reader.unit, json_file, html_file, fail_over)


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
    _present(finding, "clones", reader.unit, json_file, html_file, fail_over)


@app.command()
def init(
    org: Annotated[list[str], typer.Option("--org", metavar="NAME=PATH", help="An organization and its code.")],
    file: Annotated[Path, typer.Option("--file", help="The file to write.", callback=_new_file)] = Path(
        "experiment.yaml"
    ),
) -> None:
    """Writes a commented experiment for your own data."""
    from raysim.cli.init import write_experiment

    write_experiment(file, org)
    _out.print(
        f"Wrote {file}. Next: raysim inspect {file}, then raysim plan {file}, then raysim run {file}.", soft_wrap=True
    )


@app.command()
def schema() -> None:
    """Prints the JSON schema of an experiment, by which editors complete and check a YAML file."""
    import json

    from raysim.experiment.schema import experiment_schema

    typer.echo(json.dumps(experiment_schema(), indent=1, ensure_ascii=False))


@app.command()
def doctor(as_json: JsonOption = False) -> None:
    """Says what is installed, which devices there are, and what will not work and why."""
    from raysim.cli.doctor import doctor_view, examine

    _print(examine(), doctor_view, as_json)


def _options(
    experiment: Path, out: Path | None, store: Path | None, overrides: list[str] | None, address: str | None
) -> "Options":
    from raysim.experiment.run import Options

    command = " ".join(["raysim", *sys.argv[1:]])
    return Options(experiment, out, store, tuple(overrides or ()), address, command)


def _lexing(index: Path | None) -> "Lexing":
    from raysim.scan.command import Lexing

    def display(num_files: int) -> AbstractContextManager[Callable[[int], None]]:
        from raysim.scan.progress import lexing_display

        return lexing_display(_err, num_files)

    return Lexing(index, display)


def _present(
    finding: "ScanFinding",
    command: str,
    unit: str,
    json_file: Path | None,
    html_file: Path | None,
    fail_over: float | None,
) -> None:
    """Shows what was found, writes what was asked for, and fails where that was asked for."""
    from raysim.scan.views import as_json, as_rows, clones_view, scan_view

    if json_file and str(json_file) == "-":
        typer.echo(as_json(finding.found))
    else:
        _out.print((scan_view if command == "scan" else clones_view)(finding, unit))
    if json_file and str(json_file) != "-":
        _write(json_file, as_json(finding.found) + "\n")
    if html_file:
        from raysim.report.scan_page import scan_page

        _write(html_file, scan_page(command, unit, finding.found, as_rows(finding.excerpts)))
    if fail_over is not None and finding.share > fail_over:
        _err.print(f"{finding.share:.2%} of the {unit} match, more than --fail-over {fail_over:.2%}", markup=False)
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
        import json

        typer.echo(json.dumps(value, indent=1))
    else:
        _out.print(view(value))


def _warn(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Shows a warning of ours in one line; it is about the experiment, not about a line of Python."""
    if issubclass(category, RenamedSetting):
        _err.print(f"warning: {message}", markup=False, soft_wrap=True)
    else:
        _show_warning(message, category, *where)


_show_warning = warnings.showwarning


def main() -> NoReturn:
    """Entry point of the console script: whatever ends a command becomes a readable line and an exit code."""
    warnings.showwarning = _warn
    code, signals = None, 0

    def stop() -> None:
        nonlocal signals
        signals += 1
        if code is not None or signals > 1:  # the outcome stands, or nobody wants to wait until all is tidy
            os._exit(RunError.exit_code if code is None else code)
        raise KeyboardInterrupt

    call_on_interrupt(stop)
    try:
        ended = _ended()
    except KeyboardInterrupt:
        ended = None
    if ended is None or signals:  # even where a library caught it
        _err.print("\nstopped; the same command goes on from here", markup=False)
        ended = RunError.exit_code
    code = ended
    raise SystemExit(code)


def _ended() -> int | None:
    """Runs the command line; the exit code, after a line for whatever went wrong. None: it was interrupted."""
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return InputError.exit_code
    except (SystemExit, BrokenPipeError):  # whoever reads has gone; libraries end with a code of their own then
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return RunError.exit_code
    except Exception as error:
        explained = _explained(error)
        _err.print("[red]error:[/red]", end=" ")
        _err.print(str(explained), markup=False, soft_wrap=True)
        return explained.exit_code
    return None if code == _TYPER_INTERRUPTED else code


def _explained(error: Exception) -> RaysimError:
    """An error for people. Of one that nobody has foreseen, a file has the traceback, if one can be written."""
    if isinstance(error, RaysimError):
        return error
    if isinstance(error, OSError):
        return os_error(error)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{frame.filename}:{frame.lineno}"
    with (
        suppress(OSError),
        tempfile.NamedTemporaryFile("w", prefix="raysim-", suffix=".txt", delete=False, errors="replace") as file,
    ):
        traceback.print_exception(error, file=file)
        place = file.name
    reason = " ".join(str(error).split())
    return RunError(f"a fault of raysim itself: {type(error).__name__}: {reason}; please report {place}")
