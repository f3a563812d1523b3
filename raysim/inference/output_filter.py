"""An output filter: no continuation repeats so many consecutive significant lines of somebody's training split.

MemFree decoding refuses the token that would complete an n-gram of a Bloom filter of the training data (Ippolito et
al.: Preventing Verbatim Memorization in Language Models Gives a False Sense of Privacy, arXiv 2210.17546). Here the
unit is the line, as wherever matches are counted: what would complete a window of lines is taken back to the start of
its last line. One changed character in every window passes, which is the paper's point.

Who has models generate holds a Bloom filter of keyed digests for each owner, and none of its lines.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from raysim.core.bloom import BloomFilter
from raysim.core.keys import DIGEST_BYTES
from raysim.core.windows import Mask, inside_one
from raysim.corpus.line_digests import Digests, digest_lines, digest_windows, to_binary
from raysim.corpus.lines import significant_lines
from raysim.inference.prompts import continued_lines, open_line

FILTERED = "filter"
"""Why a sample ended: the next line would have completed a window."""

BLOCKS_FIELDS = [("windows", pa.list_(pa.binary(DIGEST_BYTES))), ("lost_tokens", pa.int32())]
"""What is known of the blocks of a sample: keyed digests of the windows, in their order, and the tokens taken back."""


@dataclass(frozen=True)
class Beginning:
    """What a continuation goes on with.

    Attributes:
        context: stripped significant lines of the prompt before its last line that a window may begin in.
        line: the last line's whole characters.
        cut: what stands for the bytes of one that the end of the prompt cuts.
    """

    context: tuple[str, ...]
    line: str
    cut: str


NO_BEGINNING = Beginning((), "", "")
"""Of a continuation that nobody filters."""


@dataclass(frozen=True)
class Block:
    """The first line of a continuation that completes a window.

    Attributes:
        start: where the line begins in the continuation, in characters.
        end: where it ends, without its line end.
        window: keyed digest of the window.
    """

    start: int
    end: int
    window: bytes


@dataclass(frozen=True)
class OutputFilter:
    """Says which continuations repeat a window of somebody's lines.

    Attributes:
        lines: consecutive significant lines that must not be repeated.
        attempts: how often a sample that is blocked is drawn anew from the start of the line; 0: it ends there.
        window_in_prompt: whether a window may begin in the prompt, as long as it ends in the continuation.
        key: of all line digests.
        owners: windows of each owner's training split, by its name.
    """

    lines: int
    attempts: int
    window_in_prompt: bool
    key: bytes
    owners: Mapping[str, BloomFilter]

    def beginning(self, prompt: str) -> Beginning:
        """What a continuation of the text `prompt` begins with."""
        line, cut = open_line(prompt)
        before = significant_lines(prompt[: prompt.rfind("\n") + 1])[0] if self.window_in_prompt else []
        return Beginning(tuple(before[max(0, len(before) - self.lines + 1) :]), line, cut)

    def blocked(self, windows: Digests) -> Mask:
        """Which windows the filter of any owner takes for one of its own."""
        found = np.zeros(len(windows), dtype=np.bool_)
        for one in self.owners.values():
            found |= one.holds(windows)
        return found

    def first_blocks(self, beginnings: Sequence[Beginning], texts: Sequence[str]) -> list[Block | None]:
        """The first line of each continuation, the unfinished one at its end included, that completes a window."""
        rows = [self._lines_of(*pair) for pair in zip(beginnings, texts, strict=True)]
        found: list[Block | None] = []
        windows = self.completed([row.lines for row in rows], [row.own for row in rows])
        for beginning, text, row, window in zip(beginnings, texts, rows, windows, strict=True):
            found.append(window and _block(beginning, text, row.numbers[window[0] - row.own], window[1]))
        return found

    def completed(self, rows: Sequence[Sequence[str]], own: Sequence[int]) -> list[tuple[int, bytes] | None]:
        """The first window that is blocked among the consecutive lines of each row.

        Args:
            rows: significant lines, those before the continuation first.
            own: for each row how many these are; a window has to end behind them.

        Returns:
            for each row the place of the window's last line and the window's digest, or None.
        """
        starts = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
        windows = digest_windows(digest_lines([line for row in rows for line in row], self.key), self.lines)
        inside = np.flatnonzero(inside_one(starts, self.lines))
        hits = inside[self.blocked(windows[inside])]
        found: list[tuple[int, bytes] | None] = [None] * len(rows)
        for hit, digest in zip(hits.tolist(), to_binary(windows[hits]), strict=True):
            row = int(np.searchsorted(starts, hit, side="right")) - 1
            last = hit + self.lines - 1 - int(starts[row])
            if last >= own[row] and found[row] is None:
                found[row] = last, digest
        return found

    def _lines_of(self, beginning: Beginning, text: str) -> "_Continued":
        lines, numbers, first_is_prompts = continued_lines(beginning.line, beginning.cut, text)
        before = list(beginning.context)
        if first_is_prompts:
            before += lines[:1] if self.window_in_prompt else []
            lines, numbers = lines[1:], numbers[1:]
        return _Continued([*before, *lines], numbers, len(before))


@dataclass(frozen=True)
class _Continued:
    """Significant lines around a continuation: the first `own` are the prompt's, the others have `numbers` from 1."""

    lines: list[str]
    numbers: list[int]
    own: int


