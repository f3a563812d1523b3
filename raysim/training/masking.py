"""Masked updates: a server learns the sum of what its clients send, and of each nothing but a uniform vector.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal & Seth: Practical Secure Aggregation for
Privacy-Preserving Machine Learning, CCS 2017, figure 4 without its consistency check, for a server that is honest but
curious. Client u sends, modulo R = 2^bits,

    y_u = x_u + PRG(b_u) + sum over v > u of PRG(s_uv) - sum over v < u of PRG(s_uv),

with s_uv from a key agreement of u and v, and b_u its own; shares of b_u and of u's secret key lie with all clients. Of
whoever sent y_u those who are left disclose shares of b_u, of whoever dropped out shares of its key, never both: so a
vector that comes late stays masked.

This is a simulation. All secrets derive from the seed of the run, shares are not encrypted on their way, and all
parties run on machines of one owner: it shows what a server would see, and protects nobody from whoever runs it.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pydantic
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from raysim.core.errors import InputError
from raysim.core.keys import canonical_json
from raysim.core.settings import Settings
from raysim.training.secret_sharing import SHARE_BYTES, recover_secret, split_secret
from raysim.training.upload_form import Sent
from raysim.training.weights import Flat

Residues = npt.NDArray[np.uint32]
"""Numbers modulo 2^bits, ``[num_parameters]``."""

MASKED = "masked"
"""Name of a masked vector among the arrays of a stage: it is no model."""


class SecureAggregationSettings(Settings):
    """How clients hide their updates from the server, which learns their sum alone."""

    threshold: int | None = pydantic.Field(
        default=None,
        ge=2,
        description="clients of a round that must be left to remove the masks; unset: more than half of them",
    )
    bits: Literal[16, 24, 32] = pydantic.Field(default=32, description="of an element of a masked update")
    clip: float = pydantic.Field(
        default=1.0, gt=0, description="largest change of a weight in a round; larger ones are cut to it, and counted"
    )

    def threshold_of(self, clients: int) -> int:
        """The threshold of a round of so many clients.

        Raises:
            InputError: there are too few for it, or for any sum that hides one of them.
        """
        if clients < 2:
            raise InputError("secure_aggregation: a sum of one client's update is that update; it takes two or more")
        threshold = self.threshold or clients // 2 + 1
        if threshold > clients:
            raise InputError(f"secure_aggregation.threshold: {threshold}, but a round has {clients} clients")
        return threshold


@dataclass(frozen=True)
class MaskAgreement:
    """What the clients of a round have agreed on before they train.

    Attributes:
        seed: of the run, from which a simulation derives all secrets.
        round: from 0.
        counts: name of each client, and what it counts in the sum: its examples, or 1.
        threshold: clients that must be left in the end.
        bits: of an element.
        clip: largest magnitude of an update's element.
    """

    seed: int
    round: int
    counts: tuple[tuple[str, int], ...]
    threshold: int
    bits: int
    clip: float

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.counts)

    @cached_property
    def step(self) -> float:
        """What one unit of the sum is worth: as small as keeps the sum of all within half the ring."""
        room = 2 ** (self.bits - 1) - 1 - len(self.counts)
        return sum(count for _, count in self.counts) * self.clip / room

    def recipe(self) -> dict[str, Any]:
        return asdict(self) | {"counts": [list(pair) for pair in self.counts]}

    def require_enough(self, left: Sequence[str]) -> None:
        """Refuses a round in which too few clients are left to remove the masks.

        Raises:
            InputError: fewer than the threshold.
        """
        if len(left) < self.threshold:
            raise InputError(
                f"secure_aggregation: {len(left)} of the {len(self.counts)} clients of round {self.round + 1} are left,"
                f" and removing their masks takes threshold: {self.threshold}; lower it, or have more take part"
            )

    def secret_key(self, client: str) -> bytes:
        """Of its key agreement with every other client."""
        return self._derived("key", client)

    def own_seed(self, client: str) -> bytes:
        """Of the mask that it shares with nobody: b_u."""
        return self._derived("own mask", client)

    def shares(
        self, client: str, purpose: Literal["key", "own mask"], holders: Sequence[str] | None = None
    ) -> dict[str, int]:
        """What each of `holders` has of `client`'s secret key, or of the seed of its own mask; None: all clients."""
        holders = self.names if holders is None else holders
        secret = int.from_bytes(self._derived(purpose, client), "little")
        polynomial = self._derived(f"shares of {purpose}", client)
        numbers = [self.number(holder) for holder in holders]
        return dict(zip(holders, split_secret(secret, numbers, self.threshold, polynomial), strict=True))

    def number(self, client: str) -> int:
        """Of a client as a holder of shares, from 1."""
        return self.names.index(client) + 1

    def masks(self, client: str, secret_key: bytes, others: Sequence[str]) -> Iterator[tuple[int, bytes]]:
        """Sign and seed of each mask that `client`, whose secret key is given, has in common with `others`."""
        place = self.names.index(client)
        for other in others:
            shared = agreed_secret(secret_key, self._public_keys[other])
            yield (1 if self.names.index(other) > place else -1), hashlib.sha256(b"mask" + shared).digest()

    def offer(self, client: str, others: Sequence[str]) -> bytes:
        """What `client` tells `others` by way of the server: its public key, and to each the shares of its secrets."""
        key, own = self.shares(client, "key", others), self.shares(client, "own mask", others)
        shares = (part[other] for other in others for part in (key, own))
        return self._public_keys[client] + b"".join(share.to_bytes(SHARE_BYTES, "little") for share in shares)

    @cached_property
    def _public_keys(self) -> dict[str, bytes]:
        return {name: public_key(self.secret_key(name)) for name in self.names}

    def _derived(self, purpose: str, client: str) -> bytes:
        content = ["secure aggregation", purpose, self.seed, self.round, list(self.names), client]
        return hashlib.sha256(canonical_json(content).encode()).digest()


