"""The command `raysim audit`, and how its verdicts look in a terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysim.cli.options import AddressOption, JsonOption, OutOption, SetOption, StoreOption
from raysim.core.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from raysim.analysis.audit import AuditReport

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
    as_json: JsonOption = False,
) -> None:
    """Measures what a trained model gives away of code: the measuring half of a run, with a verdict for each owner."""
    from rich.console import Console

    from raysim import audit as audit_model

    out_console = Console(highlight=False)
    found = audit_model(
        model,
        named_paths(corpora or (), "--corpus"),
        held_out=named_paths(held_out or (), "--held-out"),
        references=references or (),
        like=like,
        out=out,
        store=store,
        overrides=overrides or (),
        address=address,
        progress=not as_json,
    )
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        out_console.print(audit_view(found))


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


def audit_view(found: "AuditReport") -> "RenderableType":
    """A row an owner, and where tables and report are."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("owner", "verdict", "lines a prompt", "of its prompts", "of held-out ones", "membership"):
        table.add_column(column, overflow="fold")
    for corpus in found.corpora:
        membership = corpus.membership
        table.add_row(
            corpus.organization,
            f"{corpus.verdict}: {corpus.why}" if corpus.why else corpus.verdict,
            "–" if corpus.lines is None else f"{corpus.lines:.2f}",
            _share(corpus.leaking),
            _share(corpus.control),
            "not measured" if membership is None else f"{membership.verdict} {membership.why}".strip(),
        )
    return Group(table, Text(""), Text(f"Tables and report: {found.folder}", no_wrap=True, overflow="ignore"))


def _share(share: object) -> str:
    from raysim.analysis.audit import Share

    if not isinstance(share, Share):
        return "–"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"
