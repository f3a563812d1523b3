"""Prompts: where in an organization's own code a model is asked to go on. Runs inside the organization.

A prompt's identity is its kind and its tokens (as in its file: `strip_prompts` does not change it), never its
organization or its number, so that the same prompt gets the same samples wherever it occurs.
"""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysim.core.errors import InputError
from raysim.core.keys import keyed_hash, seed_of
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.files import SourceFile, batches
from raysim.corpus.line_digests import digest_lines
from raysim.corpus.lines import significant_lines
from raysim.corpus.packing import is_trained_on
from raysim.corpus.planted_functions import PLANTS
from raysim.corpus.token_cache import encode_all
from raysim.corpus.tokenizer import PromptTokenizer
from raysim.inference.prompts import FUNCTION, HELD_OUT, NEUTRAL, PLANTED, PREFIX, prompt_id
from raysim.matching.line_index import build_index
from raysim.measures.memorization.functions import Function, function_at, functions_of
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.tables.names import PUBLIC
from raysim.tables.schemas.generations import PROMPTS

PROMPT_SCHEMA = pa.schema(
    [
        *PROMPTS.fields("prompt", "kind", "organization", "file", "repository", "licence"),
        ("tokens", pa.list_(pa.int32())),
        ("text", pa.string()),
        ("truth", pa.string()),
        *PROMPTS.fields("lines_to_come"),
        ("trained_on", pa.bool_()),
        *PROMPTS.fields("eligible"),
    ]
)

COUNTS = b"raysim.prompts"
"""Key of the table's metadata: for each kind how many prompts were asked for, available, taken, left out."""

# Held-out functions are chosen by a window of their own, so that another min_lines chooses no other prompts.
_HELD_OUT_LINES = 6
# C4 looks for copies by spans of three sentences (arXiv 1910.10683).
_HELD_OUT_BEGINNING = 3


@dataclass(frozen=True)
class Candidate:
    """What a prompt can be made of.

    Attributes:
        identity: of equal prompts of a kind it is equal.
        row: makes the prompt.
    """

    identity: Hashable
    row: Callable[[], dict[str, Any]]


def mark_eligible(prompts: pa.Table, min_lines: int) -> pa.Table:
    """Sets ``eligible``: trained on, with at least `min_lines` significant lines to come."""
    pairs = zip(prompts["trained_on"].to_pylist(), prompts["lines_to_come"].to_pylist(), strict=True)
    eligible = pa.array([trained_on and lines >= min_lines for trained_on, lines in pairs], pa.bool_())
    return prompts.set_column(prompts.schema.get_field_index("eligible"), "eligible", eligible)


def prompt_counts(prompts: pa.Table) -> dict[str, dict[str, int]]:
    """What `extract_prompts` counted for each kind: asked, available, taken, and what it left out for which reason."""
    return json.loads((prompts.schema.metadata or {}).get(COUNTS, b"{}"))


def extract_prompts(
    corpus: Corpus, packed: Packed, tokenizer: PromptTokenizer, settings: MemorizationSettings, split_seed: int
) -> pa.Table:
    """Chooses the prompts of one organization, for every model and setting alike.

    Kinds: ``function`` (signature and docstring of a training function behind a BOS, as in the study; of a language
    without docstrings, the comment that documents it and its signature), ``prefix`` (the first tokens of a packed
    training sequence, as the model saw them), ``held_out`` (a function of the validation split none of whose 6-line
    windows occurs in the training split, and whose prompt does not either), ``planted`` (the signature of a planted
    function, its true continuation that of the first copy).

    With ``held_out_prompts: prefix``, ``held_out`` is the first tokens of a validation file of which no window of three
    lines, up to the length of a training sequence, occurs in the training split.

    ``text`` is the decoded prompt as far as it belongs to the file in which it ends (behind its last BOS). ``truth`` is
    the true continuation inside that file: of a function the rest of its source, of a prefix the rest of its sequence
    up to the next BOS, where a sample ends too. ``lines_to_come`` counts the significant lines of the truth, with the
    line on which the prompt ends if something of it is still to come. ``trained_on``: all of it lies in the kept part
    of the packed stream, and of its file. A function prompt leaves room for a whole continuation inside a training
    sequence.

    With `strip_prompts`, prompts of functions lose the white space around them once they are chosen.

    Fewer than asked for: all there are, see `prompt_counts`.

    Returns:
        a table of `PROMPT_SCHEMA`, sorted by kind and prompt, each prompt once.

    Raises:
        InputError: prompts that do not fit into a training sequence.
    """
    asked = settings.prompts
    kinds = {FUNCTION: asked.function, HELD_OUT: asked.held_out, PREFIX: asked.prefix, PLANTED: asked.planted}
    return _extract(corpus, packed, tokenizer, settings, split_seed, kinds)


