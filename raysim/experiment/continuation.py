"""Which experiment may go on in the folder of another: one under which the rows that are there would be the same.

Work is a pure function of its recipe, so strategies, orders, seeds and measures that are added only add rows, and
settings of execution change none. What decides which code there is (sources, preparation, tokenizer) is compared by
what came of it, as a folder of data may move.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from raysim.core.errors import InputError, RaysimError
from raysim.core.json_lines import read_json_lines
from raysim.core.keys import Key, key_of
from raysim.core.run_folder import RunFolder
from raysim.corpus.corpus import fingerprint
from raysim.experiment.config import LoadedExperiment, restore_experiment
from raysim.experiment.setup import Setup

_FREE = {"name", "seed", "execution", "store", "report", "sweep", "mitigations", "findings", "alert"}
"""Settings that no row depends on, or that only say which rows there are."""

_DATA = {"organizations", "references", "preparation", "deduplication", "tokenizer"}
"""Settings that decide which code there is, and nothing else; but see `_fixed`."""


_ROWS: dict[str, Any] = {
    **dict.fromkeys(("when", "prompts", "samples", "k", "at_most"), True),
    "extraction": {"passages": True},
}
"""Settings of measures that only say how many rows there are; each row is drawn by a seed of its own."""


def content_of_setup(setup: Setup) -> dict[str, Any]:
    """What came of the settings of data: fingerprints of splits, references and tokenizer."""
    organizations = {
        name: [stats.train_fingerprint, stats.valid_fingerprint] for name, stats in setup.client_stats.items()
    }
    references = fingerprint(setup.references)
    return {"organizations": organizations, "references": references, "tokenizer": setup.tokenizer.fingerprint}


def experiment_hash(loaded: LoadedExperiment, content: Mapping[str, Any]) -> Key:
    """Names what all rows of a run have in common, whichever strategies, seeds and measures it has."""
    return key_of({"kind": "experiment", "version": 1, "settings": _fixed(loaded), "content": content})


def check_kind(folder: RunFolder, sweeps: bool) -> None:
    """Keeps runs and sweeps out of each other's folders.

    Raises:
        InputError: the folder is of the other kind.
    """
    known = _manifest_of_rows(folder)
    if known is not None and bool(known.get("points")) != sweeps:
        raise _other(folder, ["sweep"])


def check_settings(folder: RunFolder, loaded: LoadedExperiment) -> list[str]:
    """Compares the settings of an experiment with those of the rows in its folder.

    Returns:
        the settings of data that have changed, which `check_content` judges.

    Raises:
        InputError: another setting has changed on which rows that are there depend.
    """
    check_kind(folder, loaded.experiment.sweeps)
    known = _manifest_of_rows(folder)
    if known is None:
        return []
    try:
        before = restore_experiment(known)
    except RaysimError:  # of another version: nobody can tell what its settings mean today
        return []
    data = sorted(_differences(_of_data(before), _of_data(loaded)))
    changed = sorted(_differences(_fixed(before), _fixed(loaded)))
    for kind, old, new in zip(("strategies", "measure"), _additive(before), _additive(loaded), strict=True):
        for name in old.keys() & new.keys():
            for key in sorted(old[name].keys() | new[name].keys()):
                one, other = old[name].get(key), new[name].get(key)
                # A part of a measure that was unset, or is now, adds or takes rows alone.
                if kind == "strategies" or not (one is None or other is None):
                    changed += sorted(_differences(one, other, f"{kind}.{name}.{key}"))
    if "content" not in known:
        changed += data
    if changed:
        raise _other(folder, changed)
    return data


def check_content(folder: RunFolder, content: Mapping[str, Any], changed: list[str]) -> None:
    """Compares the code that an experiment has with that of the rows in its folder.

    Args:
        folder: of the run.
        content: of the setup.
        changed: settings of data that have changed.

    Raises:
        InputError: it is other code.
    """
    known = (_manifest_of_rows(folder) or {}).get("content")
    if known is not None and (others := sorted(_differences(known, content))):
        raise _other(folder, changed or [f"the files of {path}" for path in others])


def _manifest_of_rows(folder: RunFolder) -> dict[str, Any] | None:
    """The manifest of a folder that has rows; None if it has none."""
    try:
        known = folder.read_manifest()
    except InputError:
        return None
    has_rows = known.get("points") or any(folder.results.glob("*.parquet")) or read_json_lines(folder.stages)
    return known if has_rows else None


def _other(folder: RunFolder, changed: list[str]) -> InputError:
    return InputError(
        f"--out {folder.path}: holds results of another experiment, which differs in {', '.join(changed)}; give another"
        " --out, or --overwrite to have these results replaced (the store keeps what both have in common)"
    )


def _fixed(loaded: LoadedExperiment) -> dict[str, Any]:
    """Settings on which every row depends, but for those of data."""
    dumped = loaded.experiment.model_dump(mode="json")
    fixed = {name: value for name, value in dumped.items() if name not in _FREE | _DATA | {"strategies", "measure"}}
    names = list(dumped["organizations"])
    licences = {name: one["agreement"]["licences"] for name, one in dumped["organizations"].items()}
    return {**fixed, "organizations": names, "agreements": licences}


def _of_data(loaded: LoadedExperiment) -> dict[str, Any]:
    dumped = loaded.experiment.model_dump(mode="json", include=_DATA)
    for one in dumped["organizations"].values():
        one["agreement"] = {"train_on": one["agreement"]["train_on"]}
        del one["node"]
    return dumped


def _additive(loaded: LoadedExperiment) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Settings of each strategy by its label, and of each measure by its name, without those that choose rows alone."""
    strategies = {
        config.label: {"strategy": config.strategy_class.__qualname__, **config.settings.of_arm()}
        for config in loaded.settings
    }
    measures = {measure.name: measure.settings.model_dump(mode="json", exclude=_ROWS) for measure in loaded.measures}
    return strategies, measures


def _differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Paths at which two trees of settings differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            yield from _differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
    elif old != new:
        yield path
