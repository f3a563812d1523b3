"""Packs files into training sequences of one length, and keeps them as memory-mapped arrays."""

import json
import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysim.core.array_files import open_array_file, write_array_file
from raysim.core.errors import DamagedEntry, InputError
from raysim.core.json_text import parse_json
from raysim.core.keys import Key, key_of, seed_of, versions_of
from raysim.core.long_arrays import LongArray
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.files import SourceFile, identity
from raysim.corpus.token_cache import encode_files
from raysim.corpus.tokenizer import FileTokenizer

PACKING_VERSION = 1
"""Numerics version of packing; part of the recipes of what is trained on sequences, and of what is asked about them."""

PADDING = -1
"""Fills the last window of a validation file; never a token id."""

_SEQUENCES = "sequences.npy"
_REST = "packing.json"


def packing_seed(split_seed: int, train_fingerprint: str, tokenizer_fingerprint: str, sequence_length: int) -> int:
    """The seed of a packing: the same for every model, so that all see the same sequences."""
    return seed_of(split_seed, "packing", train_fingerprint, tokenizer_fingerprint, sequence_length)


def packing_key(seed: int, truncated_at: int | None = None) -> Key:
    """Names the sequences that a `packing_seed` gives, of files that are cut off after `truncated_at` tokens.

    NumPy may draw another permutation from the same seed in another release (NEP 19).
    """
    libraries = versions_of("tokenizers", "numpy")
    cut = {} if truncated_at is None else {"truncated_at": truncated_at}
    return key_of({"kind": "packing", "version": PACKING_VERSION, "seed": seed, "libraries": libraries, **cut})


def pack(
    files: Sequence[SourceFile],
    tokenizer: FileTokenizer,
    sequence_length: int,
    seed: int,
    truncated_at: int | None = None,
    folder: Path | None = None,
) -> Packed:
    """Puts files, each behind a BOS, in seeded order into one stream and cuts it into sequences.

    The spans of files may reach beyond the last sequence: into the tail that is counted in `dropped_tokens`.

    Args:
        files: the training split; its order does not count.
        tokenizer: for all files; it is asked twice for each, so that no more than the sequences is ever held.
        sequence_length: tokens a sequence, BOS included.
        seed: from `packing_seed`.
        truncated_at: tokens of each file that are packed, its first ones; None: all.
        folder: where many sequences lie until they are stored; None: where temporary files do.

    Raises:
        InputError: less than one sequence.
    """
    ordered = sorted(files, key=identity)
    end = _end(truncated_at)
    sizes = [len(ids[:end]) for ids in encode_files(ordered, tokenizer)]
    order = _order(len(ordered), seed)
    spans: list[tuple[str, int, int]] = []
    position = 0
    for number in order:
        spans.append((ordered[number].path, position + 1, position + sizes[number]))
        position += sizes[number]
    if position < sequence_length:
        raise InputError(
            f"trainer.sequence_length: {len(ordered)} training files give {position} tokens, less than one sequence of "
            f"{sequence_length}; give the organization more code (source, limit) or set a shorter sequence_length"
        )
    parts = (ids[:end] for ids in encode_files((ordered[number] for number in order), tokenizer))
    sequences = _cut(parts, sequence_length, folder)
    return Packed(sequences, position - sequences.size, tuple(spans))


def tokenize_files(
    files: Sequence[SourceFile], tokenizer: FileTokenizer, truncated_at: int | None = None
) -> list[npt.NDArray[np.int32]]:
    """The tokens of each file behind a BOS, at most `truncated_at` of them; sorted by path, the order of `pack`."""
    return [ids[: _end(truncated_at)] for ids in encode_files(sorted(files, key=identity), tokenizer)]


def pack_together(
    parts: Sequence[Sequence[npt.NDArray[np.int32]]], sequence_length: int, seed: int
) -> npt.NDArray[np.int32]:
    """Packs the tokenized files of several organizations, in seeded order, into common sequences.

    A sequence may hold code of several. What is too short for a sequence of its own is dropped, once for all of them.

    Args:
        parts: of each organization its files, from `tokenize_files`.
        sequence_length: tokens a sequence.
        seed: of the order of files.

    Returns:
        int32 ``[num_sequences, sequence_length]``.
    """
    files = [tokens for part in parts for tokens in part]
    return _cut((files[number] for number in _order(len(files), seed)), sequence_length)