def _block(beginning: Beginning, text: str, number: int, window: bytes) -> Block:
    """The block by the line `number` from 1 of what the continuation and the line that it goes on with are."""
    whole = (beginning.line + text).split("\n")
    start = sum(len(line) + 1 for line in whole[: number - 1])
    skipped = len(beginning.line)
    return Block(max(0, start - skipped), start + len(whole[number - 1]) - skipped, window)


@dataclass
class _Followed:
    """What is known of a row: tokens read, the significant lines before, and what its open line has so far."""

    lines: list[str]
    open: str
    read: int = 0
    in_prompt: bool = True


@dataclass
class LineWatch:
    """Follows the rows of a batch while they are generated, and says which have probably completed a window.

    It decodes finished lines by themselves, once. Where tokens decode otherwise together it may be wrong either way:
    who asks verifies what it says, and what it misses is found when the row has ended.

    Attributes:
        filter: that is applied.
        decode: tokens to text.
        beginnings: of the rows.
    """

    filter: OutputFilter
    decode: Callable[[list[int]], str]
    beginnings: Sequence[Beginning]
    _rows: dict[int, _Followed] = field(default_factory=dict)

    def hits(self, generated: Mapping[int, list[int]]) -> list[int]:
        """The rows whose new finished lines complete a window.

        Args:
            generated: for each row all tokens of its continuation so far.
        """
        asked: dict[int, tuple[list[str], int]] = {}
        for row, tokens in generated.items():
            if row not in self._rows:
                start = self.beginnings[row]
                self._rows[row] = _Followed(list(start.context), start.line)
            followed = self._rows[row]
            known = len(followed.lines)
            known += self._read(followed, tokens)
            if len(followed.lines) > known:
                asked[row] = followed.lines, known
                followed.lines = followed.lines[max(0, len(followed.lines) - self.filter.lines + 1) :]
        windows = self.filter.completed([lines for lines, _ in asked.values()], [known for _, known in asked.values()])
        return [row for row, window in zip(asked, windows, strict=True) if window]

    def _read(self, row: _Followed, tokens: list[int]) -> int:
        """Takes the lines that have been finished since; how many of them are the prompt's alone: 1 or 0."""
        own = 0
        if "\n" not in self.decode(tokens[row.read :]):
            return own
        end = len(tokens)
        while "\n" not in self.decode(tokens[end - 1 : end]):
            end -= 1
            if end == row.read:  # a line end of several tokens: never seen
                return own
        text = self.decode(tokens[row.read : end])
        finished, _, rest = (row.open + text).rpartition("\n")
        if row.in_prompt and not text.partition("\n")[0].strip():
            if self.filter.window_in_prompt:
                own = len(significant_lines(finished.partition("\n")[0])[0])
            else:
                finished = finished.partition("\n")[2]
        row.lines += significant_lines(finished)[0]
        row.open, row.read, row.in_prompt = rest, end, False
        return own
