"""`stages.jsonl`: a line for each piece of work as it ends, and what a person is shown meanwhile."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from raysim.recipe import Key

Kind = Literal["initial", "train", "aggregate", "losses", "generate", "match", "prompts", "clones"]


@dataclass(frozen=True)
class StageRecord:
    """A piece of work that has ended.

    Attributes:
        key: of its recipe.
        kind: of work.
        setting: label of the setting that asked first, empty for work that belongs to none.
        label: names it for people.
        status: whether it was computed now or found in the store.
        seconds: it took, waiting for a slot not counted; 0 for what was cached.
        tokens: it trained on, scored or generated.
        attempts: started, in this run of the command.
    """

    key: Key
    kind: Kind
    setting: str
    label: str
    status: Literal["computed", "cached"]
    seconds: float = 0.0
    tokens: int = 0
    attempts: int = 1


class StageLog:
    """Appends to `stages.jsonl`. A line that a crash tore is left behind and ignored by `read_stages`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.exists() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            with path.open("ab") as file:
                file.write(b"\n")

    def append(self, record: StageRecord, session: str) -> None:
        """Writes one line; `session` tells this run of the command from earlier ones on the same folder."""
        row = asdict(record) | {"seconds": round(record.seconds, 3), "session": session}
        if record.seconds:
            row["tokens_per_s"] = round(record.tokens / record.seconds, 1)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def read_stages(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a `stages.jsonl`."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


class Observer(Protocol):
    """Is told what happens, for a person to see."""

    def started(self, key: Key, kind: Kind, label: str, tokens: int) -> None:
        """Work began, which will take `tokens`."""
        ...

    def progressed(self, key: Key, tokens: int, note: str) -> None:
        """`tokens` of it are done."""
        ...

    def ended(self, record: StageRecord) -> None:
        """Work ended."""
        ...

    def note(self, text: str) -> None:
        """Something that a person should know, such as a damaged store entry."""
        ...