@dataclass(frozen=True)
class Masked:
    """The form of upload of one client; see `raysim.training.upload_form.UploadForm`."""

    agreement: MaskAgreement
    client: str

    @property
    def kind(self) -> str:
        return "masked update"

    @property
    def shows_weights(self) -> bool:
        return False

    @property
    def client_buffers(self) -> tuple[str, ...]:
        return ()

    def recipe(self) -> dict[str, Any]:
        return {"name": "masked", "version": 1, "client": self.client, **self.agreement.recipe()}

    def send(self, start: Flat, end: Flat, kept: Mapping[str, Flat], seed: int) -> Sent:
        """The masked vector; `seed` is not used, since the clients have agreed on what they draw."""
        del kept, seed
        agreement, update = self.agreement, np.subtract(end, start, dtype=np.float64)
        vector = to_residues(update, agreement, dict(agreement.counts)[self.client])
        held = from_residues(vector, agreement) / dict(agreement.counts)[self.client]
        facts = {
            "cut_norm": math.sqrt(float(np.square(update - held).sum())),
            "clipped": int(np.count_nonzero(np.abs(update) > agreement.clip)),
        }
        others = [name for name in agreement.names if name != self.client]
        vector += prg(agreement.own_seed(self.client), vector.size)
        for sign, mask_seed in agreement.masks(self.client, agreement.secret_key(self.client), others):
            _add(vector, sign, mask_seed)
        vector &= _low_bits(agreement)
        agreed = (agreement.offer(self.client, others), b"".join(agreement.offer(o, [self.client]) for o in others))
        return Sent(vector, packed(vector, agreement.bits), {}, facts, MASKED, agreed)


def public_key(secret_key: bytes) -> bytes:
    """Of an X25519 key agreement (RFC 7748), for a secret key of any 32 bytes."""
    return X25519PrivateKey.from_private_bytes(secret_key).public_key().public_bytes_raw()


def agreed_secret(secret_key: bytes, public: bytes) -> bytes:
    """The 32 bytes that the owner of `secret_key` and the owner of the key behind `public` have in common."""
    return X25519PrivateKey.from_private_bytes(secret_key).exchange(X25519PublicKey.from_public_bytes(public))