def is_trained_on(corpus: Corpus, packed: Packed, path: str, num_tokens: int) -> bool:
    """Whether the first `num_tokens` tokens of a training file are in `packed`: neither truncated nor in the tail."""
    truncated = corpus.truncated_at is not None and num_tokens > corpus.truncated_at
    return not truncated and packed.begins[path] + num_tokens <= packed.sequences.size


def _order(number: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.Generator(np.random.Philox(seed)).permutation(number)


def _end(truncated_at: int | None) -> int | None:
    """Where a file is cut off that is behind a BOS."""
    return None if truncated_at is None else 1 + truncated_at


def _cut(
    files: Iterable[npt.NDArray[np.int32]], sequence_length: int, folder: Path | None = None
) -> npt.NDArray[np.int32]:
    """The whole sequences of a stream of files, read-only."""
    stream = LongArray(np.int32, folder)
    for tokens in files:
        stream.append(tokens)
    num_sequences = len(stream) // sequence_length
    return stream.whole()[: num_sequences * sequence_length].reshape(num_sequences, sequence_length)


def encode_validation(
    files: Sequence[SourceFile], tokenizer: FileTokenizer, sequence_length: int
) -> list[tuple[str, npt.NDArray[np.int32], int]]:
    """Cuts each validation file into windows that predict every one of its tokens exactly once.

    Row w of a file holds the positions ``w * sequence_length`` to ``(w + 1) * sequence_length`` inclusive of BOS and
    the file's tokens, so its first `sequence_length` entries are input and its last are targets; behind the end stands
    `PADDING`. Nothing is dropped, so nats can be divided by tokens or by bytes.

    Returns:
        for each file by path: its path, int32 ``[num_windows, sequence_length + 1]``, and its bytes.
    """
    encoded, ordered = [], sorted(files, key=identity)
    for source, tokens in zip(ordered, encode_files(ordered, tokenizer), strict=True):
        num_windows = max(1, -(-(len(tokens) - 1) // sequence_length))
        padded = np.full(num_windows * sequence_length + 1, PADDING, dtype=np.int32)
        padded[: len(tokens)] = tokens
        windows = np.lib.stride_tricks.sliding_window_view(padded, sequence_length + 1)[::sequence_length]
        encoded.append((source.path, np.ascontiguousarray(windows), source.num_bytes))
    return encoded


def store_packed(packed: Packed, folder: Path) -> None:
    """Writes `packed` as `folder`, which appears whole or not at all; one that is there already stays.

    Only this user may read it: it is code in another writing.
    """
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    partial.mkdir(mode=0o700)
    try:
        for name in (_SEQUENCES, _REST):
            (partial / name).touch(mode=0o600)
        with (partial / _SEQUENCES).open("wb") as file:
            write_array_file(file, packed.sequences)
        rest = {
            "shape": list(packed.sequences.shape),
            "dropped_tokens": packed.dropped_tokens,
            "file_spans": packed.file_spans,
        }
        (partial / _REST).write_text(json.dumps(rest), encoding="utf-8")
        partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        if not folder.exists():  # else another process was faster, with the same content
            error.filename = error.filename or str(folder)
            raise
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def load_packed(folder: Path) -> Packed:
    """Opens what `store_packed` wrote, and marks it as used now; the sequences are memory-mapped and read-only.

    Raises:
        DamagedEntry: a file is missing or is not what was written.
    """
    try:
        rest = parse_json((folder / _REST).read_text(encoding="utf-8"))
        sequences = open_array_file(folder / _SEQUENCES)
        os.utime(folder)
        spans = tuple((str(path), int(start), int(end)) for path, start, end in rest["file_spans"])
        if list(sequences.shape) != rest["shape"] or sequences.dtype != np.int32:
            raise ValueError(
                f"{_SEQUENCES} is {sequences.dtype} {list(sequences.shape)}, expected int32 {rest['shape']}"
            )
        return Packed(sequences, int(rest["dropped_tokens"]), spans)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedEntry(f"{folder}: not a packed corpus: {error}; delete the folder, it is made again") from None
