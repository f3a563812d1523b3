"""Counts the held-out files that somebody trains on a copy of, or on a near-copy: what they measure is partly memory.

What is transferred are keyed hashes, as in `raysim.organizations.deduplication`.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from raysim.cluster.actor_pool import ActorPool
from raysim.corpus.corpus import Corpus
from raysim.corpus.deduplication import Signature, keyed_vocabulary, name_of, signature_of
from raysim.corpus.files import SourceFile
from raysim.corpus.near_duplicates import NearIndex, Vocabulary
from raysim.corpus.preparation import sketcher
from raysim.organizations.organization import Organization, PreparationContext

_Side = Literal["train", "held_out"]
_Signed = Mapping[str, Mapping[_Side, Sequence[Signature]]]


@dataclass(frozen=True)
class SplitCopies:
    """Of one organization's held-out files, those that some organization trains on a copy of, itself included.

    Attributes:
        files: held out.
        num_bytes: of these.
        copies: equal but for white space.
        near: not equal, but near (Jaccard index of their words, `preparation.near_dedup_jaccard`).
        others: of copies and near-copies those that another organization trains on.
        copied_bytes: of copies and near-copies.
    """

    organization: str
    files: int
    num_bytes: int
    copies: int
    near: int
    others: int
    copied_bytes: int


def signatures_at(
    organization: Organization, context: PreparationContext, secret: bytes
) -> dict[_Side, list[Signature]]:
    """A client function that signs the files of a prepared corpus."""
    near = sketcher(context.preparation, context.split_seed, secret)
    sides = _sides(organization.corpus)
    return {side: [signature_of(source.text, secret, near) for source in files] for side, files in sides.items()}


def vocabularies_at(
    organization: Organization, context: PreparationContext, names: Iterable[bytes], secret: bytes
) -> dict[bytes, Vocabulary]:
    """A client function that gives the keyed words of the files called `names`."""
    near = sketcher(context.preparation, context.split_seed, secret)
    found = {name_of(f.text, secret): f for files in _sides(organization.corpus).values() for f in files}
    return {name: keyed_vocabulary(found[name].text, secret, near) for name in sorted(set(names))}


async def split_copies(
    pool: ActorPool, organizations: Sequence[str], context: PreparationContext, secret: bytes
) -> list[SplitCopies]:
    """Compares what is held out with what is trained on, everywhere; `context` is what corpora were prepared with."""

    async def ask(function: Any, arguments: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        calls = (pool.call(name, "run", function, context, *arguments[name], secret) for name in arguments)
        return dict(zip(arguments, await asyncio.gather(*calls), strict=True))

    signed = await ask(signatures_at, dict.fromkeys(organizations, ()))
    vocabularies = await ask(vocabularies_at, {name: (names,) for name, names in _suspects(signed).items()})
    return count_copies(signed, vocabularies, context.preparation.near_dedup_jaccard)


def count_copies(
    signed: _Signed, vocabularies: Mapping[str, Mapping[bytes, Vocabulary]], jaccard: float
) -> list[SplitCopies]:
    """What `signed` says of copies, and the vocabularies of suspects of near-copies."""
    owners: dict[bytes, set[str]] = {}
    index: NearIndex[str] = NearIndex(jaccard)
    for name, sides in signed.items():
        for signature in sides["train"]:
            owners.setdefault(signature.content, set()).add(name)
            if vocabulary := vocabularies[name].get(signature.name):
                index.add(name, signature.bands, vocabulary)
    found = []
    for name, sides in signed.items():
        rows: list[tuple[Signature, bool, set[str]]] = []
        for signature in sides["held_out"]:
            vocabulary = vocabularies[name].get(signature.name)
            equal = owners.get(signature.content, set())
            near = set(index.near(signature.bands, vocabulary)) if vocabulary else set[str]()
            rows.append((signature, bool(equal), equal | near))
        copied = [(signature, equal, who) for signature, equal, who in rows if who]
        found.append(
            SplitCopies(
                organization=name,
                files=len(rows),
                num_bytes=sum(signature.num_bytes for signature, _, _ in rows),
                copies=sum(equal for _, equal, _ in copied),
                near=sum(not equal for _, equal, _ in copied),
                others=sum(bool(who - {name}) for _, _, who in copied),
                copied_bytes=sum(signature.num_bytes for signature, _, _ in copied),
            )
        )
    return found


def _sides(corpus: Corpus) -> dict[_Side, tuple[SourceFile, ...]]:
    return {"train": corpus.owned, "held_out": corpus.valid + corpus.test}


def _suspects(signed: _Signed) -> dict[str, list[bytes]]:
    """For each organization the names of its files that share a band with a file of another side."""
    holders: dict[bytes, set[_Side]] = {}
    for sides in signed.values():
        for side, signatures in sides.items():
            for band in (band for signature in signatures for band in signature.bands):
                holders.setdefault(band, set()).add(side)
    return {
        name: sorted(
            {s.name for files in sides.values() for s in files if any(len(holders[band]) > 1 for band in s.bands)}
        )
        for name, sides in signed.items()
    }
