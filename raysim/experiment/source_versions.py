"""Which versions the installed packages have that an experiment takes code from: for its manifest."""

import importlib.metadata
from collections.abc import Iterator

from raysim.corpus.sources import SourceSettings
from raysim.experiment.config import Experiment


def source_versions(experiment: Experiment) -> dict[str, str]:
    """Versions, as they are installed here, by the name that the experiment has; of import names those of nobody."""
    found: dict[str, str] = {}
    for source in _sources(experiment):
        for name in source.packages or ():
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    return dict(sorted(found.items()))


def _sources(experiment: Experiment) -> Iterator[SourceSettings]:
    for organization in experiment.organizations.values():
        if organization.node:  # whose packages are those of its node
            continue
        yield organization.source
        if organization.held_out:
            yield organization.held_out
    yield from (source for source in experiment.references if isinstance(source, SourceSettings))
