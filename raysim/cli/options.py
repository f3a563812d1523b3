"""Options and arguments that commands share; places to write to are looked at before the work that fills them."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import click
import typer

from raysim.core.errors import InputError


def new_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuses a file that could not be written, before the work that it is to hold."""
    if path is None or str(path) == "-":
        return path
    given = f"{_name(context, parameter)} {path}"
    if path.is_dir():
        raise InputError(f"{given}: is a folder; name a file")
    if not (folder := path.absolute().parent).is_dir():
        raise InputError(f"{given}: {folder} is no folder that is there; make it, or name another")
    _require_writable(given, path if path.exists() else folder)
    return path


def new_folder(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuses a folder that could not be made or written, before the work that it is to hold."""
    if path is not None:
        given = f"{_name(context, parameter)} {path}"
        there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
        if not there.is_dir():
            raise InputError(f"{given}: {there} is a file; name another place")
        _require_writable(given, there)
    return path


def typed_command() -> str:
    """This command as it was typed, for a shell."""
    return shlex.join(["raysim", *sys.argv[1:]])


def _require_writable(given: str, there: Path) -> None:
    if not os.access(there, os.W_OK):
        raise InputError(f"{given}: this user may not write to {there}; name another place")


def _name(context: click.Context, parameter: click.Parameter) -> str:
    return parameter.opts[0] if parameter.param_type_name == "option" else parameter.make_metavar(context)


ExperimentArgument = Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="A YAML file; see experiments/.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Run folder. Default: runs/NAME.")]
PlaceOption = Annotated[
    str | None, typer.Option("--out", metavar="PATH|URL", help="Run folder, also s3:// or gs://. Default: runs/NAME.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replaces results of another experiment in the run folder.")
]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Store of results. Default: OUT/store.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="Overrides one setting.")]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Of a Ray cluster, or auto. Default: RAY_ADDRESS, else a Ray of our own."),
]
LookAddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Of a Ray cluster, or auto, where organizations are asked. Default: here; as for run where they are pinned"
        " to nodes.",
    ),
]
StoreArgument = Annotated[Path, typer.Argument(metavar="PATH", help="A store, or the folder of a run.")]
CorpusOption = Annotated[
    list[str], typer.Option("--corpus", metavar="NAME=PATH", help="An owner and its code; again for more of either.")
]
OwnersOption = Annotated[
    list[str] | None, typer.Option("--corpus", metavar="NAME=PATH", help="An owner whose lines are looked for.")
]
ReferenceOption = Annotated[
    list[str] | None, typer.Option("--reference", metavar="PATH", help="Public code: what is there is nobody's.")
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
        callback=new_folder,
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
        callback=new_file,
    ),
]
HtmlFileOption = Annotated[Path | None, typer.Option("--html", metavar="OUT", help="Writes a page.", callback=new_file)]
SarifFileOption = Annotated[
    Path | None,
    typer.Option("--sarif", metavar="OUT", help="Writes findings as SARIF, for code hosts.", callback=new_file),
]
BaselineOption = Annotated[
    Path | None,
    typer.Option("--baseline", metavar="FILE", help="Known findings: only new ones count, and any of them fails."),
]
NewBaselineOption = Annotated[
    Path | None,
    typer.Option("--write-baseline", metavar="OUT", help="Writes down all findings as known.", callback=new_file),
]
FailOption = Annotated[
    float | None, typer.Option("--fail-over", min=0, max=1, help="Exit code 1 if a larger share of the lines matches.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Prints JSON.")]
