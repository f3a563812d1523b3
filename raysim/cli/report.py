"""The command `raysim report`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from raysim.cli.console import ERR, OUT, print_json, print_summary
from raysim.cli.options import JsonOption, new_folder
from raysim.core.errors import InputError


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

        print_json(summary(run_dir) | written)
    else:
        print_summary(run_dir)
        for name, found in written.items():
            OUT.print(f"{name}: {found}", markup=False, soft_wrap=True)


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
            ERR.print(f"bundle: {note}", markup=False, soft_wrap=True)
    return written
