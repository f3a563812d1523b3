"""Whose lines did a model give away under other names? Generated text against the token indexes of all organizations.

A generated token is covered by an organization if it lies in a window of `min_tokens` consecutive blind tokens (see
`raysim.matching.blind_tokens`) that occurs in that organization's training split. Windows lie wholly in the
continuation; a token that the prompt begins and the continuation goes on with belongs to it. A line is covered if all
tokens that begin in it are; a covered line is public, exclusive or shared as in `raysim.matching.matches`. An exclusive
line is *hidden* if no run of lines equals the owner's there, so that verbatim matching does not see it: for other
names, for another layout, or because the copy has fewer lines than its windows.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.windows import Mask, inside_one, spread
from raysim.corpus.files import SourceFile, batches
from raysim.corpus.line_digests import digest_files
from raysim.corpus.lines import significant_lines
from raysim.inference.prompts import PREFIX, open_line
from raysim.matching.blind_tokens import BlindTokens, CodeText, begun_token, blind_tokens
from raysim.matching.line_index import LineIndex
from raysim.matching.token_index import TokenIndex
from raysim.tables.schemas.renamed import COUNTED, RENAMED, RENAMED_CHANCE

RENAMED_VERSION = 1
"""Numerics version; part of the recipe."""

RENAMED_SCHEMA = RENAMED.without("model")
BEFORE_SCHEMA = pa.schema([("prompt", pa.string()), ("file", pa.string()), ("before", pa.string())])

Counts = npt.NDArray[np.int32]


class _Lines:
    """The lines of some texts in which tokens begin.

    Attributes:
        texts: int64 ``[num_lines]``, which text each is of.
        numbers: int32 ``[num_lines]``, of each in its text, from 1.
    """

    def __init__(self, tokens: BlindTokens) -> None:
        texts = np.repeat(np.arange(len(tokens.starts) - 1), np.diff(tokens.starts))
        new = np.ones(len(texts), dtype=np.bool_)
        new[1:] = (texts[1:] != texts[:-1]) | (tokens.numbers[1:] != tokens.numbers[:-1])
        self._begins = np.flatnonzero(new)
        self._kept = tokens.numbers[self._begins] > 0
        self._num_texts = len(tokens.starts) - 1
        self.texts = texts[self._begins][self._kept]
        self.numbers = tokens.numbers[self._begins][self._kept]

    def whole(self, covered: Mask) -> Mask:
        """Which lines have no token but `covered` ones."""
        if not len(self._begins):
            return covered
        return np.logical_and.reduceat(covered, self._begins)[self._kept]

    def count(self, lines: Mask) -> Counts:
        """How many of some lines each text has."""
        return np.bincount(self.texts[lines], minlength=self._num_texts).astype(np.int32)

    def among(self, places: Iterable[tuple[int, int]]) -> Mask:
        """Which lines are among pairs of text and number."""
        wanted = np.array(sorted((text << 32) + number for text, number in places), dtype=np.int64)
        return np.isin((self.texts << 32) + self.numbers, wanted)


def _counts(
    tokens: BlindTokens,
    indexes: Mapping[str, TokenIndex],
    reference: TokenIndex | None,
    min_tokens: int,
    verbatim: Mapping[str, Iterable[tuple[int, int]]],
) -> dict[str, dict[str, Counts]]:
    """Columns of the tables for each owner: int32 ``[num_texts]``.

    `verbatim` has, for each owner, text and number of the lines that are in a run of lines equal to the owner's.
    """
    for name, index in [*indexes.items(), *([("the reference", reference)] if reference is not None else [])]:
        if index.min_tokens != min_tokens:
            raise ValueError(f"the index of {name} has windows of {index.min_tokens} tokens, not of {min_tokens}")
    windows, inside = tokens.windows(min_tokens), inside_one(tokens.starts, min_tokens)
    lines = _Lines(tokens)

    def tokens_in(index: TokenIndex) -> Mask:
        return spread(index.holds(windows) & inside, len(tokens.numbers), min_tokens)

    held = {name: tokens_in(index) for name, index in indexes.items()}
    covered = {name: lines.whole(mask) for name, mask in held.items()}
    public = np.zeros(len(lines.texts), dtype=np.bool_)
    if reference is not None:
        public = lines.whole(tokens_in(reference))
    owners = np.sum([np.zeros(len(public), dtype=np.int32), *covered.values()], axis=0)
    num_tokens = np.diff(tokens.starts).astype(np.int32)
    found: dict[str, dict[str, Counts]] = {}
    for name, mask in covered.items():
        running = np.concatenate([[0], np.cumsum(held[name])])
        exclusive = mask & ~public & (owners == 1)
        found[name] = {
            "tokens": num_tokens,
            "covered_tokens": np.diff(running[tokens.starts]).astype(np.int32),
            "lines": lines.count(np.ones(len(mask), dtype=np.bool_)),
            "covered": lines.count(mask),
            "exclusive": lines.count(exclusive),
            "shared": lines.count(mask & ~public & (owners > 1)),
            "public": lines.count(mask & public),
            "hidden": lines.count(exclusive & ~lines.among(verbatim.get(name, ()))),
        }
    return found


def texts_before(prompts: pa.Table, files: Mapping[str, SourceFile]) -> pa.Table:
    """What stands before each continuation, for lexers: code, which does not leave its owner.

    A prompt that begins within a string or a comment of its file has that before it from its beginning on.

    Args:
        prompts: columns ``prompt``, ``kind``, ``file`` and ``text``; those of functions begin within nothing.
        files: of the prompts, by path.

    Returns:
        a table of `BEFORE_SCHEMA`, a row for each row of `prompts`.
    """
    rows = []
    columns = (prompts[name].to_pylist() for name in ("prompt", "kind", "file", "text"))
    for prompt, kind, path, text in zip(*columns, strict=True):
        _, cut = open_line(text)
        whole = text.removesuffix(cut)
        begun = begun_token(files[path], whole) if kind == PREFIX else ""
        rows.append({"prompt": prompt, "file": path, "before": begun + whole})
    return pa.Table.from_pylist(rows, schema=BEFORE_SCHEMA)


def match_renamed(
    generations: pa.Table,
    matches: pa.Table,
    before: pa.Table,
    indexes: Mapping[str, TokenIndex],
    reference: TokenIndex | None,
    min_tokens: int,
    secret: bytes,
) -> pa.Table:
    """Attributes generated lines to organizations by their blind tokens; runs at the organization that was prompted.

    Args:
        generations: columns ``prompt``, ``sample`` and ``text``, the continuation alone.
        matches: of `raysim.matching.matches.match`, of the same generations.
        before: see `texts_before`; a prompt that is in it twice has the same text both times.
        indexes: token index of each organization's training split, by name.
        reference: token index of public code, or None.
        min_tokens: consecutive tokens that make a match; that of the indexes.
        secret: the key of all digests.

    Returns:
        a table of `RENAMED_SCHEMA`, a row for each generation and organization, zeros included.

    Raises:
        ValueError: an index of another window length.
    """
    begun = {row["prompt"]: row for row in before.to_pylist()}
    prompts, samples, texts = (generations[name].to_pylist() for name in ("prompt", "sample", "text"))
    codes = [
        CodeText(begun[prompt]["file"], text, begun[prompt]["before"])
        for prompt, text in zip(prompts, texts, strict=True)
    ]
    number_of = {place: number for number, place in enumerate(zip(prompts, samples, strict=True))}
    verbatim: dict[str, set[tuple[int, int]]] = {}
    for row in matches.to_pylist():
        number = number_of[row["prompt"], row["sample"]]
        verbatim.setdefault(row["owner"], set()).update((number, line) for line in _lines_of(row, codes[number]))
    tokens = blind_tokens(codes, min_tokens, secret)
    tables = [
        pa.table(
            {"prompt": prompts, "sample": samples, "owner": [name] * len(prompts), **columns}, schema=RENAMED_SCHEMA
        )
        for name, columns in _counts(tokens, indexes, reference, min_tokens, verbatim).items()
    ]
    return pa.concat_tables(tables) if tables else RENAMED_SCHEMA.empty_table()


def chance_rows(
    organization: str,
    files: Sequence[SourceFile],
    indexes: Mapping[str, TokenIndex],
    reference: TokenIndex | None,
    line_indexes: Mapping[str, LineIndex],
    min_tokens: int,
    secret: bytes,
) -> pa.Table:
    """The control: how much of an organization's held-out code matches, which nobody was trained on.

    Args:
        organization: whose files they are.
        files: its held-out files.
        indexes: token index of each organization's training split, by name.
        reference: token index of public code, or None.
        line_indexes: line index of each organization's training split, by which verbatim copies are told.
        min_tokens: consecutive tokens that make a match; that of the indexes.
        secret: the key of all digests.

    Returns:
        rows of the table `renamed_chance`, one for each owner. An owner's lines are exclusive or shared among all
        organizations but the one whose files they are; those that its own training split holds, among all.
    """
    others = {name: index for name, index in indexes.items() if name != organization}
    sums: dict[str, Counter[str]] = {name: Counter() for name in indexes}
    for batch in batches(files, lambda source: source.num_bytes):
        tokens = blind_tokens((CodeText(source.path, source.text) for source in batch), min_tokens, secret)
        verbatim = _verbatim_lines(batch, line_indexes, secret)
        found = {
            **_counts(tokens, others, reference, min_tokens, verbatim),
            organization: _counts(tokens, indexes, reference, min_tokens, verbatim)[organization],
        }
        for name, columns in found.items():
            sums[name].update({column: int(values.sum()) for column, values in columns.items()})
    zero = dict.fromkeys(COUNTED, 0)
    rows = [
        {"organization": organization, "owner": name, "files": len(files), **zero, **counted}
        for name, counted in sums.items()
    ]
    return pa.Table.from_pylist(rows, schema=RENAMED_CHANCE.schema)


def _verbatim_lines(
    files: Sequence[SourceFile], indexes: Mapping[str, LineIndex], secret: bytes
) -> dict[str, list[tuple[int, int]]]:
    """For each owner file and number of the lines that are in a run of lines equal to the owner's."""
    digested = digest_files(files, secret)
    file_of = np.repeat(np.arange(len(files)), np.diff(digested.starts))
    parts = list(zip(digested.starts[:-1].tolist(), digested.starts[1:].tolist(), strict=True))
    found: dict[str, list[tuple[int, int]]] = {}
    for name, index in indexes.items():
        covered = np.concatenate([index.covered(digested.digests[begin:end]) for begin, end in parts])
        found[name] = list(zip(file_of[covered].tolist(), digested.numbers[covered].tolist(), strict=True))
    return found


def _lines_of(match: Mapping[str, Any], code: CodeText) -> list[int]:
    """Numbers of the lines of a verbatim match in a continuation."""
    _, numbers = significant_lines(code.before[code.before.rfind("\n") + 1 :] + code.text)
    at = numbers.index(match["start"])
    return numbers[at : at + match["lines"]]