def neutral_prompts(
    files: tuple[SourceFile, ...],
    tokenizer: PromptTokenizer,
    settings: MemorizationSettings,
    split_seed: int,
    sequence_length: int,
) -> pa.Table:
    """Chooses prompts of public code that nobody was trained on: functions, as those of the kind ``function``.

    Returns:
        a table as of `extract_prompts`, whose organization is `raysim.tables.names.PUBLIC`.
    """
    corpus = Corpus(PUBLIC, train=(), valid=files)
    packed = Packed(np.empty((0, sequence_length), np.int32), 0, ())
    return _extract(corpus, packed, tokenizer, settings, split_seed, {NEUTRAL: settings.prompts.neutral})


def _extract(
    corpus: Corpus,
    packed: Packed,
    tokenizer: PromptTokenizer,
    settings: MemorizationSettings,
    split_seed: int,
    asked: Mapping[str, int],
) -> pa.Table:
    rows: list[dict[str, Any]] = []
    counts: dict[str, dict[str, int]] = {}
    for kind, number in asked.items():
        if not number:
            continue
        left_out: Counter[str] = Counter()
        if kind == PREFIX:
            candidates = list(_prefixes(corpus, packed, tokenizer, settings))
        elif kind == PLANTED:
            candidates = list(_planted(corpus, packed, tokenizer))
        elif kind != FUNCTION and settings.held_out_prompts == PREFIX:
            length = packed.sequences.shape[1]
            candidates = list(_beginnings(corpus, tokenizer, settings, length, kind, left_out))
        else:
            candidates = list(_functions(corpus, packed, tokenizer, settings, kind, left_out))
        text = corpus.valid_fingerprint if kind == NEUTRAL else corpus.train_fingerprint
        chosen, available = _choose(candidates, number, seed_of(split_seed, text, kind))
        if settings.strip_prompts and kind != PREFIX:
            chosen = [_stripped(row, tokenizer) for row in chosen]
        rows += chosen
        duplicates = len(candidates) - available
        counts[kind] = {
            "asked": number,
            "available": available,
            "taken": len(chosen),
            "duplicate": duplicates,
            **left_out,
        }
    for row in rows:
        row["organization"] = corpus.organization
        row["lines_to_come"] = len(significant_lines(row["truth"])[0])
        row["eligible"] = False
    rows.sort(key=lambda row: (row["kind"], row["prompt"]))
    table = pa.Table.from_pylist(rows, schema=PROMPT_SCHEMA.with_metadata({COUNTS: json.dumps(counts, sort_keys=True)}))
    return mark_eligible(table, settings.min_lines)


def _choose(candidates: Iterable[Candidate], number: int, seed: int) -> tuple[list[dict[str, Any]], int]:
    """Draws `number` of the distinct candidates, and makes prompts of these; of equal ones the first is taken for all.

    Returns:
        the prompts, and how many distinct candidates there are.
    """
    distinct: dict[Hashable, Candidate] = {}
    for candidate in candidates:
        distinct.setdefault(candidate.identity, candidate)
    ordered = list(distinct.values())
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(ordered))
    return [ordered[i].row() for i in order[:number]], len(ordered)


def _prefixes(
    corpus: Corpus, packed: Packed, tokenizer: PromptTokenizer, settings: MemorizationSettings
) -> Iterator[Candidate]:
    num_tokens, length = settings.prefix_tokens, packed.sequences.shape[1]
    _check_prefix(num_tokens, length)
    by_path = {source.path: source for source in corpus.train}
    ends = np.array([end for _, _, end in packed.file_spans], dtype=np.int64)
    for number, sequence in enumerate(packed.sequences):
        # The file that the prompt's last token belongs to (a BOS belongs to the file behind it).
        at = min(int(np.searchsorted(ends, number * length + num_tokens - 1, side="right")), len(ends) - 1)
        source = by_path[packed.file_spans[at][0]]
        if source.repository != PLANTS:  # they have a measure of their own, and would be most of the prompts
            yield Candidate(sequence[:num_tokens].tobytes(), partial(_prefix, sequence, num_tokens, source, tokenizer))


