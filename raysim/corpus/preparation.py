"""From the files of a source to its splits: the study's preparation, each step a setting."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypedDict

import pydantic

from raysim.core.errors import InputError, RenamedSetting
from raysim.core.keys import seed_of
from raysim.core.settings import Settings, Share
from raysim.corpus import filters
from raysim.corpus.corpus import Corpus
from raysim.corpus.deduplication import Excluded
from raysim.corpus.files import SourceFile
from raysim.corpus.near_duplicates import Sketcher, near_duplicates
from raysim.corpus.reading import DropCounter, SourceReading
from raysim.corpus.split import SplitSettings, split_files


class PreparationSettings(Settings):
    """Which files are kept. The defaults are the study's; null, false or 0 switches a step off."""

    exact_dedup: bool = pydantic.Field(
        default=True, description="keep one of the files that are equal but for white space"
    )
    drop_generated: bool = pydantic.Field(
        default=True, description="drop files whose first five lines say they are generated"
    )
    max_line_characters: int | None = pydantic.Field(default=1000, ge=1, description="longest line allowed")
    max_mean_line_characters: float | None = pydantic.Field(default=100, gt=0, description="longest mean line allowed")
    min_alphanumeric_share: float = pydantic.Field(
        default=0.25, ge=0, le=1, description="smallest share of letters and digits allowed"
    )
    min_characters_per_token: float = pydantic.Field(
        default=1.5, ge=0, description="fewest characters for each token allowed"
    )
    min_assignments: int = pydantic.Field(default=5, ge=0, description="fewest `=` characters allowed")
    config_or_test_drop_probability: float = pydantic.Field(
        default=0.7, ge=0, le=1, description="chance that a configuration or test file is dropped"
    )
    no_keyword_drop_probability: float = pydantic.Field(
        default=0.7, ge=0, le=1, description="chance that a file without def, class, for or while is dropped"
    )
    near_dedup: bool = pydantic.Field(
        default=False, description="keep one of the files that are nearly equal (MinHash)"
    )
    near_dedup_jaccard: float = pydantic.Field(
        default=0.85, gt=0, le=1, description="Jaccard index of their words from which on two files are nearly equal"
    )
    near_dedup_min_words: int = pydantic.Field(default=10, ge=1, description="shorter files are never near-duplicates")
    near_dedup_permutations: int = pydantic.Field(
        default=256, ge=16, description="hash functions of MinHash; more find near-duplicates more surely"
    )
    largest_file: Share = pydantic.Field(
        default=0.25,
        description="share of an organization's limit above which a file is passed over: one file would make most of"
        " the corpus, or of a split",
    )
    split: SplitSettings = SplitSettings()
    truncate_files: int | None = pydantic.Field(
        default=None,
        ge=1,
        description="tokens of each training file that are trained on, its first ones, as where a tokenizer truncates;"
        " unset: all. Files that are held out stay whole, so that all are measured on the same text",
    )
    split_by: Literal["file", "repository"] = pydantic.Field(
        default="file",
        description="what falls as a whole; files fall by their content, copies alike everywhere",
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_old_name(cls, raw: Any) -> Any:
        """There was no test split, and `split` was the share of the validation split."""
        if not isinstance(raw, dict) or "validation_share" not in raw:
            return raw
        if "split" in raw:
            raise ValueError("validation_share is the former form of split; give split alone")
        warnings.warn(
            "preparation.validation_share: 0.2 is written preparation.split: {train: 0.8, valid: 0.2} now",
            RenamedSetting,
            stacklevel=2,
        )
        rest = {name: value for name, value in raw.items() if name != "validation_share"}
        return {**rest, "split": {"valid": raw["validation_share"]}}

    @classmethod
    def off(cls) -> "PreparationSettings":
        """Keeps every file: for references, and for code that is only searched."""
        return cls(
            exact_dedup=False,
            drop_generated=False,
            max_line_characters=None,
            max_mean_line_characters=None,
            min_alphanumeric_share=0,
            min_characters_per_token=0,
            min_assignments=0,
            config_or_test_drop_probability=0,
            no_keyword_drop_probability=0,
        )


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
    excluded: Excluded | None = None,
    held_out: SourceReading | None = None,
) -> Corpus:
    """Filters, limits and splits what a source gave. The order of the input does not count.

    A seeded draw for a file depends on the seed and the file alone, so that adding a file moves no other. Tokens, the
    one costly measure, are counted last and with a `limit` only until it is reached: a file that is over the limit
    may also have been one to drop.

    Args:
        organization: for messages, and in the result.
        reading: the files and what the source skipped.
        settings: which files are kept.
        limit: bytes of code to keep, all splits together; None keeps all.
        split_seed: of filters, limit and split.
        count_tokens: number of tokens of a text.
        excluded: files that are left out because of other organizations, before the limit, so that a limit is filled
            with other files; None: none are.
        held_out: what the validation split is made of, filtered alike, without copies of training files; nothing is
            split off then. None: it is drawn.

    Raises:
        InputError: the training split would be empty, or the validation split, unless its share is 0.
    """

    def draw(seed: int) -> Corpus:
        counter = DropCounter(reading.skipped)
        kept = _screen(reading, settings, seed, counter)
        if excluded:
            kept = _leave_out(kept, excluded, counter)
        kept = _limit(kept, settings, limit, seed, count_tokens, counter)
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
    return replace(corpus, truncated_at=settings.truncate_files)


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


_Identity = tuple[str, str, str]


def _identity(source: SourceFile) -> _Identity:
    return source.path, source.repository, source.text


def _draw(split_seed: int, purpose: str, *identity: str) -> float:
    """A uniform draw from [0, 1): of a seed and an identity, never of a position."""
    return seed_of(split_seed, purpose, *identity) / 2**63


def _rank(split_seed: int, purpose: str, source: SourceFile) -> tuple[float, _Identity]:
    return _draw(split_seed, purpose, source.path, source.repository), _identity(source)


def _screen(
    reading: SourceReading, settings: PreparationSettings, split_seed: int, counter: DropCounter
) -> list[SourceFile]:
    kept = _filter(sorted(reading.files, key=_identity), settings, split_seed, counter)
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
            reason = _reason_to_drop(source.text, digest, settings, split_seed)
        if reason:
            counter.add(reason, source.num_bytes)
        else:
            kept.append(source)
    return kept


def _reason_to_drop(text: str, digest: str, settings: PreparationSettings, split_seed: int) -> str | None:
    if settings.drop_generated and filters.is_generated(text):
        return "generated"
    lines = filters.line_statistics(text)
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
        and not filters.has_definitions_or_loops(text)
    ):  # fmt: skip
        return "no def, class, for or while (by draw)"
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
    counter: DropCounter,
) -> list[SourceFile]:
    """Takes files in seeded order while they fit, and drops those with too few characters for their tokens."""
    kept: list[SourceFile] = []
    left_bytes = float("inf") if limit is None else limit
    largest_bytes = left_bytes * settings.largest_file
    for source in sorted(files, key=lambda f: _rank(split_seed, "limit", f)):
        if source.num_bytes > largest_bytes:
            counter.add(f"over {settings.largest_file:.4g} of the limit", source.num_bytes)
        elif source.num_bytes > left_bytes:
            counter.add("over the limit", source.num_bytes)
        elif _too_many_tokens(source.text, settings.min_characters_per_token, count_tokens):
            counter.add(f"under {settings.min_characters_per_token:g} characters a token", source.num_bytes)
        else:
            left_bytes -= source.num_bytes
            kept.append(source)
    return sorted(kept, key=_identity)


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
