"""A prepared corpus: what an organization trains on, validates on, and dropped."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from raysim.core.keys import key_of
from raysim.corpus.files import SourceFile


@dataclass(frozen=True)
class Drop:
    """Files that preparation left out for one reason."""

    reason: str
    files: int
    num_bytes: int

    def to_json(self) -> dict[str, Any]:
        """A row of the table ``drops``, without the organization."""
        return {"reason": self.reason, "files": self.files, "bytes": self.num_bytes}


@dataclass(frozen=True)
class Redaction:
    """What was found of one kind of secrets or personal data in the files of an organization.

    Attributes:
        category: ``secrets`` or ``personal``.
        kind: for example ``e-mail address``.
        action: ``report`` or ``redact``.
        files: that have any.
        occurrences: in all of them.
    """

    category: str
    kind: str
    action: str
    files: int
    occurrences: int

    def to_json(self) -> dict[str, Any]:
        """A row of the table ``redactions``, without the organization."""
        return dict(vars(self))


@dataclass(frozen=True)
class Obfuscation:
    """What became of an organization's training files in one transformation; see `raysim.corpus.obfuscation`.

    Attributes:
        transformation: ``rename``, ``reorder``, ``comments`` or ``reformat``.
        outcome: ``changed``, why it left files as they are, or ``licence notices``, which are kept.
        files: variants of files with this outcome.
        changes: edits in all of them; of notices, how many there are.
    """

    transformation: str
    outcome: str
    files: int
    changes: int

    def to_json(self) -> dict[str, Any]:
        """A row of the table ``obfuscations``, without the organization."""
        return dict(vars(self))


@dataclass(frozen=True)
class Canary:
    """A line with a random secret that was planted in a training split; see `raysim.corpus.canaries`.

    Attributes:
        name: ``4x0`` is the first of those that occur there four times; it reveals nothing of the secret.
        repeats: how often it occurs in the training split.
        secret: what a model would have to know.
    """

    name: str
    repeats: int
    secret: str


@dataclass(frozen=True)
class PlantedFunction:
    """A function that was planted in a training split; see `raysim.corpus.planted_functions`.

    Attributes:
        name: ``4x0`` is the first of those that occur there four times; ``all4x0``, of those that others have, too.
        repeats: how often it occurs in the training split.
        signature: its first line.
        text: all of it, the line end of its last line included.
        seed: it was written from.
    """

    name: str
    repeats: int
    signature: str
    text: str
    seed: int


@dataclass(frozen=True)
class Corpus:
    """The files of one organization after preparation and split. It never leaves its organization.

    Attributes:
        train: what is trained on, canaries and planted functions included.
        valid: what is held out, and what is chosen on.
        test: what is held out of choices as well; empty where no test split is asked for.
        drops: what preparation left out.
        canaries: that were planted in `train`, and those that never were, for comparison.
        plants: likewise of functions.
        redactions: secrets and personal data that were found in the files that are kept.
        truncated_at: tokens of each training file that are trained on, its first ones; None: all. The files themselves
            are whole: prompts are chosen from them, and lines are compared with them.
        originals: files of the training split as they were before they were written differently. Nobody is trained on
            them, and their lines are the organization's all the same.
        obfuscations: what became of training files that were to be written differently.
    """

    organization: str
    train: tuple[SourceFile, ...]
    valid: tuple[SourceFile, ...]
    test: tuple[SourceFile, ...] = field(default=())
    drops: tuple[Drop, ...] = field(default=())
    canaries: tuple[Canary, ...] = field(default=())
    plants: tuple[PlantedFunction, ...] = field(default=())
    redactions: tuple[Redaction, ...] = field(default=())
    truncated_at: int | None = None
    originals: tuple[SourceFile, ...] = field(default=())
    obfuscations: tuple[Obfuscation, ...] = field(default=())

    @property
    def owned(self) -> tuple[SourceFile, ...]:
        """All texts whose lines are the organization's: what is trained on, and what that was made of."""
        return self.train + self.originals

    @cached_property
    def train_fingerprint(self) -> str:
        """Names the training split by its content: paths, repositories, texts."""
        return fingerprint(self.train)

    @cached_property
    def trained_fingerprint(self) -> str:
        """Names what is trained on, and what that was made of: the training split, how much of each of its files."""
        if self.truncated_at is None and not self.originals:
            return self.train_fingerprint
        recipe = {"kind": "truncated files", "version": 1, "files": self.train_fingerprint, "tokens": self.truncated_at}
        return key_of({**recipe, "originals": fingerprint(self.originals)} if self.originals else recipe)

    @cached_property
    def valid_fingerprint(self) -> str:
        """Names the validation split by its content."""
        return fingerprint(self.valid)

    @cached_property
    def test_fingerprint(self) -> str:
        """Names the test split by its content; empty without one."""
        return fingerprint(self.test) if self.test else ""


@dataclass(frozen=True)
class Packed:
    """The token sequences of one training split.

    Attributes:
        sequences: int32 ``[num_sequences, sequence_length]``, memory-mapped and read-only.
        dropped_tokens: the tail too short for a sequence of its own.
        file_spans: for each training file in packing order: its path, and the half-open range of positions in the
            flattened token stream that its tokens (without the BOS before them) take.
    """

    sequences: npt.NDArray[np.int32]
    dropped_tokens: int
    file_spans: tuple[tuple[str, int, int], ...]

    @cached_property
    def begins(self) -> dict[str, int]:
        """Position of the first token of each file, by path."""
        return {path: start for path, start, _ in self.file_spans}


def fingerprint(files: tuple[SourceFile, ...]) -> str:
    """SHA-256 over the sorted (path, repository, licence, text) of `files`; their order does not count."""
    digest = hashlib.sha256()
    for source in sorted(files, key=lambda f: (f.repository, f.path)):
        for part in (source.path, source.repository, source.licence or "", source.text):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
    return digest.hexdigest()[:32]
