"""Which files are kept, and how they are split: the settings of the study's preparation."""

import warnings
from typing import Any, Literal

import pydantic

from raysim.core.errors import RenamedSetting
from raysim.core.settings import Settings, Share
from raysim.corpus.file_licences import LookedFor
from raysim.corpus.obfuscation.settings import ObfuscationSettings
from raysim.corpus.redaction import RedactionSettings
from raysim.corpus.split import SplitSettings

Domain = Literal["code", "text"]
"""What the files of an experiment hold."""

_OF_CODE = (
    "drop_generated",
    "max_mean_line_characters",
    "min_assignments",
    "config_or_test_drop_probability",
    "no_keyword_drop_probability",
)
"""Settings that are asked of code alone."""


def not_asked(domain: Domain) -> tuple[str, ...]:
    """Names of the settings that have no meaning for what files hold."""
    return ("min_sentences",) if domain == "code" else _OF_CODE


class PreparationSettings(Settings):
    """Which files are kept. The defaults are the study's; null, false or 0 switches a step off."""

    domain: Domain = pydantic.Field(
        default="code",
        description="what files hold. text: prose is taken out of them, and of references (docstrings of Python,"
        " descriptions of packages, all of other files), a sentence a line, so that what is said of lines is said of"
        " sentences; and nothing is asked that only code has (`=`, keywords, short lines, words on being generated or a"
        " test)",
    )
    min_sentences: int = pydantic.Field(
        default=3, ge=0, description="fewest sentences of a file; asked of domain text alone"
    )
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
        default=0.7,
        ge=0,
        le=1,
        description="chance that a file without def, class, for or while is dropped, or what defines and loops in"
        " the language of its ending",
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
    find_licences: LookedFor = pydantic.Field(
        default="stated",
        description="where the licence of a file is looked for of which its source says none; stated: nowhere; headers:"
        " SPDX-License-Identifier in its first lines; texts: there, then in the next LICENSE or COPYING above it, in a"
        " source `path`",
    )
    redact: RedactionSettings = RedactionSettings()
    obfuscate: ObfuscationSettings = ObfuscationSettings()
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

    @pydantic.model_validator(mode="after")
    def _fits_domain(self) -> "PreparationSettings":
        fields, off = type(self).model_fields, {None, 0}
        for name in not_asked(self.domain):
            given = getattr(self, name)
            if given != fields[name].default and given not in off:
                raise ValueError(f"{name}: {given} is not asked of domain {self.domain}; leave it out")
        if self.domain == "text" and self.obfuscate.active:
            raise ValueError("obfuscate: rewrites code, and this is prose (domain: text); leave it out")
        return self

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
            min_sentences=0,
        )
