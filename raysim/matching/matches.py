"""Whose lines did a model give away? Generated text against the line indexes of all organizations.

A generated line is *covered* by an organization if it lies in a window of `min_lines` consecutive significant lines
that occurs in that organization's training split. Windows lie wholly in the continuation; a line that the prompt begins
and the continuation goes on with belongs to it. Where that is asked for, windows may also begin in the prompt, as long
as they reach into the continuation. A covered line is *public* if a reference covers it, else *exclusive* if no other
organization covers it, else *shared*.

This finds verbatim copies of whole lines, up to white space at their ends. It does not see renamed identifiers or
reflowed lines (`raysim.matching.renamed` does), reordered ones, nor copies shorter than the window.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.keys import DIGEST_BYTES
from raysim.core.windows import inside_one, spread
from raysim.corpus.line_digests import Digests, digest_lines, digest_windows, from_binary, to_binary
from raysim.corpus.lines import significant_lines
from raysim.inference.prompts import continued_lines, open_line
from raysim.matching.line_index import LineIndex
from raysim.matching.truths import lines_to_come
from raysim.tables.schemas.generations import MATCHES, SAMPLES

CONTEXT_SCHEMA = pa.schema(
    [
        ("prompt", pa.string()),
        ("context", pa.list_(pa.binary(DIGEST_BYTES))),
        ("line", pa.string()),
        ("cut", pa.string()),
        ("truth", pa.list_(pa.binary(DIGEST_BYTES))),
    ]
)
SAMPLE_SCHEMA = SAMPLES.without("model")
MATCH_SCHEMA = MATCHES.without("model")


def fragment_id(stripped_lines: list[str]) -> str:
    """16 hexadecimal digits that name a run of significant lines by its content, the same in every run."""
    text = "\n".join(stripped_lines).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def prompt_context(prompts: pa.Table, min_lines: int, secret: bytes) -> pa.Table:
    """What comes before each continuation, and how the prompt really goes on: code, which does not leave its owner.

    Returns:
        a table of `CONTEXT_SCHEMA`, a row for each row of `prompts`: ``context``, keyed digests of the last
        ``min_lines - 1`` significant lines before the line in which the continuation begins; ``line`` and ``cut``, the
        beginning of that line (see `raysim.inference.prompts.open_line`); ``truth``, digests of the significant lines
        to come, that line included if something of it is to come.
    """
    keep = min_lines - 1
    rows = []
    for prompt, text, truth in zip(*(prompts[name].to_pylist() for name in ("prompt", "text", "truth")), strict=True):
        lines = significant_lines(text[: text.rfind("\n") + 1])[0]
        context = to_binary(digest_lines(lines[max(0, len(lines) - keep) :], secret))
        line, cut = open_line(text)
        to_come = to_binary(digest_lines(lines_to_come(line, truth), secret))
        rows.append({"prompt": prompt, "context": context, "line": line, "cut": cut, "truth": to_come})
    return pa.Table.from_pylist(rows, schema=CONTEXT_SCHEMA)


@dataclass(frozen=True)
class _Lines:
    """The significant lines of all samples, one after the other, each sample's context before its own lines.

    Attributes:
        digests: uint64 ``[num_lines, 2]``.
        generated: bool ``[num_lines]``, the continuation contributed a character to it; a tail of each sample.
        starts: int64 ``[num_samples + 1]``, where each sample's lines begin.
        own: for each sample, position of its first significant line of its own (behind its context).
        continued: for each sample, how many of its generated lines from the first on are those that really come.
        texts: of each sample, from the start of the line in which it begins: the prompt's part, and the continuation.
    """

    digests: Digests
    generated: npt.NDArray[np.bool_]
    starts: npt.NDArray[np.int64]
    own: npt.NDArray[np.int64]
    continued: npt.NDArray[np.int32]
    texts: list[str]


def _gather(generations: pa.Table, contexts: Mapping[str, Mapping[str, Any]], secret: bytes) -> _Lines:
    lines: list[str] = []
    before: list[bytes] = []
    is_context: list[bool] = []
    generated: list[bool] = []
    starts, own, texts = [0], [], []
    for prompt, text in zip(generations["prompt"].to_pylist(), generations["text"].to_pylist(), strict=True):
        row = contexts[prompt]
        context = row["context"]
        texts.append(row["line"] + text)
        sample_lines, _, first_is_prompts = continued_lines(row["line"], row["cut"], text)
        before += context
        lines += sample_lines
        is_context += [True] * len(context) + [False] * len(sample_lines)
        own_generated = [True] * len(sample_lines)
        if first_is_prompts:
            own_generated[0] = False
        generated += [False] * len(context) + own_generated
        own.append(starts[-1] + len(context))
        starts.append(len(is_context))
    from_context = np.array(is_context, dtype=np.bool_)
    digests = np.empty((len(is_context), 2), dtype=np.uint64)
    digests[from_context] = from_binary(before)
    digests[~from_context] = digest_lines(lines, secret)
    is_generated = np.array(generated, dtype=np.bool_)
    truths = (from_binary(contexts[prompt]["truth"]) for prompt in generations["prompt"].to_pylist())
    continued = [
        _in_common(digests[begin:end][is_generated[begin:end]], truth)
        for begin, end, truth in zip(starts[:-1], starts[1:], truths, strict=True)
    ]
    return _Lines(
        digests,
        is_generated,
        np.array(starts, dtype=np.int64),
        np.array(own, dtype=np.int64),
        np.array(continued, dtype=np.int32),
        texts,
    )


def _in_common(digests: Digests, truth: Digests) -> int:
    """How many lines both begin with."""
    most = min(len(digests), len(truth))
    return int(np.logical_and.accumulate((digests[:most] == truth[:most]).all(axis=1)).sum())


def match(
    generations: pa.Table,
    prompts_context: pa.Table,
    indexes: Mapping[str, LineIndex],
    reference: LineIndex | None,
    min_lines: int,
    secret: bytes,
    window_in_prompt: bool = False,
) -> tuple[pa.Table, pa.Table]:
    """Attributes generated lines to organizations; runs at the organization whose prompts were answered.

    Args:
        generations: columns ``prompt``, ``sample`` and ``text``, the continuation alone.
        prompts_context: see `prompt_context`; a prompt that is in it twice has the same context both times.
        indexes: line index of each organization's training split, by name.
        reference: line index of public code, or None.
        min_lines: consecutive significant lines that make a match; that of the indexes.
        secret: the key of all line digests.
        window_in_prompt: whether a window may begin in the prompt.

    Returns:
        *samples*, a row for each generation and organization, zeros included (`SAMPLE_SCHEMA`): ``lines`` counts the
        significant lines generated, ``covered`` those that the organization covers, which is the sum of ``exclusive``,
        ``shared`` and ``public``; ``continued`` the lines that the prompt really goes on with and the sample does, too,
        from the first on. *matches*, a row for each maximal run of generated lines that an organization covers
        (`MATCH_SCHEMA`): ``start`` is its line in the continuation from 1, ``lines`` its significant lines, ``text``
        what the continuation has of them, ``file`` and ``line`` where its first line is in the first place of its first
        window, ``places`` how many of those there are.

    Raises:
        ValueError: an index of another window length.
    """
    for name, index in [*indexes.items(), *([("the reference", reference)] if reference is not None else [])]:
        if index.min_lines != min_lines:
            raise ValueError(f"the index of {name} has windows of {index.min_lines} lines, not of {min_lines}")
    contexts = {row["prompt"]: row for row in prompts_context.to_pylist()}
    lines = _gather(generations, contexts, secret)

    windows = digest_windows(lines.digests, min_lines)
    # Generated lines are the tail of a sample: a window lies in them if its first line does, and reaches into them if
    # its last line does.
    at = len(lines.generated) - len(windows) if window_in_prompt else 0
    valid = inside_one(lines.starts, min_lines) & lines.generated[at : at + len(windows)]
    places = {name: index.places(windows) for name, index in indexes.items()}
    matched = {name: (counts > 0) & valid for name, (_, counts) in places.items()}

    def cover(found: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return spread(found, len(lines.digests), min_lines) & lines.generated

    covered = {name: cover(found) for name, found in matched.items()}
    public = np.zeros(len(lines.digests), dtype=np.bool_)
    if reference is not None:
        public = cover((reference.places(windows)[1] > 0) & valid)

    samples = _sample_rows(generations, lines, covered, public)
    runs = [
        _match_rows(generations, lines, index, name, covered[name], matched[name], places[name])
        for name, index in indexes.items()
    ]
    matches = pa.Table.from_pylist([row for rows in runs for row in rows], schema=MATCH_SCHEMA)
    return samples, matches


def _sample_rows(
    generations: pa.Table,
    lines: _Lines,
    covered: Mapping[str, npt.NDArray[np.bool_]],
    public: npt.NDArray[np.bool_],
) -> pa.Table:
    owners = np.zeros(len(lines.digests), dtype=np.int32)
    for mask in covered.values():
        owners += mask

    def total(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
        running = np.concatenate([[0], np.cumsum(mask)])
        return (running[lines.starts[1:]] - running[lines.starts[:-1]]).astype(np.int32)

    num_lines = total(lines.generated)
    tables = [
        pa.table(
            [
                generations["prompt"].combine_chunks(),
                generations["sample"].combine_chunks(),
                pa.array([name] * len(generations), pa.string()),
                num_lines,
                total(mask),
                total(mask & ~public & (owners == 1)),
                total(mask & ~public & (owners > 1)),
                total(mask & public),
                lines.continued,
            ],
            schema=SAMPLE_SCHEMA,
        )
        for name, mask in covered.items()
    ]
    return pa.concat_tables(tables) if tables else SAMPLE_SCHEMA.empty_table()


def _match_rows(
    generations: pa.Table,
    lines: _Lines,
    index: LineIndex,
    owner: str,
    covered: npt.NDArray[np.bool_],
    matched: npt.NDArray[np.bool_],
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> list[dict[str, object]]:
    """A row for each maximal run of covered lines inside one sample."""
    if not covered.any():
        return []
    sample_of = np.repeat(np.arange(len(lines.own)), np.diff(lines.starts))
    joined = np.zeros(len(covered) + 1, dtype=np.bool_)  # joined[i]: line i goes on with the run of line i - 1
    joined[1:-1] = covered[1:] & covered[:-1] & (sample_of[1:] == sample_of[:-1])
    begins = np.flatnonzero(covered & ~joined[:-1])
    ends = np.flatnonzero(covered & ~joined[1:]) + 1
    # The earliest matched window with the run's first line in it; windows of other samples cannot hold that line.
    at = np.flatnonzero(matched)
    first_window = at[np.searchsorted(at, begins - index.min_lines + 1)]
    prompts, numbers_of, texts = (generations[name].to_pylist() for name in ("prompt", "sample", "text"))
    rows: list[dict[str, object]] = []
    for begin, end, window in zip(begins.tolist(), ends.tolist(), first_window.tolist(), strict=True):
        sample = int(sample_of[begin])
        own, numbers = significant_lines(lines.texts[sample])
        low, high = begin - int(lines.own[sample]), end - int(lines.own[sample])
        position, count = int(places[0][window]), int(places[1][window])
        file, line = index.locate(position + begin - window)
        rows.append(
            {
                "prompt": prompts[sample],
                "sample": numbers_of[sample],
                "owner": owner,
                "start": numbers[low],
                "lines": end - begin,
                "fragment": fragment_id(own[low:high]),
                "text": "\n".join(texts[sample].split("\n")[numbers[low] - 1 : numbers[high - 1]]),
                "file": file,
                "line": line,
                "places": count,
            }
        )
    return rows
