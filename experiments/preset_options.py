"""Says by how much each option in which two experiments differ moves the findings, one option at a time.

    python experiments/preset_options.py experiments/paper_small.yaml experiments/artifact_small.yaml --out runs/options

runs the first experiment, then the first with each option of the second alone, then the second, over one store, so that
only what an option changes is computed; and prints what `raysim compare` says of F3. The same command goes on where it
stopped. `--set` changes a setting in all runs, for example the seeds. `--strategies` runs those alone, with their
options: F3 needs centralized and federated ones.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import raysim
from raysim.analysis.compared_runs import open_compared
from raysim.analysis.comparison import comparison_table
from raysim.analysis.results import RunResults
from raysim.core.yaml_files import load_yaml
from raysim.experiment.config import LoadedExperiment, load_experiment
from raysim.simulation.registry import label_of, name_and_settings

NAMES_ONLY = {"name"}
"""Settings that change no result."""


def settings_of(loaded: LoadedExperiment) -> dict[str, Any]:
    """Every setting of an experiment by its path as for `--set`, defaults included; strategies by their labels."""
    dumped = loaded.experiment.model_dump(mode="json", exclude={"strategies"})
    strategies = {config.label: config.settings.model_dump(mode="json") for config in loaded.settings}
    return dict(_leaves({**dumped, "strategies": strategies}, ""))


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for name, inner in value.items():
        yield from _leaves(inner, f"{path}.{name}" if path else name)


def options(one: Path, other: Path) -> dict[str, tuple[Any, Any]]:
    """The settings in which two experiments differ: what each has, None where it has none."""
    first, second = (settings_of(load_experiment(path, [])) for path in (one, other))
    return {
        path: (first.get(path), second.get(path))
        for path in (*first, *(path for path in second if path not in first))
        if path not in NAMES_ONLY and first.get(path) != second.get(path)
    }


def planned(one: Path, other: Path, strategies: Sequence[str] = ()) -> dict[str, tuple[Path, list[str]]]:
    """For the name of each run its experiment, and what to override in it; of `strategies` alone, if any are named."""
    alone = {
        re.sub(r"^(strategies|measure\.memorization)\.", "", path): (one, [f"{path}={json.dumps(value)}"])
        for path, (_, value) in options(one, other).items()
        if not strategies or not path.startswith("strategies.") or path.split(".")[1] in strategies
    }
    runs = {one.stem: (one, []), **alone, other.stem: (other, [])}
    return {name: (path, [*_chosen(path, strategies), *option]) for name, (path, option) in runs.items()}


def _chosen(experiment: Path, strategies: Sequence[str]) -> list[str]:
    """What to override so that only `strategies` run."""
    if not strategies:
        return []
    entries = load_yaml(experiment)["strategies"]
    kept = [entry for entry in entries if label_of(*name_and_settings(entry, "strategies")) in strategies]
    return [f"strategies={json.dumps(kept)}"]


def run_all(
    one: Path, other: Path, out: Path, overrides: Sequence[str] = (), strategies: Sequence[str] = ()
) -> list[Path]:
    """Runs whatever is not there yet; gives the run folders, the first experiment's first."""
    folders = []
    for name, (experiment, option) in planned(one, other, strategies).items():
        folders.append(out / name)
        raysim.run(experiment, out=folders[-1], store=out / "store", overrides=[*overrides, *option, f"name={name}"])
    return folders


def shifts(runs: Sequence[tuple[str, RunResults]], finding: str) -> list[str]:
    """A line for each contrast of a finding that shifts from the first run to another: its interval, or why none."""
    rows = [row for row in comparison_table(runs).to_pylist() if row["finding"] == finding]
    lines = []
    for name, _ in runs[1:]:
        found = [_line(row) for row in rows if row["run"] == name]
        lines += found or [f"{name} | no contrast of {finding} over anything that {runs[0][0]} has too"]
    return lines


def _line(row: Mapping[str, Any]) -> str:
    interval = "" if row["low"] is None else f" ({row['low']:+.3f} to {row['high']:+.3f})"
    shift = "not a number" if row["difference"] is None else f"{row['difference']:+.3f}"
    return f"{row['run']} | {row['setting']} | {row['what']} | {shift}{interval} | {row['items']} items; {row['note']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path, help="the experiment that options are tried in")
    parser.add_argument("other", type=Path, help="the experiment that the options are from")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs and their store")
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="of all runs, as for raysim run")
    parser.add_argument("--strategies", nargs="+", default=[], help="labels of those to run; default: all")
    parser.add_argument("--finding", default="F3")
    given = parser.parse_args()
    folders = run_all(given.one, given.other, given.out, given.overrides, given.strategies)
    print(*shifts(open_compared(folders), given.finding), sep="\n")


if __name__ == "__main__":
    main()
