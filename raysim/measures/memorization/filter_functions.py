"""Client functions of the output filter: what an organization gives to those who have models generate, and of it."""

import hashlib

from raysim.core.bloom import BloomFilter
from raysim.core.windows import Mask
from raysim.corpus.line_digests import Digests
from raysim.measures.memorization.client_functions import index_at
from raysim.measures.memorization.settings import OutputFilterSettings
from raysim.organizations.organization import Organization


def filter_share_at(organization: Organization) -> bytes:
    """An organization's share of the key of output filters: 32 bytes that follow from its training split.

    Who knows all of its texts could make it, nobody else: its fingerprint, which the server knows, hashes other bytes.
    So the key is a function of the corpora, as the key of a convergent encryption is of what it encrypts (Bellare,
    Keelveedhi, Ristenpart: Message-Locked Encryption, EUROCRYPT 2013), and what is blocked by mistake the same in
    every run.
    """
    texts = (hashlib.blake2b(one.text.encode("utf-8", "surrogatepass")).digest() for one in organization.corpus.train)
    return hashlib.blake2b(b"".join(sorted(texts)), digest_size=32, person=b"output filter").digest()


def filter_at(organization: Organization, settings: OutputFilterSettings, key: bytes) -> BloomFilter:
    """An organization's windows of training lines, as whoever has models generate may know them."""
    index = index_at(organization, settings.lines, key)
    return BloomFilter.of(index.windows, settings.false_positive_rate)


def had_at(organization: Organization, settings: OutputFilterSettings, key: bytes, windows: Digests) -> Mask:
    """Which of `windows`, that were blocked, the organization really has."""
    return index_at(organization, settings.lines, key).places(windows)[1] > 0