def to_residues(update: npt.NDArray[np.float64], agreement: MaskAgreement, count: int) -> Residues:
    """An update times `count`, cut to the range, in whole steps modulo 2^bits."""
    steps = np.rint(np.clip(update, -agreement.clip, agreement.clip) * (count / agreement.step))
    return steps.astype(np.int64).astype(np.uint32) & _low_bits(agreement)


def from_residues(vector: Residues, agreement: MaskAgreement) -> npt.NDArray[np.float64]:
    """What a vector of residues is worth; those of the upper half are negative."""
    shift = np.uint32(32 - agreement.bits)
    signed = (vector << shift).view(np.int32) >> shift.astype(np.int32)
    return np.multiply(signed, agreement.step, dtype=np.float64)


def prg(seed: bytes, size: int) -> Residues:
    """`size` uniform numbers of 32 bits of a seed of 32 bytes: the words of Philox 4x64-10, keyed by its hash.

    Salmon, Moraes, Dror & Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011. It passes tests of randomness; it
    is no cipher, and a deployment would take one.
    """
    key = int.from_bytes(hashlib.sha256(b"prg" + seed).digest()[:16], "little")
    return np.random.Philox(key=key).random_raw(-(-size // 2)).astype("<u8").view("<u4")[:size]


def packed(vector: Residues, bits: int) -> bytes:
    """A vector as it crosses the boundary: the low bytes of each number, the lowest first."""
    return vector.astype("<u4").view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()


@dataclass(frozen=True)
class Disclosure:
    """What a client that is left tells the server: its shares, of each other client of one secret alone.

    Attributes:
        client: that tells them.
        own_masks: of the seeds of those whose vectors arrived.
        keys: of the secret keys of those who dropped out.
    """

    client: str
    own_masks: Mapping[str, int]
    keys: Mapping[str, int]

    @property
    def content(self) -> bytes:
        """As it crosses the boundary."""
        shares = (*self.own_masks.values(), *self.keys.values())
        return b"".join(share.to_bytes(SHARE_BYTES, "little") for share in shares)


def disclosures(agreement: MaskAgreement, left: Sequence[str]) -> list[Disclosure]:
    """What the clients that are left tell a server which has their vectors, in the order of the agreement.

    Raises:
        InputError: fewer are left than the threshold, so that the masks stay.
    """
    agreement.require_enough(left)
    own = {name: agreement.shares(name, "own mask") for name in agreement.names if name in left}
    keys = {name: agreement.shares(name, "key") for name in agreement.names if name not in left}
    return [
        Disclosure(
            client,
            {name: shares[client] for name, shares in own.items()},
            {name: shares[client] for name, shares in keys.items()},
        )
        for client in own
    ]


def unmasked_sum(
    vectors: Mapping[str, Residues], agreement: MaskAgreement, told: Sequence[Disclosure]
) -> npt.NDArray[np.float64]:
    """The sum of updates times counts, of those whose masked `vectors` arrived.

    Args:
        vectors: by client.
        agreement: of the clients of the round.
        told: by at least as many clients as the threshold.
    """
    total = np.zeros_like(next(iter(vectors.values())))
    for vector in vectors.values():
        total += vector
    told = told[: agreement.threshold]
    for name in agreement.names:
        shares = {agreement.number(one.client): {**one.own_masks, **one.keys}[name] for one in told}
        secret = recover_secret(shares).to_bytes(32, "little")
        if name in vectors:
            _add(total, -1, secret)
        else:
            for sign, seed in agreement.masks(name, secret, list(vectors)):
                _add(total, sign, seed)
    return from_residues(total & _low_bits(agreement), agreement)


def _add(vector: Residues, sign: int, seed: bytes) -> None:
    """Adds a mask, or takes it away; unsigned integers wrap around by themselves."""
    (np.add if sign > 0 else np.subtract)(vector, prg(seed, vector.size), out=vector)


def _low_bits(agreement: MaskAgreement) -> np.uint32:
    return np.uint32(2**agreement.bits - 1)
