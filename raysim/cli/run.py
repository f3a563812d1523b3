"""The commands that run experiments: `raysim run`, and `raysim mitigate`, which runs one with mitigations beside it."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysim.cli.console import ERR, OUT, print_json, print_summary
from raysim.cli.options import (
    AddressOption,
    ExperimentArgument,
    JsonOption,
    OverwriteOption,
    PlaceOption,
    SetOption,
    StoreOption,
    typed_command,
)
from raysim.core.errors import Adjusted, InputError
from raysim.core.remote_folder import is_url

if TYPE_CHECKING:
    from raysim.experiment.run import Options


def run(
    experiment: ExperimentArgument,
    out: PlaceOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    address: AddressOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Runs an experiment, or its sweep; the same command again goes on where it stopped."""
    from raysim.cli.progress import ConsoleObserver
    from raysim.cluster.jobs import is_passing
    from raysim.core.arrow import without_pandas
    from raysim.experiment.sweep import run as run_all
    from raysim.experiment.working_folder import working_folder
    from raysim.report.write import write_report

    without_pandas()
    if not (out and is_url(out)) and is_passing(Path(out or "")):
        warnings.warn(
            Adjusted("--out: results go to this job's own folder, which Ray removes; name another"), stacklevel=2
        )
    with ConsoleObserver(ERR if as_json else OUT) as observer, working_folder(out, store, observer.note) as folder:
        options = replace(options_of(experiment, folder, store, overrides, address), overwrite=overwrite)
        outcome = run_all(options, observer, write_report)
    if as_json:
        from raysim.report.terminal import summary

        print_json(summary(outcome.folder.path) | {"seconds": round(outcome.seconds, 1), "counts": outcome.counts})
        return
    print_summary(outcome.folder.path)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(outcome.counts.items()))
    OUT.print(f"[dim]{outcome.seconds:.0f} s; {counts}[/dim]", soft_wrap=True)


def mitigate(
    experiment: ExperimentArgument,
    mitigations: Annotated[
        str | None,
        typer.Option(
            "--with",
            metavar="A,B,...",
            help="Mitigations to compare, also with settings: 'goldfish: {k: 3}, dropout'. Default: the experiment's.",
        ),
    ] = None,
    out: PlaceOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    address: AddressOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Runs an experiment as it is and under each mitigation, and compares what they cost and spare."""
    from raysim.core.yaml_files import parse_yaml
    from raysim.experiment.config import load_experiment
    from raysim.mitigations.registry import summaries

    given = list(overrides or ())
    if mitigations:
        given.append(f"mitigations={json.dumps(parse_yaml(f'[{mitigations}]', f'--with {mitigations}'))}")
    elif not load_experiment(experiment, given).experiment.mitigations:
        known = "; ".join(f"{name}: {summary}" for name, summary in summaries().items())
        raise InputError(f"{experiment}: names no mitigations; add --with NAME,NAME, of these: {known}")
    run(experiment, out, store, given, address, overwrite, as_json)


def options_of(
    experiment: Path, out: Path | None, store: Path | None, overrides: list[str] | None, address: str | None
) -> "Options":
    """What the command line says of a run."""
    from raysim.experiment.run import Options

    return Options(experiment, out, store, tuple(overrides or ()), address, typed_command())
