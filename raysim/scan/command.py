"""What `raysim scan` and `raysim clones` do with what they are given on the command line."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError
from raysim.corpus.folders import DEFAULT_INCLUDE
from raysim.scan.chunks import Watch
from raysim.scan.clone_classes import clone_classes
from raysim.scan.clones import find_clones
from raysim.scan.code_findings import CodeFinding, copied_findings
from raysim.scan.corpora import CodeCollection, combine, open_corpus
from raysim.scan.excerpts import GENERATED, Excerpt, longest
from raysim.scan.index import Index
from raysim.scan.matches import Match
from raysim.scan.reading import Reader, Unit
from raysim.scan.scan import scan
from raysim.tables.names import PUBLIC

_EXCERPTS = 30


@dataclass(frozen=True)
class Input:
    """Where code is found.

    Attributes:
        include: globs over the paths in folders; None: Python files.
        column: of record files that holds the code.
    """

    include: Sequence[str] | None
    column: str

    def open(self, name: str, paths: Sequence[str]) -> CodeCollection:
        """The corpus at some paths."""
        include, seen = self.include or (DEFAULT_INCLUDE,), set[str]()
        parts = [open_corpus(name, path, include, self.column, seen) for path in paths]
        return combine(name, parts, [Path(path).resolve().name for path in paths])

    def open_all(self, given: Sequence[str]) -> list[CodeCollection]:
        """The corpora that ``NAME=PATH`` names, in that order; one that is named twice has both paths.

        Raises:
            InputError: one that is not ``NAME=PATH``, or a path at which there is no code.
        """
        paths: dict[str, list[str]] = defaultdict(list)
        for text in given:
            name, separator, path = text.partition("=")
            if not (separator and name and path):
                raise InputError(f"--corpus {text}: expected NAME=PATH, for example --corpus acme=./code/acme")
            paths[name].append(path)
        return [self.open(name, of_name) for name, of_name in paths.items()]


@dataclass(frozen=True)
class ScanFinding:
    """What a command found.

    Attributes:
        found: as JSON, with what was left out of each corpus.
        share: of the lines those that somebody (else) has.
        excerpts: of the longest matches.
        notes: sentences on what was left out, or could not be kept.
        matches: all of them, with the name of the corpus that each is of.
        corpora: everything that was compared, by name.
    """

    found: dict[str, Any]
    share: float
    excerpts: list[Excerpt]
    notes: list[str]
    matches: Sequence[tuple[str, Match]]
    corpora: Mapping[str, CodeCollection]

    def code_findings(self, unit: Unit) -> list[CodeFinding]:
        """Each match as a finding; files are read again."""
        return copied_findings(self.matches, self.corpora, unit)


@dataclass(frozen=True)
class Lexing:
    """What helps where lexers are at work, which takes long.

    Attributes:
        folder: of an index; None: nothing is kept.
        display: begins to show how far it is, given the number of files; None: nothing is shown.
    """

    folder: Path | None = None
    display: Callable[[int], AbstractContextManager[Watch]] | None = None

    @contextmanager
    def begin(self, reader: Reader, corpora: Iterable[CodeCollection]) -> Iterator[tuple[Index | None, Watch | None]]:
        """Opens the index and begins the display, if `reader` lexes."""
        with ExitStack() as until_done:
            num_files = sum(len(corpus.paths) for corpus in corpora)
            index = until_done.enter_context(Index(self.folder)) if self.folder and reader.lexes else None
            watch = until_done.enter_context(self.display(num_files)) if self.display and reader.lexes else None
            yield index, watch


def run_scan(
    generated: Sequence[str],
    corpora: Sequence[str],
    references: Sequence[str],
    where: Input,
    min_length: int,
    reader: Reader,
    lexing: Lexing,
) -> ScanFinding:
    """Whose code the generated code repeats.

    Raises:
        InputError: a path that cannot be read, or of which nothing can, or an index that cannot be opened.
    """
    owners = where.open_all(corpora)
    code = where.open(GENERATED, generated)
    reference = where.open(PUBLIC, references) if references else None
    everyone = {corpus.name: corpus for corpus in (code, *owners, *([reference] if reference else []))}
    with lexing.begin(reader, everyone.values()) as (index, watch):
        result = scan(code, owners, reference, min_length, reader, index, watch)
    matches = [(GENERATED, match) for match in result.matches]
    excerpts = longest(matches, everyone, _EXCERPTS)
    found = _with_drops(result.to_json(reader.unit), everyone)
    return ScanFinding(found, result.share, excerpts, _notes(everyone, index), matches, everyone)


def run_clones(corpora: Sequence[str], where: Input, min_length: int, reader: Reader, lexing: Lexing) -> ScanFinding:
    """Who has what in common with whom.

    Raises:
        InputError: a path that cannot be read, or of which nothing can, or an index that cannot be opened.
    """
    owners = where.open_all(corpora)
    everyone = {corpus.name: corpus for corpus in owners}
    with lexing.begin(reader, owners) as (index, watch):
        result = find_clones(owners, min_length, reader, index, watch)
    excerpts = longest(result.matches, everyone, _EXCERPTS)
    classes = [one.to_json(reader.unit) for one in clone_classes(result.matches)]
    found = _with_drops(result.to_json(reader.unit) | {"classes": classes}, everyone)
    return ScanFinding(found, result.share, excerpts, _notes(everyone, index), result.matches, everyone)


def _with_drops(found: dict[str, Any], corpora: Mapping[str, CodeCollection]) -> dict[str, Any]:
    """What was found, and what was left out of each corpus; of one that could not be read at all nothing is said.

    Raises:
        InputError: there is such a corpus.
    """
    for corpus in corpora.values():
        corpus.require_something()
    drops = {name: [drop.to_json() for drop in corpus.skipped.drops()] for name, corpus in corpora.items()}
    return {**found, "left_out": {name: of_corpus for name, of_corpus in drops.items() if of_corpus}}


def _notes(corpora: Mapping[str, CodeCollection], index: Index | None) -> list[str]:
    skipped = [
        f"{name}: {drop.files} file{'s' * (drop.files != 1)} left out: {drop.reason}"
        for name, corpus in corpora.items()
        for drop in corpus.skipped.drops()
    ]
    return [*skipped, *([index.problem] if index and index.problem else [])]
