"""A sample under an output filter: what is left of it, what of it is drawn anew, and what that cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from raysim.inference.output_filter import FILTERED, Beginning, Block, OutputFilter
from raysim.inference.stopping import Endings


@dataclass
class FilteredSample:
    """One sample.

    Attributes:
        tail: the prompt's tokens behind its last BOS.
        beginning: what the prompt's text begins it with.
        tokens: generated, at least up to where it ends.
        answer: see `raysim.inference.stopping.Endings.finish`; where it is blocked, what comes before the line.
        block: where it is blocked.
        kept: tokens before that line.
        windows: of all blocks until now.
        lost: tokens taken back until now: those of the lines that would have completed windows.
    """

    tail: list[int]
    beginning: Beginning
    tokens: list[int]
    answer: dict[str, Any]
    block: Block | None = None
    kept: list[int] = field(default_factory=list)
    windows: list[bytes] = field(default_factory=list)
    lost: int = 0

    def cut(self, block: Block, endings: Endings) -> None:
        """Ends it before the line that `block` names."""
        text = self.answer["text"][: block.start]
        start, end = (endings.num_tokens(self.tail, self.tokens, at) for at in (block.start, block.end))
        self.answer = {"text": text, "new_tokens": start, "ended": FILTERED}
        self.block = block
        self.windows.append(block.window)
        self.lost += end - start
        while start and not text.startswith(endings.text(self.tail, self.tokens[:start])):
            start -= 1  # a token that has the end of one line and the beginning of the next
        self.kept = self.tokens[:start]

    def result(self) -> dict[str, Any]:
        """Its row, but for prompt and number."""
        return {**self.answer, "windows": self.windows, "lost_tokens": self.lost}


def cut_blocked(output_filter: OutputFilter, samples: Sequence[FilteredSample], endings: Endings) -> None:
    """Ends each of `samples` before its first line that completes a window, or finds that it has none."""
    blocks = output_filter.first_blocks([one.beginning for one in samples], [one.answer["text"] for one in samples])
    for sample, block in zip(samples, blocks, strict=True):
        sample.block = None
        if block:
            sample.cut(block, endings)
