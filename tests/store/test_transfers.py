"""What crosses the boundary of an organization, from entries in a store."""

import hashlib
from pathlib import Path

import numpy as np

from raysim.store.store import Store
from raysim.store.transfers import SERVER, Transfer, ledger_rows, transfers_of

WEIGHTS = np.array([1.0, 2.0], np.float32)
INITIAL = {"kind": "initial", "version": 1}


def stage(client_state: str | None = None, seed: int = 1) -> dict[str, object]:
    from raysim.core.keys import key_of

    return {"kind": "train", "version": 1, "weights": key_of(INITIAL), "client_state": client_state, "seed": seed}


def test_a_transfer_is_named_by_its_content_and_comes_back_from_json() -> None:
    transfer = Transfer.of("a", SERVER, "metrics", b"abc")
    assert (transfer.num_bytes, transfer.sha256) == (3, hashlib.sha256(b"abc").hexdigest())
    assert transfer.to_json()["bytes"] == 3
    assert Transfer.from_json(transfer.to_json()) == transfer


def test_a_stage_moves_weights_both_ways_metrics_and_local_state(tmp_path: Path) -> None:
    """The optimizer of an earlier stage comes from the client's own part of the store, its own goes there."""
    store = Store(tmp_path)
    store.put(INITIAL, {}, {"weights": WEIGHTS})
    info = {"site": "a", "metrics": {"steps": 1}}
    arrays = {"weights": WEIGHTS, "exp_avg": WEIGHTS}
    first = store.put(stage(), info, arrays)
    second = store.put(stage(first.key, seed=2), info, arrays)
    moved = [(t.sender, t.receiver, t.kind) for _, t in transfers_of(second, store)]
    local = "a (its shelf)"
    assert moved == [
        (SERVER, "a", "weights"),
        ("a", SERVER, "weights"),
        (local, "a", "client state"),
        ("a", SERVER, "metrics"),
        ("a", local, "client state"),
    ]
    assert len(transfers_of(first, store)) == 4


def test_rows_of_the_ledger_are_sorted_and_name_their_work(tmp_path: Path) -> None:
    store = Store(tmp_path)
    noted = [Transfer.of(name, SERVER, "texts", b"x").to_json() for name in "ba"]
    entry = store.put(INITIAL, {"crossings": noted})
    rows = ledger_rows([entry], store)
    assert [(row["sender"], row["work"]) for row in rows] == [("a", entry.key), ("b", entry.key)]
