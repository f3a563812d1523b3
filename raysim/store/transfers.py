"""The ledger: a row for everything that crosses the boundary of an organization.

What a piece of work moved follows from its entry in the store, so the ledger of a run is the union over its entries and
survives a crash with them. An attempt that was killed may have moved the same bytes once more.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from raysim.core.keys import Key, canonical_json
from raysim.store.entries import Entry
from raysim.store.store import Store

SERVER = "server"


@dataclass(frozen=True, order=True)
class Transfer:
    """Bytes that went from one place to another.

    Attributes:
        sender: an organization, ``server``, or a pooled organization.
        receiver: likewise; ``... (its shelf)`` is an organization's own part of the store.
        kind: ``weights``, that of another form of upload, ``keys and shares`` (of secure aggregation), ``objective``
            (what the server sends to a local objective), ``fisher`` (which weights an organization's data need),
            ``client state``, ``metrics``, ``sequences`` or ``texts`` (raw code), or the kind of a measure.
        num_bytes: of content.
        sha256: of the content; of an array, as the ``.npy`` file that the store holds.
    """

    sender: str
    receiver: str
    kind: str
    num_bytes: int
    sha256: str

    @classmethod
    def of(cls, sender: str, receiver: str, kind: str, content: bytes) -> "Transfer":
        """The transfer of `content`."""
        return cls(sender, receiver, kind, len(content), hashlib.sha256(content).hexdigest())

    def to_json(self) -> dict[str, Any]:
        """As it is written in an entry's info, and in ``ledger.parquet``."""
        row = asdict(self)
        return {("bytes" if name == "num_bytes" else name): value for name, value in row.items()}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Transfer":
        """The inverse of `to_json`."""
        return cls(**{("num_bytes" if name == "bytes" else name): value for name, value in row.items()})


def transfers_of(entry: Entry, store: Store) -> list[tuple[Key, Transfer]]:
    """What the work of `entry` moved: weights there and back, client state to local state, and what it noted itself."""
    found = [Transfer.from_json(row) for row in entry.info.get("crossings", ())]
    client = entry.info.get("site")
    received = entry.recipe.get("weights")
    if client and received:
        source = store.peek(received)
        if source:
            found.append(_of_array(source, "weights", SERVER, client, "weights"))
            sent = entry.info.get("objective_buffers", ())
            found += [_of_array(source, name, SERVER, client, "objective") for name in sent]
    upload = entry.info.get("upload")
    if client and upload:
        found.append(Transfer(client, SERVER, upload["kind"], upload["bytes"], upload["sha256"]))
        for ends, part in zip(((client, SERVER), (SERVER, client)), upload.get("agreed", ()), strict=False):
            found.append(Transfer(*ends, "keys and shares", part["bytes"], part["sha256"]))
    elif client and entry.recipe["kind"] in ("train", "snapshot"):
        found.append(_of_array(entry, "weights", client, SERVER, "weights"))
    names = ("client_state", "objective_state", "upload_state")
    pasts = dict.fromkeys(key for name in names if (key := entry.recipe.get(name)))
    for past in filter(None, map(store.peek, pasts)):
        if client:
            found += [_of_array(past, name, _local_state(client), client, "client state") for name in _moments(past)]
    if client and entry.recipe["kind"] == "train":
        found.append(Transfer.of(client, SERVER, "metrics", canonical_json(entry.info["metrics"]).encode()))
        found += [_of_array(entry, name, client, _local_state(client), "client state") for name in _moments(entry)]
    return [(entry.key, transfer) for transfer in found]


def ledger_rows(entries: Iterable[Entry], store: Store) -> list[dict[str, Any]]:
    """Rows of ``ledger.parquet``, sorted."""
    rows = [{**c.to_json(), "work": key} for entry in entries for key, c in transfers_of(entry, store)]
    return sorted(rows, key=lambda row: tuple(row.values()))


def _local_state(client: str) -> str:
    """A client's own part of the store, from which the server reads nothing."""
    return f"{client} (its shelf)"


def _moments(entry: Entry) -> list[str]:
    return [name for name in entry.array_names() if name != entry.sent_array]


def _of_array(entry: Entry, name: str, sender: str, receiver: str, kind: str) -> Transfer:
    facts = entry.files[f"{name}.npy"]
    return Transfer(sender, receiver, kind, int(facts["bytes"]), facts["sha256"])
