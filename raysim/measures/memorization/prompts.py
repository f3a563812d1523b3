"""Prompts: where in an organization's own code a model is asked to go on. Runs inside the organization.

A prompt's identity is its kind and its tokens (as in its file: `strip_prompts` does not change it), never its
organization or its number, so that the same prompt gets the same samples wherever it occurs.
"""

import ast
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.core.errors import InputError
from raysim.core.keys import seed_of
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines
from raysim.corpus.packing import is_trained_on
from raysim.corpus.planted_functions import PLANTS
from raysim.corpus.tokenizer import Tokenizer
from raysim.inference.prompts import FUNCTION, HELD_OUT, NEUTRAL, PLANTED, PREFIX, prompt_id
from raysim.matching.line_index import build_index, digest_lines
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

# The line ends that Python's own tokenizer knows; str.splitlines would also split at form feeds and others.
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Function:
    """A function with a docstring.

    Attributes:
        prompt: exact source from the start of its ``def`` line to the end of its docstring's last line.
        truth: the rest of its source.
        end: position in the file's text behind the function.
    """

    prompt: str
    truth: str
    end: int


def functions_with_docstrings(text: str) -> list[Function]:
    """Every function of a Python file that has a docstring, nested ones and methods too, in the order of the source.

    Raises:
        ValueError: the text is no Python (also for null bytes and for nesting too deep to parse).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful escapes in other people's code
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"not Python: {error}") from None
    begins = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def begin(line: int) -> int:
        return begins[line - 1] if line <= len(begins) else len(text)

    found: list[tuple[int, Function]] = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or ast.get_docstring(node, clean=False) is None:
            continue
        start, rest, end = (
            begin(node.lineno),
            begin((node.body[0].end_lineno or 0) + 1),
            begin((node.end_lineno or 0) + 1),
        )
        prompt = text[start:rest]
        # Only at the end of a file without a final line end; the prompt asks for a new line all the same.
        prompt += "" if prompt.endswith(("\n", "\r")) else "\n"
        found.append((start, Function(prompt, text[rest:end], end)))
    return [function for _, function in sorted(found, key=lambda pair: pair[0])]


def mark_eligible(prompts: pa.Table, min_lines: int) -> pa.Table:
    """Sets ``eligible``: trained on, with at least `min_lines` significant lines to come."""
    pairs = zip(prompts["trained_on"].to_pylist(), prompts["lines_to_come"].to_pylist(), strict=True)
    eligible = pa.array([trained_on and lines >= min_lines for trained_on, lines in pairs], pa.bool_())
    return prompts.set_column(prompts.schema.get_field_index("eligible"), "eligible", eligible)


def prompt_counts(prompts: pa.Table) -> dict[str, dict[str, int]]:
    """What `extract_prompts` counted for each kind: asked, available, taken, and what it left out for which reason."""
    return json.loads((prompts.schema.metadata or {}).get(COUNTS, b"{}"))


def extract_prompts(
    corpus: Corpus, packed: Packed, tokenizer: Tokenizer, settings: MemorizationSettings, split_seed: int
) -> pa.Table:
    """Chooses the prompts of one organization, for every model and setting alike.

    Kinds: ``function`` (signature and docstring of a training function behind a BOS, as in the study), ``prefix`` (the
    first tokens of a packed training sequence, as the model saw them), ``held_out`` (a function of the validation split
    none of whose 6-line windows occurs in the training split, and whose prompt does not either), ``planted`` (the
    signature of a planted function, its true continuation that of the first copy).

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
    tokenizer: Tokenizer,
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
    tokenizer: Tokenizer,
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


def _choose(candidates: list[dict[str, Any]], number: int, seed: int) -> tuple[list[dict[str, Any]], int]:
    """Draws `number` of the distinct candidates; of equal prompts the first is taken for all."""
    distinct: dict[str, dict[str, Any]] = {}
    for row in candidates:
        distinct.setdefault(row["prompt"], row)
    rows = list(distinct.values())
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(rows))
    return [rows[i] for i in order[:number]], len(rows)