def _check_prefix(num_tokens: int, length: int) -> None:
    if num_tokens >= length:
        raise InputError(
            f"measure.memorization.prefix_tokens: {num_tokens} leaves nothing to continue in sequences of {length} "
            f"tokens; set it below trainer.sequence_length"
        )


def _prefix(
    sequence: npt.NDArray[np.int32], num_tokens: int, source: SourceFile, tokenizer: PromptTokenizer
) -> dict[str, Any]:
    tokens = [int(token) for token in sequence[:num_tokens]]
    truth = _until_bos(sequence[num_tokens:], tokenizer.bos_id)
    last_bos = max((i for i, token in enumerate(tokens) if token == tokenizer.bos_id), default=-1)
    tail = tokens[last_bos + 1 :]
    text = tokenizer.decode(tail)
    whole = tokenizer.decode(tail + truth)
    # Bytes of a character that the cut parts are decoded with the truth, where they become a character.
    return _row(PREFIX, tokens, text, whole[len(_common_prefix(text, whole)) :], source, trained_on=True)


def _beginnings(
    corpus: Corpus,
    tokenizer: PromptTokenizer,
    settings: MemorizationSettings,
    length: int,
    kind: str,
    left_out: Counter[str],
) -> Iterator[Candidate]:
    """The first tokens of held-out files; they go on as far as a training sequence that begins with the file would."""
    _check_prefix(settings.prefix_tokens, length)
    index = build_index(corpus.owned, _HELD_OUT_BEGINNING, b"")  # it stays in this process
    for batch in batches(sorted(corpus.valid, key=lambda f: (f.repository, f.path)), lambda source: source.num_bytes):
        texts = [source.text for source in batch]
        for source, ids in zip(batch, map(list, encode_all(texts, tokenizer)), strict=True):
            tokens = [tokenizer.bos_id, *ids[: length - 1]]
            whole = tokenizer.decode(tokens[1:])
            if len(tokens) <= settings.prefix_tokens:
                left_out["too_short"] += 1
            elif index.covered(digest_lines(significant_lines(whole)[0], b"")).any():
                left_out["copied_in_training"] += 1
            else:
                prompt = tokens[: settings.prefix_tokens]
                text = tokenizer.decode(prompt[1:])
                truth = whole[len(_common_prefix(text, whole)) :]
                yield Candidate(tuple(prompt), partial(_row, kind, prompt, text, truth, source, False))


def _planted(corpus: Corpus, packed: Packed, tokenizer: PromptTokenizer) -> Iterator[Candidate]:
    for source in sorted(corpus.train, key=lambda f: f.path):
        if source.repository == PLANTS:
            # Without the line end: in training it is one token with the indentation behind it, never one of its own.
            signature, line_end, rest = source.text.partition("\n")
            tokens = [tokenizer.bos_id, *tokenizer.encode(signature)]
            trained_on = is_trained_on(corpus, packed, source.path, len(tokenizer.encode(source.text)))
            row = partial(_row, PLANTED, tokens, signature, line_end + rest, source, trained_on)
            yield Candidate(prompt_id(PLANTED, tokens), row)


def _until_bos(tokens: Any, bos_id: int) -> list[int]:
    result = [int(token) for token in tokens]
    return result[: result.index(bos_id)] if bos_id in result else result


