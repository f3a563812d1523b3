"""Files that several organizations have: how they are found by keyed hashes, and which of them are left out.

Organizations tell a signature of each file; who decides holds signatures alone, never code. Signatures are keyed with a
secret that organizations share. Two of them are equal where two files are, whatever the secret is, so no decision
depends on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pydantic

from raysim.core.keys import keyed_hash
from raysim.core.settings import Settings
from raysim.corpus.files import SourceFile
from raysim.corpus.filters import content_hash
from raysim.corpus.near_duplicates import NearIndex, Sketcher, Vocabulary

Across = Literal["keep", "first_owner", "drop_all"]
Match = Literal["exact", "near"]


class DeduplicationSettings(Settings):
    """What becomes of files that several organizations have; inside one, `preparation` decides."""

    across: Across = pydantic.Field(
        default="keep",
        description="keep: every owner keeps its copy; first_owner: the first in the order of the experiment does;"
        " drop_all: none does",
    )
    match: Match = pydantic.Field(
        default="exact",
        description="exact: files that are equal but for white space; near: those, too, whose words are nearly the same"
        " (MinHash and Jaccard index, with the near_dedup_* settings of preparation)",
    )


@dataclass(frozen=True)
class Signature:
    """What an organization tells of one of its files.

    Attributes:
        name: keyed hash of its text.
        content: keyed hash of its text without white space.
        num_bytes: of its text.
        bands: see `Sketcher.bands`; empty where near copies are not looked for, or the file has too few words.
    """

    name: bytes
    content: bytes
    num_bytes: int
    bands: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Excluded:
    """The files that one organization leaves out because of the others.

    Attributes:
        secret: that `reasons` are keyed with.
        reasons: for the name of a file, as in `Signature`, why it is left out.
    """

    secret: bytes
    reasons: Mapping[bytes, str]

    def reason(self, source: SourceFile) -> str | None:
        """Why `source` is left out, or None if it stays."""
        return self.reasons.get(name_of(source.text, self.secret))


def name_of(text: str, secret: bytes) -> bytes:
    """How a file with this text is called outside its organization."""
    return keyed_hash(text.encode(), secret)


def signature_of(text: str, secret: bytes, sketcher: Sketcher | None) -> Signature:
    """The signature of a file; with bands, where there is a sketcher of the same secret."""
    return Signature(
        name_of(text, secret),
        keyed_hash(content_hash(text).encode(), secret),
        len(text.encode()),
        sketcher.bands(sketcher.vocabulary(text)) if sketcher else (),
    )


def keyed_vocabulary(text: str, secret: bytes, sketcher: Sketcher) -> Vocabulary:
    """A keyed hash of each distinct word of a file; two files have as many in common as they have words."""
    return frozenset(keyed_hash(word.encode(), secret) for word in sketcher.vocabulary(text))


Signatures = Mapping[str, Sequence[Signature]]
"""Of the files of each organization, in the order of the experiment."""

Vocabularies = Mapping[str, Mapping[bytes, Vocabulary]]
"""For each organization, by the name of a file, its keyed vocabulary; of suspects, others are near to none."""


def suspects(all_signatures: Signatures) -> dict[str, list[bytes]]:
    """For each organization the names of the files that share a band with a file of another one."""
    holders: dict[bytes, set[str]] = {}
    for organization, signatures in all_signatures.items():
        for band in {band for signature in signatures for band in signature.bands}:
            holders.setdefault(band, set()).add(organization)
    return {
        organization: sorted({s.name for s in signatures if any(len(holders[band]) > 1 for band in s.bands)})
        for organization, signatures in all_signatures.items()
    }


def decide(
    all_signatures: Signatures, vocabularies: Vocabularies, settings: DeduplicationSettings, jaccard: float
) -> dict[str, dict[bytes, str]]:
    """Which files each organization leaves out, by name, and why.

    With ``first_owner`` a file is left out if it repeats one that an earlier organization keeps: what is left out
    itself drops no other. With ``drop_all`` it is left out if it repeats a file of any other organization.

    Args:
        all_signatures: of all organizations.
        vocabularies: of at least the `suspects`; used by ``near`` alone.
        settings: the policy.
        jaccard: files at least so similar are near-duplicates.
    """
    if settings.across == "keep":
        return {organization: {} for organization in all_signatures}
    first = settings.across == "first_owner"
    whose = "an earlier organization's file" if first else "another organization's file"
    contents: dict[bytes, set[str]] = {}
    index: NearIndex[str] = NearIndex(jaccard)

    def enter(organization: str, signatures: Sequence[Signature]) -> None:
        for signature in signatures:
            contents.setdefault(signature.content, set()).add(organization)
            vocabulary = vocabularies.get(organization, {}).get(signature.name)
            if settings.match == "near" and vocabulary:
                index.add(organization, signature.bands, vocabulary)

    def reason(organization: str, signature: Signature) -> str | None:
        if contents.get(signature.content, set()) - {organization}:
            return f"copy of {whose}"
        vocabulary = vocabularies.get(organization, {}).get(signature.name)
        near = index.near(signature.bands, vocabulary) if settings.match == "near" and vocabulary else ()
        return f"near-copy of {whose}" if any(owner != organization for owner in near) else None

    if not first:
        for organization, signatures in all_signatures.items():
            enter(organization, signatures)
    dropped: dict[str, dict[bytes, str]] = {}
    for organization, signatures in all_signatures.items():
        found = {signature.name: reason(organization, signature) for signature in signatures}
        dropped[organization] = {name: why for name, why in found.items() if why}
        if first:
            enter(organization, [s for s in signatures if s.name not in dropped[organization]])
    return dropped
