"""How prompts really go on: the lines to come, known by their digests, and how often they occur elsewhere."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from raysim.core.keys import DIGEST_BYTES
from raysim.corpus.line_digests import digest_lines, digest_windows, from_binary, to_binary
from raysim.corpus.lines import significant_lines
from raysim.matching.line_index import LineIndex
from raysim.tables.schemas.generations import PROMPTS

WINDOW_SCHEMA = pa.schema([("prompt", pa.string()), ("window", pa.binary(DIGEST_BYTES))])
COPY_SCHEMA = pa.schema(PROMPTS.fields("prompt", "copies_within", "copies_across", "copies_public"))


def lines_to_come(begun: str, truth: str) -> list[str]:
    """The significant lines of a true continuation.

    Args:
        begun: the beginning of the line that the continuation goes on with.
        truth: the continuation. If it has nothing of that line but white space, the line is no part of it.
    """
    lines, numbers = significant_lines(begun + truth)
    if lines and numbers[0] == 1 and not truth.partition("\n")[0].strip():
        return lines[1:]
    return lines


def truth_windows(prompts: pa.Table, min_lines: int, secret: bytes) -> pa.Table:
    """Keyed digest of how each prompt really goes on; runs inside the organization.

    Returns:
        a table of `WINDOW_SCHEMA`, a row for each row of `prompts`: the window of the first `min_lines` significant
        lines of the true continuation, from the start of the line in which it begins; null where it has fewer.
    """
    windows: list[bytes | None] = []
    for text, truth in zip(prompts["text"].to_pylist(), prompts["truth"].to_pylist(), strict=True):
        lines = lines_to_come(text[text.rfind("\n") + 1 :], truth)
        first = digest_windows(digest_lines(lines[:min_lines], secret), min_lines)
        windows.append(to_binary(first)[0] if len(first) else None)
    return pa.table([prompts["prompt"], pa.array(windows, WINDOW_SCHEMA.field("window").type)], schema=WINDOW_SCHEMA)


def count_copies(
    windows: pa.Table,
    indexes: Mapping[str, LineIndex],
    owner_of_prompt: Mapping[str, str],
    reference: LineIndex | None,
) -> pa.Table:
    """How often the true continuation of each prompt occurs elsewhere, by its first window.

    Returns:
        a table of `COPY_SCHEMA`, a row for each row of `windows`: places in the training split of the prompt's
        organization besides its own, in those of all others, and in the reference; null where there is no window.
    """
    prompts = windows["prompt"].to_pylist()
    known = np.array(windows["window"].is_valid().to_pylist(), dtype=np.bool_)
    digests = from_binary(value or bytes(DIGEST_BYTES) for value in windows["window"].to_pylist())
    counts = {name: index.places(digests)[1] for name, index in indexes.items()}
    owners = [owner_of_prompt[prompt] for prompt in prompts]
    zero = np.zeros(len(prompts), dtype=np.int64)
    own = np.array([counts[owner][i] if owner in counts else 0 for i, owner in enumerate(owners)], dtype=np.int64)
    across = sum(counts.values(), zero) - own
    public = reference.places(digests)[1] if reference is not None else zero
    columns = [pa.array(values, pa.int32(), mask=~known) for values in (np.maximum(own - 1, 0), across, public)]
    return pa.table([windows["prompt"], *columns], schema=COPY_SCHEMA)