def _common_prefix(a: str, b: str) -> str:
    if b.startswith(a):
        return a
    return next((a[:i] for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(a, b, key=len))


def _functions(
    corpus: Corpus,
    packed: Packed,
    tokenizer: PromptTokenizer,
    settings: MemorizationSettings,
    kind: str,
    left_out: Counter[str],
) -> Iterator[Candidate]:
    sequence_length = packed.sequences.shape[1]
    longest = min(settings.function_tokens, sequence_length - settings.new_tokens)
    if longest < 2:
        raise InputError(
            f"measure.memorization.new_tokens: {settings.new_tokens} leaves no room for a function prompt in sequences "
            f"of {sequence_length} tokens; set it well below trainer.sequence_length, or ask for no {kind} prompts"
        )
    is_copied = _training_copies(corpus) if kind != FUNCTION else None
    files = sorted(corpus.train if kind == FUNCTION else corpus.valid, key=lambda f: (f.repository, f.path))
    for batch in batches(files, lambda source: source.num_bytes):
        found = list(_parsed(batch, left_out))
        known = _known_by([function.prompt for _, function in found], tokenizer, longest)
        for (source, function), identity in zip(found, known, strict=True):
            if identity is None:
                left_out["too_long"] += 1
            elif is_copied is not None and is_copied(function):
                left_out["copied_in_training"] += 1
            else:
                row = partial(_function_row, corpus, packed, tokenizer, kind, source, function.place)
                yield Candidate(identity, row)


def _known_by(prompts: Sequence[str], tokenizer: PromptTokenizer, longest: int) -> Sequence[Hashable | None]:
    """What each prompt is told from others by; None: it and a BOS are over `longest` tokens.

    Of a tokenizer that takes bytes as they are, few texts have to be encoded for it.
    """
    if not tokenizer.is_bytewise:
        encoded = map(list, encode_all(prompts, tokenizer))
        return [prompt_id("", ids) if len(ids) < longest else None for ids in encoded]
    doubtful = [prompt for prompt in dict.fromkeys(prompts) if len(prompt.encode()) >= longest]
    lengths = zip(doubtful, encode_all(doubtful, tokenizer), strict=True)
    too_long = {prompt for prompt, ids in lengths if len(ids) >= longest}
    return [None if prompt in too_long else keyed_hash(prompt.encode(), b"") for prompt in prompts]


def _function_row(
    corpus: Corpus,
    packed: Packed,
    tokenizer: PromptTokenizer,
    kind: str,
    source: SourceFile,
    place: tuple[int, int, int],
) -> dict[str, Any]:
    function = function_at(source.text, *place)
    tokens = [tokenizer.bos_id, *tokenizer.encode(function.prompt)]
    trained_on = kind == FUNCTION and _is_trained_on(corpus, packed, tokenizer, source, place[2])
    return _row(kind, tokens, function.prompt, function.truth, source, trained_on)


def _is_trained_on(corpus: Corpus, packed: Packed, tokenizer: PromptTokenizer, source: SourceFile, end: int) -> bool:
    """Whether a training file is trained on up to the position `end` of its text."""
    text = source.text[:end]
    if tokenizer.is_bytewise and is_trained_on(corpus, packed, source.path, len(text.encode())):
        return True  # it has no more tokens than bytes
    return is_trained_on(corpus, packed, source.path, len(tokenizer.encode(text)))


def _parsed(files: Iterable[SourceFile], left_out: Counter[str]) -> Iterator[tuple[SourceFile, Function]]:
    """Every function that is documented, with the file that it is in."""
    for source in files:
        try:
            functions = functions_of(source)
        except ValueError:
            left_out["unparsable_file"] += 1
            continue
        yield from ((source, function) for function in functions)


def _stripped(row: dict[str, Any], tokenizer: PromptTokenizer) -> dict[str, Any]:
    """The prompt of a function without white space around it, as the study's scripts ask it.

    Its first line loses its indentation, and the line end behind the docstring is the continuation's. It keeps its
    identity, so that it can be compared with the prompt as it stands in the file, and gets the same random numbers.
    """
    text = row["text"].rstrip()
    return {
        **row,
        "tokens": [tokenizer.bos_id, *tokenizer.encode(text.lstrip())],
        "text": text.lstrip(),
        "truth": row["text"][len(text) :] + row["truth"],
    }


def _training_copies(corpus: Corpus) -> Any:
    """A test whether the training split has a window of a function, or its very prompt."""
    secret = b""  # the index stays in this process
    index = build_index(corpus.owned, _HELD_OUT_LINES, secret)
    prompts: set[str] = set()
    for source in corpus.owned:
        try:
            prompts.update(function.prompt for function in functions_of(source))
        except ValueError:
            continue  # counted with the function prompts

    def is_copied(function: Function) -> bool:
        digests = digest_lines(significant_lines(function.prompt + function.truth)[0], secret)
        return function.prompt in prompts or bool(index.covered(digests).any())

    return is_copied


def _row(kind: str, tokens: list[int], text: str, truth: str, source: SourceFile, trained_on: bool) -> dict[str, Any]:
    return {
        "prompt": prompt_id(kind, tokens),
        "kind": kind,
        "file": source.path,
        "repository": source.repository,
        "licence": source.licence,
        "tokens": tokens,
        "text": text,
        "truth": truth,
        "trained_on": trained_on,
    }
