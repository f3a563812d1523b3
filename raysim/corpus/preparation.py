"""From the files of a source to its splits: the study's preparation, each step a setting."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypedDict

from raysim.core.errors import InputError
from raysim.core.keys import seed_of
from raysim.corpus import filters
from raysim.corpus.corpus import Corpus
from raysim.corpus.deduplication import Excluded
from raysim.corpus.file_licences import NOT_AGREED
from raysim.corpus.files import SourceFile, batches, identity
from raysim.corpus.languages import language_of
from raysim.corpus.lines import significant_lines
from raysim.corpus.near_duplicates import Sketcher, near_duplicates
from raysim.corpus.obfuscation.obfuscate import obfuscated
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.reading import DropCounter, SourceReading
from raysim.corpus.redaction import redacted
from raysim.corpus.split import split_files


def candidates(reading: SourceReading, settings: PreparationSettings, split_seed: int) -> list[SourceFile]:
    """The files that the filters keep, sorted: those among which others' copies are left out, and the limit chooses."""
    return _screen(reading, settings, split_seed, DropCounter())


def sketcher(settings: PreparationSettings, split_seed: int, secret: bytes = b"") -> Sketcher:
    """Finds near-duplicates as these settings ask for."""
    return Sketcher(**_near(settings, split_seed), secret=secret)


def prepare(
    organization: str,
    reading: SourceReading,
    settings: PreparationSettings,
    *,
    limit: int | None,
    split_seed: int,
    count_tokens: Callable[[str], int],
    tokenize_ahead: Callable[[Sequence[str]], object] = tuple,
    excluded: Excluded | None = None,
    held_out: SourceReading | None = None,
) -> Corpus:
    """Filters, limits and splits what a source gave. The order of the input does not count.

    A seeded draw for a file depends on the seed and the file alone, so that adding a file moves no other. Tokens, the
    one costly measure, are counted last and with a `limit` only until it is reached: a file that is over the limit
    may also have been one to drop. Secrets and personal data are looked for in what is kept, at last, so that with and
    without redaction the same files fall to the same splits; then training files are obfuscated.

    Args:
        organization: for messages, and in the result.
        reading: the files and what the source skipped.
        settings: which files are kept.
        limit: bytes of code to keep, all splits together; None keeps all.
        split_seed: of filters, limit and split.
        count_tokens: number of tokens of a text.
        tokenize_ahead: is given texts whose tokens are going to be counted next, which many cores can be put to.
        excluded: files that are left out because of other organizations, before the limit, so that a limit is filled
            with other files; None: none are.
        held_out: what the validation split is made of, filtered alike, without copies of training files; nothing is
            split off then. None: it is drawn.

    Raises:
        InputError: the training split would be empty, or the validation split, unless its share is 0; or redaction
            needs a package that is not installed.
    """

    def draw(seed: int) -> Corpus:
        counter = DropCounter(reading.skipped)
        kept = _screen(reading, settings, seed, counter)
        if excluded:
            kept = _leave_out(kept, excluded, counter)
        kept = _limit(kept, settings, limit, seed, count_tokens, tokenize_ahead, counter)
        if held_out:
            valid = _hold_out(held_out, settings, seed, kept, counter)
            return Corpus(organization, tuple(kept), valid, drops=counter.drops())
        by_repository = settings.split_by == "repository"
        return Corpus(organization, **split_files(kept, settings.split, by_repository, seed), drops=counter.drops())

    def complete(corpus: Corpus) -> bool:
        return bool(corpus.train and (corpus.valid or (not held_out and not settings.split.valid)))

    corpus = draw(split_seed)
    if not complete(corpus):
        others = range(split_seed + 1, split_seed + 1 + _OTHER_SEEDS) if len(reading.files) <= _FEW_FILES else ()
        better = next((seed for seed in others if complete(draw(seed))), None)
        raise InputError(_too_little(corpus, reading.files, settings.split_by == "repository", limit, better))
    clean = redacted(replace(corpus, truncated_at=settings.truncate_files), settings.redact)
    return obfuscated(clean, settings.obfuscate, split_seed)


_OTHER_SEEDS = 20
_FEW_FILES = 1000
"""Where a split comes out empty, so many other seeds are tried, if trying takes no time, to name one that does."""


