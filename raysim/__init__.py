"""raysim: simulate collaborative training of code language models on Ray, and measure what it gives away.

In a script or a notebook, one call runs an experiment and returns its tables::

    import raysim

    results = raysim.run("experiment.yaml", out="runs/first", overrides=["trainer.epochs=2"])
    results                             # in a notebook: what was run, how many models, where the report is
    results.tables                      # the tables that were written, for example ['models', 'losses', 'samples']
    results.samples.to_pandas()         # each is a pyarrow.Table; raysim.open_results("runs/first") opens them again

Instead of a file, `experiment` may be a dict with the same structure, for example one of a loop over settings; its
relative paths start from the current folder. `raysim.plan(experiment)` says what a run would train and cost, without
training. Progress appears below the cell. Interrupting the kernel (or Ctrl-C) ends a run; the same call goes on where
it stopped, and a call for a finished run computes nothing. Whatever is wrong with an experiment is a
`raysim.InputError` that names the setting; all errors that are raised on purpose are a `raysim.RaysimError`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysim.analysis.audit import AuditReport
    from raysim.core.errors import InputError, RaysimError, RunError
    from raysim.experiment.config import LoadedExperiment
    from raysim.experiment.run import Options
    from raysim.measures.base import Measure
    from raysim.mitigations.base import Mitigation
    from raysim.simulation.strategy import Strategy
    from raysim.tables.results import Results

__version__ = "0.1.0"

__all__ = [
    "InputError",
    "LoadedExperiment",
    "Measure",
    "Mitigation",
    "RaysimError",
    "Results",
    "RunError",
    "Strategy",
    "audit",
    "load_experiment",
    "open_results",
    "plan",
    "run",
]

_HOMES = {
    "InputError": "raysim.core.errors",
    "LoadedExperiment": "raysim.experiment.config",
    "Measure": "raysim.measures.base",
    "Mitigation": "raysim.mitigations.base",
    "RaysimError": "raysim.core.errors",
    "Results": "raysim.tables.results",
    "RunError": "raysim.core.errors",
    "Strategy": "raysim.simulation.strategy",
}
"""Where each class of the public API is defined; it is imported when it is first asked for."""


def load_experiment(
    experiment: str | Path | Mapping[str, Any], overrides: str | Sequence[str] = ()
) -> "LoadedExperiment":
    """Reads and validates an experiment; nothing is started.

    Args:
        experiment: a YAML file, or a dict of the same structure, whose relative paths start from the current folder.
        overrides: settings to replace, for example ``["trainer.epochs=2", "seed=[1,2,3]"]``, as for ``--set``.

    Raises:
        InputError: whatever is wrong with it, every problem on a line of its own.
    """
    options = _options(experiment, None, None, overrides)
    return options.load()[0]


def plan(
    experiment: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    address: str | None = None,
) -> dict[str, Any]:
    """Says what `run` would train, measure and cost, without training: what ``raysim plan --json`` prints.

    Args:
        experiment: as for `run`.
        out: as for `run`; what its store holds already counts as done.
        store: as for `run`.
        overrides: as for `run`.
        address: of a Ray cluster, where organizations are asked; by default here, or as for `run` where they are pinned
            to nodes.

    Raises:
        InputError: whatever is wrong with the experiment.
    """
    from raysim.analysis.detectable import plan_with_effects

    return plan_with_effects(_options(experiment, out, store, overrides, address))


def run(
    experiment: str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    address: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> "Results":
    """Runs an experiment, or its sweep, to its end and writes its report, as ``raysim run`` does.

    The same call again goes on where an earlier one stopped, be it by an interrupt.

    Args:
        experiment: a YAML file, or a dict of the same structure, whose relative paths start from the current folder.
        out: the run folder, or a URL of one (``s3://``, ``gs://``); by default ``runs/NAME``.
        store: the store of results, which runs may share; by default within the run folder.
        overrides: settings to replace, for example ``["trainer.epochs=2", "seed=[1,2,3]"]``, as for ``--set``.
        address: of a Ray cluster, for example ``"auto"``; by default that of ``RAY_ADDRESS``, else Ray is started on
            this machine.
        overwrite: whether results of another experiment in the run folder are replaced; else they are an error.
        progress: whether to print what is going on.

    Returns:
        The tables of the run; for a sweep those of the comparison, with the runs in `Results.points`.

    Raises:
        InputError: something is wrong with the experiment; nothing was trained.
        RunError: the run could not go on; the same call resumes it.
        KeyboardInterrupt: it was interrupted; the same call resumes it.
    """
    from rich.console import Console

    from raysim.cli.progress import ConsoleObserver, progress_console
    from raysim.core.errors import os_errors
    from raysim.experiment.sweep import run as run_all
    from raysim.experiment.working_folder import working_folder
    from raysim.report.write import write_report

    console = progress_console() if progress else Console(quiet=True)
    with os_errors(), ConsoleObserver(console) as observer, working_folder(out, store, observer.note) as folder:
        options = _options(experiment, folder, store, overrides, address, overwrite)
        outcome = run_all(options, observer, write_report)
    return open_results(outcome.folder.path)


def audit(
    model: str | Path,
    corpora: Mapping[str, str | Path] | None = None,
    *,
    held_out: Mapping[str, str | Path] | None = None,
    references: Sequence[str | Path] = (),
    like: str | Path | None = None,
    out: str | Path | None = None,
    store: str | Path | None = None,
    overrides: str | Sequence[str] = (),
    address: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> "AuditReport":
    """Measures what a trained model gives away of code, by the code of `run`, with a verdict for each owner.

    Args:
        model: a Hugging Face folder with weights, config and tokenizer.
        corpora: folders or record files that the model may have been trained on, by their owner's name.
        held_out: the same of code that it was not trained on: non-members, and the negative control.
        references: public code, beside the standard library.
        like: a run folder whose organizations, preparation, split and measures are taken; `corpora` then only says
            where code of its organizations lies now. None: all of `corpora` counts as trained on.
        out: run folder for tables and report; by default ``runs/audit``.
        store: as for `run`.
        overrides: as for `run`.
        address: as for `run`.
        overwrite: as for `run`: another model's results in `out` are an error else.
        progress: as for `run`.

    Raises:
        InputError: no such model or run, no code, or a setting that is wrong; nothing was measured.
        RunError: it could not go on; the same call resumes it.
    """
    from rich.console import Console

    from raysim.cli.audit import perform_audit
    from raysim.cli.progress import progress_console
    from raysim.experiment.audit import AuditRequest
    from raysim.experiment.run import Options

    def texts(paths: Mapping[str, str | Path] | None) -> dict[str, str]:
        return {name: str(path) for name, path in (paths or {}).items()}

    like_run = None if like is None else Path(like)
    request = AuditRequest(Path(model), texts(corpora), texts(held_out), tuple(map(str, references)), like_run)
    options = Options(
        {},
        None if out is None else Path(out),
        None if store is None else Path(store),
        (overrides,) if isinstance(overrides, str) else tuple(overrides),
        address,
        overwrite=overwrite,
    )
    return perform_audit(request, options, progress_console() if progress else Console(quiet=True))


def open_results(folder: str | Path) -> "Results":
    """Opens the folder of a run or a sweep, finished or not.

    Raises:
        InputError: there is no such folder.
    """
    from raysim.tables.results import open_run

    return open_run(folder)


def _options(
    experiment: str | Path | Mapping[str, Any],
    out: str | Path | None,
    store: str | Path | None,
    overrides: str | Sequence[str],
    address: str | None = None,
    overwrite: bool = False,
) -> "Options":
    from raysim.experiment.run import Options

    return Options(
        experiment if isinstance(experiment, Mapping) else Path(experiment),
        Path(out) if out else None,
        Path(store) if store else None,
        (overrides,) if isinstance(overrides, str) else tuple(overrides),
        address,
        overwrite=overwrite,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'raysim' has no attribute {name!r}; there are: {', '.join(__all__)}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
