"""Prompts as the engine takes them: their kinds, their identity, and which of them are answered together."""

import hashlib
import json
from collections.abc import Sequence

import pyarrow as pa

from raysim.corpus.lines import significant_lines
from raysim.inference.settings import Sampling

FUNCTION, PREFIX, PLANTED, HELD_OUT, NEUTRAL = "function", "prefix", "planted", "held_out", "neutral"

FROM_TRAINING = frozenset({FUNCTION, PREFIX, PLANTED})
"""Kinds of prompts that are training text."""

_UNDECODED = "\ufffd"


def open_line(text: str) -> tuple[str, str]:
    """The line in which a continuation of the prompt `text` begins, as far as it is the prompt's.

    Returns:
        its whole characters, and what stands for the bytes of one that the end of the prompt cuts.
    """
    line = text[text.rfind("\n") + 1 :]
    whole = line.rstrip(_UNDECODED)
    return whole, line[len(whole) :]


def continued_lines(begun: str, cut: str, text: str) -> tuple[list[str], list[int], bool]:
    """The significant lines of a continuation, from the start of the line that it goes on with.

    Args:
        begun: the whole characters of that line, see `open_line`.
        cut: what stands there for the bytes of one that the end of the prompt cuts.
        text: the continuation.

    Returns:
        the stripped lines, their numbers from 1, and whether the first of them is the prompt's, as all of its
        characters are.
    """
    lines, numbers = significant_lines(begun + text)
    first = text.partition("\n")[0].removeprefix(cut)
    return lines, numbers, bool(numbers) and numbers[0] == 1 and not first.strip()


def prompt_id(kind: str, tokens: Sequence[int]) -> str:
    """16 hexadecimal digits that name a prompt by its content."""
    content = json.dumps([kind, [int(token) for token in tokens]], separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def split_batches(prompts: pa.Table, settings: Sampling) -> list[pa.Table]:
    """Prompts that are generated together: of similar length, with or without stop strings, ordered by their id.

    A pure function of the table (not of the order of its rows) and the settings; splitting a batch again gives it back.
    """
    per_batch = max(1, settings.batch_size // settings.samples)
    kinds, ids = prompts["kind"].to_pylist(), prompts["prompt"].to_pylist()
    lengths = [len(tokens) for tokens in prompts["tokens"].to_pylist()]
    organizations = prompts["organization"].to_pylist()
    order = sorted(range(len(ids)), key=lambda i: (kinds[i] == PREFIX, lengths[i], ids[i], organizations[i]))
    batches: list[list[int]] = []
    for stops in (True, False):
        part = [i for i in order if (kinds[i] != PREFIX) == stops]
        batches += [part[at : at + per_batch] for at in range(0, len(part), per_batch)]
    return [prompts.take(batch) for batch in batches]