def _hold_out(
    reading: SourceReading,
    settings: PreparationSettings,
    split_seed: int,
    training: Iterable[SourceFile],
    counter: DropCounter,
) -> tuple[SourceFile, ...]:
    """The files of a validation split that is given: filtered as the others, none of them trained on."""
    trained_on = {filters.content_hash(source.text) for source in training}
    dropped = DropCounter(reading.skipped)
    kept: list[SourceFile] = []
    for source in _screen(reading, settings, split_seed, dropped):
        if filters.content_hash(source.text) in trained_on:
            dropped.add("copy of a training file", source.num_bytes)
        else:
            kept.append(source)
    for drop in dropped.drops():
        counter.add(f"held out: {drop.reason}", drop.num_bytes, drop.files)
    return tuple(kept)


def _draw(split_seed: int, purpose: str, *identity: str) -> float:
    """A uniform draw from [0, 1): of a seed and an identity, never of a position."""
    return seed_of(split_seed, purpose, *identity) / 2**63


def _rank(split_seed: int, purpose: str, source: SourceFile) -> tuple[float, Any]:
    return _draw(split_seed, purpose, source.path, source.repository), identity(source)


def _screen(
    reading: SourceReading, settings: PreparationSettings, split_seed: int, counter: DropCounter
) -> list[SourceFile]:
    kept = _filter(sorted(reading.files, key=identity), settings, split_seed, counter)
    return _drop_near_duplicates(kept, settings, split_seed, counter) if settings.near_dedup else kept


def _leave_out(files: Iterable[SourceFile], excluded: Excluded, counter: DropCounter) -> list[SourceFile]:
    kept: list[SourceFile] = []
    for source in files:
        if reason := excluded.reason(source):
            counter.add(reason, source.num_bytes)
        else:
            kept.append(source)
    return kept


def _filter(
    files: Sequence[SourceFile], settings: PreparationSettings, split_seed: int, counter: DropCounter
) -> list[SourceFile]:
    kept: list[SourceFile] = []
    seen: set[str] = set()
    for source in files:
        digest = filters.content_hash(source.text)
        if settings.exact_dedup and digest in seen:
            reason = "copy of another file"
        else:
            seen.add(digest)
            reason = _reason_to_drop(source, digest, settings, split_seed)
        if reason:
            counter.add(reason, source.num_bytes)
        else:
            kept.append(source)
    return kept


def _reason_to_drop(source: SourceFile, digest: str, settings: PreparationSettings, split_seed: int) -> str | None:
    text, language = source.text, language_of(source.path)
    lines = filters.line_statistics(text)
    if settings.domain == "text":
        return _reason_to_drop_prose(text, lines.longest, settings)
    if settings.drop_generated and filters.is_generated(text, language):
        return "generated"
    if settings.max_line_characters is not None and lines.longest > settings.max_line_characters:
        return f"a line over {settings.max_line_characters} characters"
    if settings.max_mean_line_characters is not None and lines.mean > settings.max_mean_line_characters:
        return f"mean line over {settings.max_mean_line_characters:g} characters"
    if filters.alphanumeric_share(text) < settings.min_alphanumeric_share:
        return f"under {settings.min_alphanumeric_share:g} alphanumeric"
    if filters.num_assignments(text) < settings.min_assignments:
        return f"fewer than {settings.min_assignments} '='"
    if (
        _draw(split_seed, "config or test", digest) < settings.config_or_test_drop_probability
        and filters.is_config_or_test(text)
    ):  # fmt: skip
        return "configuration or test (by draw)"
    if (
        _draw(split_seed, "no keyword", digest) < settings.no_keyword_drop_probability
        and not filters.has_definitions_or_loops(text, language)
    ):  # fmt: skip
        python = language == "python"
        return "no def, class, for or while (by draw)" if python else "no definition or loop (by draw)"
    return None


def _reason_to_drop_prose(text: str, longest: int, settings: PreparationSettings) -> str | None:
    if settings.max_line_characters is not None and longest > settings.max_line_characters:
        return f"a sentence over {settings.max_line_characters} characters"
    if filters.alphanumeric_share(text) < settings.min_alphanumeric_share:
        return f"under {settings.min_alphanumeric_share:g} alphanumeric"
    if len(significant_lines(text)[0]) < settings.min_sentences:
        return f"fewer than {settings.min_sentences} sentences"
    return None


