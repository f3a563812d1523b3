"""The command `raysim audit`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysim.cli.audit_views import audit_view
from raysim.cli.console import ERR, OUT
from raysim.cli.options import (
    AddressOption,
    JsonOption,
    OutOption,
    OverwriteOption,
    SetOption,
    StoreOption,
    typed_command,
)
from raysim.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from raysim.analysis.audit import AuditReport
    from raysim.experiment.audit import AuditRequest
    from raysim.experiment.run import Options

ModelOption = Annotated[Path, typer.Option("--model", metavar="HF_FOLDER", help="Weights, config and tokenizer.")]
CorpusOption = Annotated[
    list[str] | None,
    typer.Option("--corpus", metavar="NAME=PATH", help="An owner and code that the model may have been trained on."),
]
HeldOutOption = Annotated[
    list[str] | None,
    typer.Option("--held-out", metavar="NAME=PATH", help="Code of an owner that it was not trained on: the control."),
]
ReferenceOption = Annotated[
    list[str] | None, typer.Option("--reference", metavar="PATH", help="Public code, beside the standard library.")
]
LikeOption = Annotated[
    Path | None,
    typer.Option("--like", metavar="RUN", help="A run whose organizations, preparation, split and measures are taken."),
]


def audit(
    model: ModelOption,
    corpora: CorpusOption = None,
    held_out: HeldOutOption = None,
    references: ReferenceOption = None,
    like: LikeOption = None,
    out: OutOption = None,
    store: StoreOption = None,
    overrides: SetOption = None,
    address: AddressOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measures what a trained model gives away of code: the measuring half of a run, with a verdict for each owner."""
    from raysim.experiment.audit import AuditRequest
    from raysim.experiment.run import Options

    request = AuditRequest(
        model, named_paths(corpora or (), "--corpus"), named_paths(held_out or (), "--held-out"), references or (), like
    )
    options = Options({}, out, store, tuple(overrides or ()), address, typed_command(), overwrite=overwrite)
    found = perform_audit(request, options, ERR if as_json else OUT)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        OUT.print(audit_view(found))


def perform_audit(request: "AuditRequest", options: "Options", console: "Console") -> "AuditReport":
    """Measures the model and reaches the verdicts.

    Args:
        request: what is asked of which model.
        options: all but the experiment, which follows from the request.
        console: receives progress.

    Raises:
        InputError: something is wrong with the request or a setting; nothing was measured.
        RunError: it could not go on; the same call resumes it.
    """
    from raysim.analysis.audit import audit_report
    from raysim.analysis.results import RunResults
    from raysim.cli.progress import ConsoleObserver
    from raysim.core.errors import os_errors
    from raysim.experiment.audit import audit_experiment, planting_notes
    from raysim.experiment.sweep import run as run_all
    from raysim.report.write import write_report
    from raysim.tables.results import open_run

    experiment, base = audit_experiment(request)
    asked = replace(options, experiment=experiment, base=base)
    for note in planting_notes(request, asked.load()[0].experiment):
        console.print(note, markup=False, soft_wrap=True)
    with os_errors(), ConsoleObserver(console) as observer:
        outcome = run_all(asked, observer, write_report)
    return audit_report(RunResults(open_run(outcome.folder.path)), str(request.model))


def named_paths(given: Sequence[str], option: str) -> dict[str, str]:
    """Paths by the name before the first ``=``.

    Raises:
        InputError: one that is not ``NAME=PATH``, or a name that is there twice.
    """
    found: dict[str, str] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not (separator and name and path):
            raise InputError(f"{option} {text}: expected NAME=PATH, for example {option} acme=./code/acme")
        if name in found:
            raise InputError(f"{option} {text}: {name} is there twice; name a folder that holds both")
        found[name] = path
    return found
