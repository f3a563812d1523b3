"""What a job on a cluster brings along: the experiment, the files beside it that it names, and raysim where it lacks.

Code of an organization that shares weights alone is never in it: it is read where the organization works.
"""

import glob
import hashlib
import os
import shlex
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from pathspec import GitIgnoreSpec

from raysim.core.errors import InputError, os_errors
from raysim.core.keys import canonical_json
from raysim.core.own_source import own_files
from raysim.core.settings import apply_overrides, validate
from raysim.core.yaml_files import load_yaml
from raysim.corpus.folders import walk
from raysim.corpus.reading import DropCounter
from raysim.corpus.sources import SourceSettings
from raysim.experiment.config import Experiment, load_experiment
from raysim.experiment.points import points_of
from raysim.experiment.run import WEBHOOK, Options
from raysim.measures.pass_at_k.settings import PassAtKSettings

MOST_BYTES = 200_000_000
"""Of the files of a package. Ray keeps packages in the memory of the head, and takes none of 512 MiB."""

_NEVER = frozenset({".git", ".venv", "venv", "__pycache__"})
"""Folders that hold nothing an experiment reads; Ray leaves them out, too."""

_TOKENIZER = "tokenizer.pretrained"

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of every file in a package, so that equal files make equal packages, of which Ray keeps one."""


@dataclass(frozen=True)
class PreparedJob:
    """An experiment, ready to be submitted.

    Attributes:
        name: of the job, without the number of its attempt: the same for the same experiment with the same folders.
        command: that runs it.
        files: what it brings, by their paths in the folder in which the command runs.
        about: says what it is to whoever lists jobs.
    """

    name: str
    command: str
    files: Mapping[str, Path]
    about: Mapping[str, str]

    @property
    def num_bytes(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.files.values())

    def write(self, target: Path, with_raysim: bool) -> None:
        """Writes the package, a zip file.

        Args:
            target: the file to write.
            with_raysim: whether raysim's own files are in it, which then go before an installed one.
        """
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
            for name, file in sorted({**self.files, **(own_files() if with_raysim else {})}.items()):
                with os_errors(file):
                    _add(package, name, file.read_bytes())
            if with_raysim:
                installed = distribution("raysim")
                for name in ("METADATA", "entry_points.txt"):
                    text = installed.read_text(name) or ""
                    _add(package, f"raysim-{installed.version}.dist-info/{name}", text.encode())


def prepare_job(options: Options, out: str) -> PreparedJob:
    """Looks at an experiment and gathers what its job needs.

    Args:
        options: of the run; `experiment` is a file, `store` an absolute path on the cluster.
        out: the run folder: an absolute path on the cluster, or a URL.

    Raises:
        InputError: something is wrong with the experiment, a file that it names may not or cannot travel, they are too
            many, or an option holds what is not to be read in a job's command.
    """
    file = options.experiment
    if not isinstance(file, Path):
        raise ValueError("a job needs the file of an experiment")
    if hidden := [one.partition("=")[0] for one in options.overrides if WEBHOOK.search(one)]:
        raise InputError(
            f"--set {hidden[0]}: the address of a webhook may hold a secret, and whoever sees the cluster's jobs would"
            " read it in the job's command; write it into the experiment's file"
        )
    base = file.resolve().parent
    experiment = _checked(file, options.overrides)
    points = [experiment, *(_checked(file, (*options.overrides, *p.overrides)) for p in points_of(experiment))]
    named = dict.fromkeys(one for point in points for one in _named(point))
    files = {file.name: file} | {found.relative_to(base).as_posix(): found for found in _files_of(named, base)}
    identity = [experiment.model_dump(mode="json"), out, str(options.store)]
    digest = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:12]
    about = {"experiment": experiment.name, "out": out}
    job = PreparedJob(f"raysim-{experiment.name[:40]}-{digest}", _command(options, file.name, out), files, about)
    if job.num_bytes > MOST_BYTES:
        raise InputError(_too_many(job))
    return job


def _checked(file: Path, overrides: tuple[str, ...]) -> Experiment:
    """A valid experiment, as it is written; only the job looks at data that is not needed to tell who takes part."""
    experiment = validate(Experiment, apply_overrides(load_yaml(file), overrides), str(file))
    deals = [one.partition for one in experiment.organizations.values() if one.partition]
    if all(deal.count is not None or deal.part is not None for deal in deals):
        load_experiment(file, overrides)
    return experiment


def _command(options: Options, file: str, out: str) -> str:
    words = ["python", "-m", "raysim", "run", file, "--out", out]
    words += ["--store", str(options.store)] if options.store else []
    words += [word for override in options.overrides for word in ("--set", override)]
    return shlex.join([*words, *(["--overwrite"] if options.overwrite else [])])


@dataclass(frozen=True)
class _Named:
    """A path, perhaps, that an experiment names.

    Attributes:
        setting: that names it.
        given: as it is written.
        sure: whether it can be nothing else, such as a name of the hub.
        private_to: the organization whose code it is and stays; empty: it may travel.
    """

    setting: str
    given: str
    sure: bool = False
    private_to: str = ""


def _files_of(paths: Iterable[_Named], base: Path) -> Iterator[Path]:
    """The files below `base` that are named by relative paths."""
    for named in paths:
        places = _places(named, base)
        if places and named.private_to:
            raise InputError(
                f"{named.setting}: {named.given} lies beside the experiment, and {named.private_to} shares weights"
                " alone, so that its code does not travel with a job; write the absolute path that it has where the"
                " organization works, or agreement: {share: data}"
            )
        for place in places:
            yield from _below(place, base)


def _named(experiment: Experiment) -> Iterator[_Named]:
    if experiment.tokenizer.pretrained:
        yield _Named(_TOKENIZER, experiment.tokenizer.pretrained)
    if experiment.model.pretrained:
        yield _Named("model.pretrained", experiment.model.pretrained)
    if solving := experiment.measure_settings(PassAtKSettings):
        yield _Named("measure.pass_at_k.problems", solving.problems)
    for number, reference in enumerate(experiment.references):
        if reference != "stdlib":
            yield from _of_source(f"references[{number}]", reference)
    for name, settings in experiment.organizations.items():
        private_to = "" if settings.agreement.share == "data" else name
        for part, source in {"source": settings.source, "held_out": settings.held_out}.items():
            if source:
                yield from _of_source(f"organizations.{name}.{part}", source, private_to)


def _of_source(setting: str, source: SourceSettings, private_to: str = "") -> Iterator[_Named]:
    if source.path:
        yield _Named(f"{setting}.path", source.path, True, private_to)
    for given in source.files or ():
        yield _Named(f"{setting}.files", given, True, private_to)
    if source.hub:
        yield _Named(f"{setting}.hub.name", source.hub.name, False, private_to)


def _places(named: _Named, base: Path) -> list[Path]:
    """The files and folders beside the experiment that are meant; none where it is a path or a name of the cluster."""
    if Path(named.given).is_absolute() or named.given.startswith("~"):
        return []
    place = Path(os.path.normpath(base / named.given))
    found = [place] if place.exists() else [Path(one) for one in glob.glob(str(place), recursive=True)]
    if named.sure and not found:
        raise InputError(
            f"{named.setting}: {named.given}: there is none beside the experiment; a path of the cluster begins with /"
        )
    if found and not place.is_relative_to(base):
        raise InputError(
            f"{named.setting}: {named.given} leads out of the experiment's folder, of which a job brings what is"
            " needed; write the absolute path that it has on the cluster"
        )
    # What stands beside a tokenizer's file belongs to it.
    beside = place.parent / "tokenizer_config.json"
    return [*found, beside] if named.setting == _TOKENIZER and place.is_file() and beside.is_file() else found


def _below(place: Path, base: Path) -> Iterator[Path]:
    """The files of a folder, or the one file, but for what a ``.rayignore`` of a folder up to `base` names.

    Links are followed as far as they stay below `base`: what lies elsewhere was not meant to travel with it.
    """
    for file in [place] if place.is_file() else _walk(place):
        if _is_ignored(file, base):
            continue
        if not (target := file.resolve()).is_relative_to(base):
            raise InputError(
                f"{file.relative_to(base)}: is a link to {target}, out of the experiment's folder, of which a job"
                " brings what is needed; name the link in a file .rayignore, or its absolute path on the cluster"
            )
        yield file


def _walk(folder: Path) -> Iterator[Path]:
    """The files below a folder as a source reads them, each real one once; links that lead nowhere are left out."""
    seen = set[str]()
    for found in sorted(walk(folder, DropCounter(), lambda path: Path(path).name in _NEVER)):
        if found.real not in seen and os.path.isfile(found.location):
            seen.add(found.real)
            yield Path(found.location)


def _is_ignored(file: Path, base: Path) -> bool:
    folders = [folder for folder in file.parents if folder.is_relative_to(base)]
    return any(_rules(folder).match_file(file.relative_to(folder).as_posix()) for folder in folders)


@cache
def _rules(folder: Path) -> GitIgnoreSpec:
    with os_errors(folder / ".rayignore"):
        rules = folder / ".rayignore"
        return GitIgnoreSpec.from_lines(rules.read_text(encoding="utf-8").splitlines() if rules.is_file() else ())


def _add(package: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.external_attr = 0o644 << 16
    package.writestr(entry, content, zipfile.ZIP_DEFLATED)


def _too_many(job: PreparedJob) -> str:
    largest = sorted(job.files, key=lambda name: -job.files[name].stat().st_size)[:3]
    shown = ", ".join(f"{name} {job.files[name].stat().st_size / 1e6:.0f} MB" for name in largest)
    return (
        f"the job's package has {job.num_bytes / 1e6:.0f} MB in {len(job.files)} files, more than the"
        f" {MOST_BYTES / 1e6:.0f} MB that a job may bring; the largest: {shown}; lay them on a disk that the cluster"
        " shares and write their absolute paths, or name what is not needed in a file .rayignore"
    )