class _Near(TypedDict):
    jaccard: float
    min_words: int
    num_permutations: int
    seed: int


def _near(settings: PreparationSettings, split_seed: int) -> _Near:
    return {
        "jaccard": settings.near_dedup_jaccard,
        "min_words": settings.near_dedup_min_words,
        "num_permutations": settings.near_dedup_permutations,
        "seed": seed_of(split_seed, "near-duplicates") % 2**32,
    }


def _drop_near_duplicates(
    files: list[SourceFile], settings: PreparationSettings, split_seed: int, counter: DropCounter
) -> list[SourceFile]:
    dropped = near_duplicates(files, **_near(settings, split_seed))
    for position in sorted(dropped):
        counter.add("near-copy of another file", files[position].num_bytes)
    return [source for position, source in enumerate(files) if position not in dropped]


def _limit(
    files: list[SourceFile],
    settings: PreparationSettings,
    limit: int | None,
    split_seed: int,
    count_tokens: Callable[[str], int],
    tokenize_ahead: Callable[[Sequence[str]], object],
    counter: DropCounter,
) -> list[SourceFile]:
    """Takes files in seeded order while they fit, and drops those with too few characters for their tokens."""
    kept: list[SourceFile] = []
    left_bytes = float("inf") if limit is None else limit
    largest_bytes = left_bytes * settings.largest_file
    ordered = sorted(files, key=lambda f: _rank(split_seed, "limit", f))
    for batch in batches(ordered, lambda source: source.num_bytes):
        if settings.min_characters_per_token > 0:
            tokenize_ahead([source.text for source in _fitting(batch, left_bytes, largest_bytes)])
        for source in batch:
            if source.num_bytes > largest_bytes:
                counter.add(f"over {settings.largest_file:.4g} of the limit", source.num_bytes)
            elif source.num_bytes > left_bytes:
                counter.add("over the limit", source.num_bytes)
            elif _too_many_tokens(source.text, settings.min_characters_per_token, count_tokens):
                counter.add(f"under {settings.min_characters_per_token:g} characters a token", source.num_bytes)
            else:
                left_bytes -= source.num_bytes
                kept.append(source)
    return sorted(kept, key=identity)


def _fitting(files: Iterable[SourceFile], left_bytes: float, largest_bytes: float) -> Iterator[SourceFile]:
    """The first files, up to one that fits only if another is dropped; which files follow is not known before."""
    for source in files:
        if source.num_bytes <= largest_bytes:
            left_bytes -= source.num_bytes
            if left_bytes < 0:
                return
            yield source


def _too_many_tokens(text: str, min_characters_per_token: float, count_tokens: Callable[[str], int]) -> bool:
    return min_characters_per_token > 0 and len(text) < min_characters_per_token * count_tokens(text)


def _too_little(
    corpus: Corpus, files: Sequence[SourceFile], by_repository: bool, limit: int | None, better: int | None
) -> str:
    kept = corpus.train + corpus.valid + corpus.test
    unit = "repositories" if by_repository else "files"
    found = len({f.repository for f in kept}) if by_repository else len(kept)
    dropped = "; ".join(f"{d.files} {d.reason}" for d in corpus.drops) or "none"
    advice = ["give it more code", "relax preparation"]
    if any(drop.reason.startswith(NOT_AGREED) for drop in corpus.drops):
        advice.append("agree to more licences (agreement.train_on)")
    if better is not None:
        advice.append(f"draw another split (split_seed: {better} leaves neither empty here)")
    if limit is not None:
        advice.append(f"raise limit (now {limit} bytes)")
    if by_repository:
        advice.append("use split_by: file")
    return (
        f"organizations.{corpus.organization}: {found} {unit} left of {len(files)} files read ({_bytes(files)} bytes), "
        f"{len(corpus.train)} files fell to training, {len(corpus.valid)} to validation, and both need one; left out:"
        f" {dropped}. To go on: {', or '.join(advice)}"
    )


def _bytes(files: Iterable[SourceFile]) -> int:
    return sum(f.num_bytes for f in files)
