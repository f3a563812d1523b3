"""What an organization says of its corpus."""

from dataclasses import dataclass
from typing import Any

from raysim.corpus.diversity import Spectrum, num_lines
from raysim.corpus.languages import Language


@dataclass(frozen=True)
class ClientStats:
    """What an organization sends about its corpus: counts and fingerprints, no content.

    Attributes:
        train_fingerprint: names the training split, how much of each of its files is trained on, what they were before
            they were obfuscated, and sequence canaries beside them.
        splits: for ``train``, ``valid`` and, where one is asked for, ``test``: ``files``, ``bytes``, ``lines``,
            ``tokens``, ``sequences``.
        drops: ``reason``, ``files``, ``bytes`` for everything that was left out.
        licences: files by stated licence.
        duplicate_lines: significant training lines that occur in more than one place of the organization.
        line_spectrum: pairs of a count and the number of distinct significant training lines that occur so often.
        test_fingerprint: empty without a test split.
        redactions: ``category``, ``kind``, ``action``, ``files``, ``occurrences`` of secrets and personal data, where
            they are looked for.
        languages: of training and validation files, by their endings.
        obfuscations: ``transformation``, ``outcome``, ``files``, ``changes`` of training files that were to be written
            differently.
    """

    organization: str
    train_fingerprint: str
    valid_fingerprint: str
    splits: dict[str, dict[str, int]]
    drops: tuple[dict[str, Any], ...]
    licences: dict[str, int]
    duplicate_lines: int
    line_spectrum: Spectrum
    test_fingerprint: str = ""
    redactions: tuple[dict[str, Any], ...] = ()
    languages: tuple[Language, ...] = ()
    obfuscations: tuple[dict[str, Any], ...] = ()

    @property
    def sequences(self) -> int:
        """Packed training sequences."""
        return self.splits["train"]["sequences"]

    @property
    def tokens(self) -> int:
        """Training tokens, those in the dropped tail too."""
        return self.splits["train"]["tokens"]

    @property
    def stream_tokens(self) -> int:
        """Training tokens with the BOS of each file."""
        return self.tokens + self.splits["train"]["files"]

    @property
    def duplicate_share(self) -> float:
        """Duplicate lines over all significant training lines."""
        return self.duplicate_lines / num_lines(self.line_spectrum)
