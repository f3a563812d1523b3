"""Has the organizations say which files they have in common, and which of them each is to leave out.

What crosses are keyed hashes: a signature of each file, the words of those whose signatures meet at two organizations,
and the names of the files to leave out.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from raysim.cluster.actor_pool import Crew
from raysim.core.keys import canonical_json
from raysim.corpus.deduplication import (
    Across,
    DeduplicationSettings,
    Match,
    Signature,
    Signatures,
    Vocabularies,
    Withheld,
    decide,
    keyed_vocabulary,
    name_of,
    signature_of,
    suspects,
)
from raysim.corpus.near_duplicates import Vocabulary
from raysim.corpus.preparation import sketcher
from raysim.organizations.organization import Organization, Preparing
from raysim.store.transfers import SERVER, Crossing


@dataclass(frozen=True)
class Compared:
    """What the organizations told of their files, and what that moved."""

    signatures: Signatures
    vocabularies: Vocabularies
    crossings: tuple[Crossing, ...]


def signatures_at(organization: Organization, preparing: Preparing, match: Match, secret: bytes) -> list[Signature]:
    """A visitor that signs the files that an organization's preparation chooses from."""
    near = sketcher(preparing.preparation, preparing.split_seed, secret) if match == "near" else None
    return [signature_of(source.text, secret, near) for source in organization.candidates(preparing)]


def vocabularies_at(
    organization: Organization, preparing: Preparing, names: Iterable[bytes], secret: bytes
) -> dict[bytes, Vocabulary]:
    """A visitor that tells the keyed words of the files called `names`."""
    near, wanted = sketcher(preparing.preparation, preparing.split_seed, secret), set(names)
    texts = {name_of(source.text, secret): source.text for source in organization.candidates(preparing)}
    return {name: keyed_vocabulary(texts[name], secret, near) for name in sorted(wanted)}


async def compare(
    crew: Crew, organizations: Sequence[str], preparing: Preparing, match: Match, secret: bytes
) -> Compared:
    """Asks every organization for signatures, and for words where they are needed."""

    async def ask(visitor: Any, arguments: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        calls = (crew.call(name, "visit", visitor, preparing, *arguments[name], secret) for name in arguments)
        return dict(zip(arguments, await asyncio.gather(*calls), strict=True))

    signatures = await ask(signatures_at, dict.fromkeys(organizations, (match,)))
    crossings = [
        Crossing.of(name, SERVER, "file signatures", _json([s.name, s.content, s.num_bytes, *s.bands] for s in told))
        for name, told in signatures.items()
    ]
    suspected = {name: names for name, names in suspects(signatures).items() if names}
    crossings += [Crossing.of(SERVER, name, "file names", _json([names])) for name, names in suspected.items()]
    vocabularies = await ask(vocabularies_at, {name: (names,) for name, names in suspected.items()})
    crossings += [
        Crossing.of(name, SERVER, "word hashes", _json([file, *sorted(words)] for file, words in told.items()))
        for name, told in vocabularies.items()
    ]
    return Compared(signatures, vocabularies, tuple(crossings))


async def deduplicate(
    crew: Crew, organizations: Sequence[str], preparing: Preparing, settings: DeduplicationSettings, secret: bytes
) -> tuple[dict[str, Withheld], tuple[Crossing, ...]]:
    """What each organization is to leave out, if any is to, and what it took to find out."""
    if settings.across == "keep":
        return {}, ()
    compared = await compare(crew, organizations, preparing, settings.match, secret)
    jaccard = preparing.preparation.near_dedup_jaccard
    dropped = decide(compared.signatures, compared.vocabularies, settings, jaccard)
    told = [Crossing.of(SERVER, name, "file names", _json([sorted(names)])) for name, names in dropped.items() if names]
    return {name: Withheld(secret, names) for name, names in dropped.items()}, (*compared.crossings, *told)


async def what_policies_drop(
    crew: Crew, organizations: Sequence[str], preparing: Preparing, secret: bytes
) -> list[dict[str, Any]]:
    """For each policy and organization the files and bytes that it would leave out, before any limit.

    ``files`` and ``bytes`` are left out, ``of_files`` and ``of_bytes`` are all that pass the filters.
    """
    compared = await compare(crew, organizations, preparing, "near", secret)
    rows = []
    for settings in _policies():
        dropped = decide(compared.signatures, compared.vocabularies, settings, preparing.preparation.near_dedup_jaccard)
        for name, signatures in compared.signatures.items():
            sizes = [s.num_bytes for s in signatures if s.name in dropped[name]]
            rows.append(
                {
                    **settings.model_dump(),
                    "organization": name,
                    "files": len(sizes),
                    "bytes": sum(sizes),
                    "of_files": len(signatures),
                    "of_bytes": sum(s.num_bytes for s in signatures),
                }
            )
    return rows


def _policies() -> Iterator[DeduplicationSettings]:
    for across in get_args(Across):
        if across != "keep":
            yield from (DeduplicationSettings(across=across, match=match) for match in get_args(Match))


def _json(rows: Iterable[Iterable[bytes | int]]) -> bytes:
    return canonical_json([[v.hex() if isinstance(v, bytes) else v for v in row] for row in rows]).encode()
