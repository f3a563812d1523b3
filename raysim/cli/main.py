"""The command line. Imports what a command needs only when it runs, so that help comes at once."""

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from raysim import __version__
from raysim.cli.audit import audit
from raysim.cli.console import ERR, OUT, print_json, print_value
from raysim.cli.ending import run_command
from raysim.cli.jobs import attach, fetch, jobs, stop, submit
from raysim.cli.options import (
    AddressOption,
    ExperimentArgument,
    JsonOption,
    LookAddressOption,
    OutOption,
    SetOption,
    StoreArgument,
    StoreOption,
    new_file,
    new_folder,
)
from raysim.cli.report import report
from raysim.cli.run import mitigate, options_of, run
from raysim.cli.scan import check, clones, scan
from raysim.cli.watch import watch
from raysim.core.errors import Adjusted, RenamedSetting

app = typer.Typer(
    name="raysim",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Simulate collaborative training of code language models, and measure whose code they give away.",
)

store_app = typer.Typer(no_args_is_help=True, help="What lies in a store, which run needs it, and how to tidy it up.")
app.add_typer(store_app, name="store")


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Prints the version.")] = False) -> None:
    if version:
        OUT.print(f"raysim {__version__}")
        raise typer.Exit


app.command()(run)


@app.command()
def plan(
    experiment: ExperimentArgument,
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    address: LookAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Says what a run would do and cost, without training."""
    from raysim.analysis.detectable import plan_with_effects
    from raysim.cli.views import plan_view

    planned = plan_with_effects(options_of(experiment, out, store, overrides, address))
    print_value(planned, plan_view, as_json)


@app.command()
def inspect(
    experiment: ExperimentArgument,
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    address: LookAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows what each organization keeps and drops, and why; sizes, licences, and who shares what with whom."""
    from raysim.cli.views import inspect_view
    from raysim.experiment.preview import inspect_experiment

    inspected = inspect_experiment(options_of(experiment, out, store, overrides, address))
    print_value(inspected, inspect_view, as_json)


for command in (mitigate, watch, report, audit, scan, clones, check, submit, jobs, attach, stop, fetch):
    app.command()(command)


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

    print_value(comparison_table(open_compared(run_dirs)).to_pylist(), comparison_view, as_json)


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
        print_value(table_list(results), tables_view, as_json)
    elif as_json:
        print_json([str(path) for path in written])
    else:
        OUT.print(f"Wrote {len(written)} files to {' and '.join(str(f) for f in (csv, latex) if f)}.", soft_wrap=True)


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

    with ConsoleObserver(ERR if as_json else OUT) as observer:
        found = verify_run(run_dir, sample, tolerance, address, observer)
    if as_json:
        print_json({"entries": found.entries, "made": dict(found.made), "problems": found.problems})
    found.check()
    if not as_json:
        OUT.print(verification_view(found.entries, found.made))


@app.command("export-model")
def export_model(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Of a run.")],
    key: Annotated[str, typer.Argument(metavar="KEY", help="Of the model, or its beginning; see the table models.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", callback=new_folder)],
) -> None:
    """Writes a model of a run as a Hugging Face folder with its card, from its store and tables alone."""
    from raysim.experiment.export import export_model as export
    from raysim.report.cards.model_card import write_model_card

    whole = export(run_dir, key, target)
    write_model_card(run_dir, whole, target)
    OUT.print(f"Wrote {whole} to {target}.", soft_wrap=True)


@store_app.command("show")
def store_show(path: StoreArgument, as_json: JsonOption = False) -> None:
    """Says what lies in a store, and which run needs it."""
    from raysim.cli.views import store_view
    from raysim.store.gc import store_usage

    print_value(store_usage(path), store_view, as_json)


@store_app.command("gc")
def store_gc(
    path: StoreArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only says what would go.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Removes what no run refers to any more."""
    from raysim.cli.views import garbage_view
    from raysim.store.gc import collect_garbage

    print_value(collect_garbage(path, dry_run), garbage_view, as_json)


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
    OUT.print(
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

    print_value([setting.plain() for setting in find_settings(key)], settings_view, as_json)


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

    print_value(examine(), doctor_view, as_json)


def _warn(message: Warning | str, category: type[Warning], *where: Any) -> None:
    """Shows a warning of ours in one line; it is about the experiment, not about a line of Python."""
    if issubclass(category, RenamedSetting | Adjusted):
        ERR.print(f"warning: {message}", markup=False, soft_wrap=True)
    else:
        _show_warning(message, category, *where)


_show_warning = warnings.showwarning


def main() -> NoReturn:
    """Entry point of the console script."""
    warnings.showwarning = _warn
    run_command(app, ERR)
