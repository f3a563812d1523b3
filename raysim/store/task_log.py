"""`stages.jsonl`: a line for each piece of work as it ends, and what a person is shown meanwhile.

`attempts.jsonl`, beside it, has a line each time an actor, or a job of the pipeline, starts on a piece of work: losses
show there. What Ray Data does again within a job, since a worker was lost, has no line of its own.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from raysim.core.json_lines import append_json_line, end_torn_line, read_json_lines
from raysim.core.keys import Key
from raysim.store.model_scores import ModelScores
from raysim.training.throughput import Speed

TaskKind = str
"""Name of a `raysim.tasks.kinds.WorkKind`."""


@dataclass(frozen=True)
class TaskRecord:
    """A piece of work that has ended.

    Attributes:
        key: of its recipe.
        kind: of work; see `raysim.tasks.kinds`.
        setting: label of the setting that asked first, empty for work that belongs to none.
        label: names it for people.
        status: whether it was computed now or found in the store.
        seconds: it took, waiting for a slot not counted; 0 for what was cached.
        tokens: it trained on, scored or generated.
        attempts: how often an actor started on it, in this run of the command.
        speed: of training, in the attempt that ended it.
    """

    key: Key
    kind: str
    setting: str
    label: str
    status: Literal["computed", "cached"]
    seconds: float = 0.0
    tokens: int = 0
    attempts: int = 1
    speed: Speed | None = None

    def row(self) -> dict[str, Any]:
        """As it is logged. `seconds` are all that it took; the figures of `training` are of the loop alone."""
        row = asdict(self) | {"seconds": round(self.seconds, 3)}
        del row["speed"]
        if self.seconds:
            row["tokens_per_s"] = round(self.tokens / self.seconds, 1)
        if self.speed:
            row["training"] = self.speed.facts()
        return row


class TaskLog:
    """Appends to `stages.jsonl` and `attempts.jsonl`. A line that a crash tore stays, and `read_log` ignores it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._attempts = path.with_name("attempts.jsonl")
        for log in (self._path, self._attempts):
            end_torn_line(log)

    def append(self, record: TaskRecord, session: str) -> None:
        """Writes one line; `session` distinguishes this run of the command from earlier ones on the same folder."""
        append_json_line(self._path, record.row() | {"session": session})

    def attempt(self, key: Key, kind: str, label: str, client: str, number: int, session: str) -> None:
        """Writes that `client` starts on a piece of work, for the time `number` (from 1) in this session."""
        row = {"key": key, "kind": kind, "label": label, "site": client, "attempt": number, "session": session}
        append_json_line(self._attempts, row)


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a `stages.jsonl` or `attempts.jsonl`."""
    return read_json_lines(path)


class Observer(Protocol):
    """Receives progress events, to show them to a person."""

    def started(self, key: Key, kind: str, label: str, tokens: int) -> None:
        """Work began, which will take `tokens`."""
        ...

    def progressed(self, key: Key, tokens: int, note: str, loss: float | None = None) -> None:
        """`tokens` of it are done; `loss` is that of the last batch, in nats a token, where it is training."""
        ...

    def ended(self, record: TaskRecord) -> None:
        """Work ended."""
        ...

    def measured(self, scores: ModelScores) -> None:
        """Scores of a model are known.

        Raises:
            RunError: after them the run is not to go on.
        """
        ...

    def note(self, text: str) -> None:
        """Something that a person should know, such as a damaged store entry."""
        ...
