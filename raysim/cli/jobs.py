"""The commands for jobs on a cluster: `raysim submit`, `jobs`, `attach`, `stop` and `fetch`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysim.cli.console import ERR, OUT, print_value, size_text
from raysim.cli.options import ExperimentArgument, JsonOption, OverwriteOption, SetOption, new_folder
from raysim.core.errors import InputError, RunError
from raysim.core.remote_folder import is_url

if TYPE_CHECKING:
    from raysim.cluster.jobs import JobServer
    from raysim.experiment.job_package import PreparedJob

ServerOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="http://HEAD:8265",
        help="Of the head's job server. Default: RAY_API_SERVER_ADDRESS, else RAY_ADDRESS.",
    ),
]
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Its name, as `raysim jobs` shows it.")]


def submit(
    experiment: ExperimentArgument,
    out: Annotated[str, typer.Option("--out", help="Run folder, on a disk that the cluster shares, or a URL.")],
    address: ServerOption = None,
    store: Annotated[str | None, typer.Option("--store", help="Store, likewise. Default: OUT/store.")] = None,
    overrides: SetOption = None,
    overwrite: OverwriteOption = False,
    detach: Annotated[bool, typer.Option("--detach", help="Prints the job's name and leaves it at work.")] = False,
) -> None:
    """Runs an experiment as a job of a cluster and shows its progress; submitted again, it is followed or goes on."""
    from raysim.cluster.jobs import next_attempt
    from raysim.experiment.job_package import prepare_job
    from raysim.experiment.run import Options

    if is_url(out) and store:
        raise InputError("--store: a run whose --out is a URL has its store there; leave it out")
    place = out if is_url(out) else str(_on_cluster(out))
    shared = _on_cluster(store) if store else None
    job = prepare_job(Options(experiment, None, shared, tuple(overrides or ()), overwrite=overwrite), place)
    server = _server(address)
    name, is_new = next_attempt(job.name, server.jobs())
    if is_new:
        is_new = _submit(server, name, job)
    _say(f"{name} is submitted to {server.place.address}" if is_new else f"{name} is at work already")
    if detach:
        _say(f"To follow it: raysim attach {name} --address {server.place.address}")
        typer.echo(name)
    else:
        _follow(server, name)


def jobs(address: ServerOption = None, as_json: JsonOption = False) -> None:
    """Lists the jobs that were submitted to a cluster with raysim."""
    from dataclasses import asdict

    from raysim.cli.job_views import jobs_view

    found = [asdict(job) for job in _server(address).jobs().values() if "experiment" in job.about]
    print_value(found, jobs_view, as_json)


def attach(name: JobArgument, address: ServerOption = None) -> None:
    """Shows what a job has said and says, until it ends; the exit code is the job's."""
    _follow(_server(address), name)


def stop(name: JobArgument, address: ServerOption = None) -> None:
    """Has a job end; submitted again, it goes on from what was finished."""
    ended = _server(address).stop(name)
    _say(f"{name} is stopped; submitted again, it goes on from what was finished" if ended else f"{name} has ended")


def fetch(
    source: Annotated[str, typer.Argument(metavar="URL|FOLDER", help="Of a run or a sweep: s3://, gs://, a folder.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write.", callback=new_folder)],
) -> None:
    """Brings tables and report of a run from where a job has written them; not its store."""
    from raysim.experiment.fetch import fetch_results

    fetched = fetch_results(source, target)
    OUT.print(f"{target}: {fetched.files} files, {size_text(fetched.num_bytes)}.", markup=False, soft_wrap=True)


def _server(address: str | None) -> "JobServer":
    from raysim.cluster.jobs import JobServer, server_address

    return JobServer(server_address(address))


def _submit(server: "JobServer", name: str, job: "PreparedJob") -> bool:
    import tempfile

    _say("Asking the cluster for its raysim")
    brings = not server.has_our_raysim()
    with tempfile.TemporaryDirectory(prefix="raysim-") as folder:
        package = Path(folder, f"{name}.zip")
        job.write(package, brings)
        own = "raysim itself, of which the cluster has none or another" if brings else "not raysim, which is there"
        size = size_text(package.stat().st_size)
        _say(f"The package has {size}: {len(job.files)} files of the experiment, and {own}")
        return server.submit(name, job.command, package, job.about)


def _follow(server: "JobServer", name: str) -> None:
    from raysim.core.event_loop import run_coroutine

    try:
        job = run_coroutine(server.follow(name, _write, _say))
    except KeyboardInterrupt:
        at = f"{name} --address {server.place.address}"
        _say(f"\n{name} goes on; raysim attach {at} follows it again, raysim stop {at} ends it")
        raise typer.Exit(RunError.exit_code) from None
    if code := job.check():
        raise typer.Exit(code)


def _on_cluster(given: str) -> Path:
    """A folder of the cluster's; a relative path starts from the current folder, as it does for `raysim run`."""
    return Path(given).expanduser().absolute()


def _write(text: str) -> None:
    typer.echo(text, nl=False)


def _say(text: str) -> None:
    ERR.print(text, markup=False, soft_wrap=True)
