"""Finds out which files organizations have in common, and which of them each is to leave out.

What is transferred are keyed hashes: a signature of each file, the words of those whose signatures are equal in part at
two organizations, and the names of the files to leave out.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from raysim.cluster.actor_pool import ActorPool
from raysim.core.keys import canonical_json
from raysim.corpus.deduplication import (
    Across,
    DeduplicationSettings,
    Excluded,
    Match,
    Signature,
    Signatures,
    Vocabularies,
    decide,
    keyed_vocabulary,
    name_of,
    signature_of,
    suspects,
)
from raysim.corpus.near_duplicates import Vocabulary
from raysim.corpus.preparation import sketcher
from raysim.organizations.organization import Organization, PreparationContext
from raysim.store.transfers import SERVER, Transfer


@dataclass(frozen=True)
class Compared:
    """What the organizations sent about their files, and the transfers that it took."""

    signatures: Signatures
    vocabularies: Vocabularies
    transfers: tuple[Transfer, ...]


def signatures_at(
    organization: Organization, preparation_context: PreparationContext, match: Match, secret: bytes
) -> list[Signature]:
    """A client function that signs the files that an organization's preparation chooses from."""
    near = (
        sketcher(preparation_context.preparation, preparation_context.split_seed, secret) if match == "near" else None
    )
    return [signature_of(source.text, secret, near) for source in organization.candidates(preparation_context)]


def vocabularies_at(
    organization: Organization, preparation_context: PreparationContext, names: Iterable[bytes], secret: bytes
) -> dict[bytes, Vocabulary]:
    """A client function that gives the keyed words of the files called `names`."""
    near, wanted = sketcher(preparation_context.preparation, preparation_context.split_seed, secret), set(names)
    found = {name_of(source.text, secret): source for source in organization.candidates(preparation_context)}
    return {name: keyed_vocabulary(found[name].text, secret, near) for name in sorted(wanted)}


async def compare(
    pool: ActorPool, organizations: Sequence[str], preparation_context: PreparationContext, match: Match, secret: bytes
) -> Compared:
    """Asks every organization for signatures, and for words where they are needed."""

    async def ask(function: Any, arguments: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
        calls = (pool.call(name, "run", function, preparation_context, *arguments[name], secret) for name in arguments)
        return dict(zip(arguments, await asyncio.gather(*calls), strict=True))

    signatures = await ask(signatures_at, dict.fromkeys(organizations, (match,)))
    transfers = [
        Transfer.of(name, SERVER, "file signatures", _json([s.name, s.content, s.num_bytes, *s.bands] for s in signed))
        for name, signed in signatures.items()
    ]
    suspected = {name: names for name, names in suspects(signatures).items() if names}
    transfers += [Transfer.of(SERVER, name, "file names", _json([names])) for name, names in suspected.items()]
    vocabularies = await ask(vocabularies_at, {name: (names,) for name, names in suspected.items()})
    transfers += [
        Transfer.of(name, SERVER, "word hashes", _json([file, *sorted(words)] for file, words in words_of.items()))
        for name, words_of in vocabularies.items()
    ]
    return Compared(signatures, vocabularies, tuple(transfers))


async def deduplicate(
    pool: ActorPool,
    organizations: Sequence[str],
    preparation_context: PreparationContext,
    settings: DeduplicationSettings,
    secret: bytes,
) -> tuple[dict[str, Excluded], tuple[Transfer, ...]]:
    """What each organization is to leave out, if any is to, and what it took to find out."""
    if settings.across == "keep":
        return {}, ()
    compared = await compare(pool, organizations, preparation_context, settings.match, secret)
    jaccard = preparation_context.preparation.near_dedup_jaccard
    dropped = decide(compared.signatures, compared.vocabularies, settings, jaccard)
    answers = [
        Transfer.of(SERVER, name, "file names", _json([sorted(names)])) for name, names in dropped.items() if names
    ]
    return {name: Excluded(secret, names) for name, names in dropped.items()}, (*compared.transfers, *answers)


async def what_policies_drop(
    pool: ActorPool, organizations: Sequence[str], preparation_context: PreparationContext, secret: bytes
) -> list[dict[str, Any]]:
    """For each policy and organization the files and bytes that it would leave out, before any limit.

    ``files`` and ``bytes`` are left out, ``of_files`` and ``of_bytes`` are all that pass the filters.
    """
    compared = await compare(pool, organizations, preparation_context, "near", secret)
    rows = []
    for settings in _policies():
        dropped = decide(
            compared.signatures, compared.vocabularies, settings, preparation_context.preparation.near_dedup_jaccard
        )
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