def _prefixes(
    corpus: Corpus, packed: Packed, tokenizer: Tokenizer, settings: MemorizationSettings
) -> Iterator[dict[str, Any]]:
    num_tokens, length = settings.prefix_tokens, packed.sequences.shape[1]
    if num_tokens >= length:
        raise InputError(
            f"measure.memorization.prefix_tokens: {num_tokens} leaves nothing to continue in sequences of {length} "
            f"tokens; set it below trainer.sequence_length"
        )
    by_path = {source.path: source for source in corpus.train}
    ends = np.array([end for _, _, end in packed.file_spans], dtype=np.int64)
    for number, sequence in enumerate(packed.sequences):
        tokens = [int(token) for token in sequence[:num_tokens]]
        truth = _until_bos(sequence[num_tokens:], tokenizer.bos_id)
        # The file that the prompt's last token belongs to (a BOS belongs to the file behind it).
        at = min(int(np.searchsorted(ends, number * length + num_tokens - 1, side="right")), len(ends) - 1)
        source = by_path[packed.file_spans[at][0]]
        if source.repository == PLANTS:
            continue  # they have a measure of their own, and would be most of the prompts
        last_bos = max((i for i, token in enumerate(tokens) if token == tokenizer.bos_id), default=-1)
        tail = tokens[last_bos + 1 :]
        text = tokenizer.decode(tail)
        whole = tokenizer.decode(tail + truth)
        # Bytes of a character that the cut parts are decoded with the truth, where they become a character.
        truth_text = whole[len(_common_prefix(text, whole)) :]
        yield _row(PREFIX, tokens, text, truth_text, source, trained_on=True)


def _planted(corpus: Corpus, packed: Packed, tokenizer: Tokenizer) -> Iterator[dict[str, Any]]:
    for source in sorted(corpus.train, key=lambda f: f.path):
        if source.repository == PLANTS:
            # Without the line end: in training it is one token with the indentation behind it, never one of its own.
            signature, line_end, rest = source.text.partition("\n")
            tokens = [tokenizer.bos_id, *tokenizer.encode(signature)]
            trained_on = is_trained_on(corpus, packed, source.path, len(tokenizer.encode(source.text)))
            yield _row(PLANTED, tokens, signature, line_end + rest, source, trained_on)


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
    tokenizer: Tokenizer,
    settings: MemorizationSettings,
    kind: str,
    left_out: Counter[str],
) -> Iterator[dict[str, Any]]:
    sequence_length = packed.sequences.shape[1]
    longest = min(settings.function_tokens, sequence_length - settings.new_tokens)
    if longest < 2:
        raise InputError(
            f"measure.memorization.new_tokens: {settings.new_tokens} leaves no room for a function prompt in sequences "
            f"of {sequence_length} tokens; set it well below trainer.sequence_length, or ask for no {kind} prompts"
        )
    held_out = kind != FUNCTION
    is_copied = _training_copies(corpus) if held_out else None
    files = corpus.valid if held_out else corpus.train
    for source in sorted(files, key=lambda f: (f.repository, f.path)):
        try:
            functions = functions_with_docstrings(source.text)
        except ValueError:
            left_out["unparsable_file"] += 1
            continue
        for function in functions:
            tokens = [tokenizer.bos_id, *tokenizer.encode(function.prompt)]
            if len(tokens) > longest:
                left_out["too_long"] += 1
            elif is_copied is not None and is_copied(function):
                left_out["copied_in_training"] += 1
            else:
                trained_on = not held_out and is_trained_on(
                    corpus, packed, source.path, len(tokenizer.encode(source.text[: function.end]))
                )
                yield _row(kind, tokens, function.prompt, function.truth, source, trained_on)


def _stripped(row: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
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
    index = build_index(corpus.train, _HELD_OUT_LINES, secret)
    prompts: set[str] = set()
    for source in corpus.train:
        try:
            prompts.update(function.prompt for function in functions_with_docstrings(source.text))
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
