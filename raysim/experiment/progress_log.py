"""`progress.jsonl`: what a run is doing, written by it, so that others can watch it from its folder alone.

A line has an ``event``, the time ``at`` which it was written, in seconds since 1970, and what else the event has:

- ``began``, ``ended``: this run of the command; how it ended (``finished``, ``stopped``, ``failed``), and why;
- ``phase``, ``point``, ``planned``, ``note``: as in `raysim.experiment.observer.RunObserver`;
- ``work``: share of the run, seconds left, what is done of each setting, what is under way and with which loss, every
  few seconds at most;
- ``measured``: scores of a model.

While nothing else is written, the file is touched: it is as old as the last sign of life. A long run leaves it small:
lines of the past are thinned out.
"""

import json
import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from raysim.core.errors import RaysimError, os_errors
from raysim.core.json_lines import append_json_line, end_torn_line, read_json_lines
from raysim.core.keys import Key
from raysim.experiment.observer import PartialObserver, Planned
from raysim.experiment.pace import Pace
from raysim.store.model_scores import ModelScores
from raysim.store.task_log import TaskKind, TaskRecord
from raysim.tasks.kinds import AGGREGATE, TRAIN

BEAT_S = 5.0
"""Seconds between two signs of life."""

_WORK_EVERY_S = 2.0
_SHOWN = 8
"""Pieces of work under way that a line names."""

MOST_BYTES = 1 << 20
_THINNED = ("work", "measured", "note")
"""Events that go, every second one of them, where the file is too large, in this order."""

_FEW = 100

_COUNTED = {TRAIN.name: "stages", AGGREGATE.name: "rounds"}


@dataclass
class _Under:
    kind: TaskKind
    label: str
    tokens: int
    done: int = 0
    loss: float | None = None

    def row(self) -> dict[str, Any]:
        share = round(self.done / self.tokens, 4) if self.tokens else 0.0
        return {"kind": self.kind, "label": self.label, "share": share, "loss": self.loss}


class ProgressLog(PartialObserver):
    """Writes what it observes to the file at `path`, for the time of a block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pace = Pace()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="raysim-progress", daemon=True)
        self._under: dict[Key, _Under] = {}
        self._done: dict[str, dict[str, int]] = {}
        self._written_s = -math.inf
        self._stale = False

    def __enter__(self) -> "ProgressLog":
        end_torn_line(self._path)
        self._write("began")
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        self._beating.join()
        if error is None:
            self._write_work()
            self._write("ended", how="finished", why="")
            return
        how, why = ("failed", str(error)) if isinstance(error, Exception) else ("stopped", "it was interrupted")
        try:
            self._write("ended", how=how, why=why)
        except RaysimError:  # the disk is full, perhaps: there is an error already
            return

    def phase(self, name: str) -> None:
        self._write("phase", name=name)

    def point(self, name: str, number: int, total: int, later: Mapping[str, int]) -> None:
        self._pace.later(later)
        self._write("point", name=name, number=number, total=total)

    def expect(self, tokens: Mapping[str, int], planned: Planned) -> None:
        with self._lock:
            self._pace.expect(tokens)
            self._done = {}
        self._write("planned", settings={label: dict(counts) for label, counts in planned.items()})

    def started(self, key: Key, kind: TaskKind, label: str, tokens: int) -> None:
        with self._lock:
            self._under[key] = _Under(kind, label, tokens)
            self._pace.started(key, kind, tokens)
        self._look()

    def progressed(self, key: Key, tokens: int, note: str, loss: float | None = None) -> None:
        with self._lock:
            if under := self._under.get(key):
                under.done = tokens
                under.loss = round(loss, 4) if loss is not None and math.isfinite(loss) else None
            self._pace.progressed(key, tokens)
        self._look()

    def ended(self, record: TaskRecord) -> None:
        with self._lock:
            self._under.pop(record.key, None)
            self._pace.ended(record.key)
            if (counted := _COUNTED.get(record.kind)) and record.setting:
                done = self._done.setdefault(record.setting, dict.fromkeys(_COUNTED.values(), 0))
                done[counted] += 1
        self._look()

    def measured(self, scores: ModelScores) -> None:
        values = {name: round(value, 4) for name, value in scores.values.items() if math.isfinite(value)}
        self._write("measured", **scores.row() | {"values": values})

    def note(self, text: str) -> None:
        self._write("note", text=text)

    def _look(self) -> None:
        """Writes what is under way, unless that was done a moment ago; then the next beat does."""
        self._stale = True
        if time.monotonic() - self._written_s >= _WORK_EVERY_S:
            self._write_work()

    def _write_work(self) -> None:
        with self._lock:
            self._stale, self._written_s = False, time.monotonic()
            left_s = self._pace.left_s
            self._write(
                "work",
                share=round(self._pace.share, 4),
                left_s=None if left_s is None else round(left_s),
                done=self._done,
                under_way=[one.row() for one in list(self._under.values())[:_SHOWN]],
                more=max(0, len(self._under) - _SHOWN),
            )

    def _write(self, event: str, **facts: Any) -> None:
        with self._lock:
            append_json_line(self._path, {"event": event, "at": round(time.time(), 1), **facts})
            if self._path.stat().st_size > MOST_BYTES:
                self._thin_out()

    def _thin_out(self) -> None:
        rows = thinned(read_json_lines(self._path), MOST_BYTES // 2)
        draft = self._path.with_suffix(".jsonl.new")
        with os_errors(self._path, begun=True):
            draft.write_text("".join(map(_line, rows)), encoding="utf-8")
            draft.replace(self._path)

    def _beat(self) -> None:
        """Gives signs of life, as long as the process lives, in a thread of its own: work may take minutes."""
        while not self._over.wait(BEAT_S):
            try:
                if self._stale:
                    self._write_work()
                else:
                    os.utime(self._path)
            except (OSError, RaysimError):  # if it lasts, the run itself will say so
                continue


def thinned(rows: list[dict[str, Any]], num_bytes: int) -> list[dict[str, Any]]:
    """`rows` without every second one of an event, again and again, until they fit or few of it are left.

    The first and the last of each stay: the past becomes sparser the longer it is gone.
    """
    for event in _THINNED:
        places = [place for place, row in enumerate(rows) if row.get("event") == event]
        while len(places) > _FEW and sum(len(_line(row)) for row in rows) > num_bytes:
            gone = set(places[1:-1:2])
            rows = [row for place, row in enumerate(rows) if place not in gone]
            places = [place for place, row in enumerate(rows) if row.get("event") == event]
    return rows


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row) + "\n"
