"""What a run is doing, or how it ended, as its folder says."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError
from raysim.core.json_lines import GrowingLog
from raysim.core.run_folder import RunFolder

Row = Mapping[str, Any]


@dataclass(frozen=True)
class RunStatus:
    """A run as it was when its folder was read.

    Attributes:
        name: of the experiment; of the folder, as long as nobody has written it down.
        phase: what it does now.
        point: of a sweep, the point that it is at; empty: none.
        share: of the work, between 0 and 1.
        left_s: seconds that the rest will take; None: not known.
        settings: for each setting ``stages`` and ``rounds``, each as done and planned.
        under_way: pieces of work: ``kind``, ``label``, ``share`` and ``loss``, which may be null.
        more: pieces under way besides.
        losses: that were seen of each piece that is under way, by its label, the oldest first.
        scores: what is known of models, as `raysim.store.model_scores.ModelScores` has it, the oldest first.
        notes: that the run has given.
        ended: ``finished``, ``stopped`` or ``failed``; empty: it goes on, as far as it says.
        why: it stopped or failed.
        sign: changes with every sign of life.
        silent_s: since when there was none, by this machine's clock.
    """

    name: str
    phase: str = ""
    point: str = ""
    share: float = 0.0
    left_s: float | None = None
    settings: Mapping[str, Mapping[str, tuple[int, int]]] = field(default_factory=dict)
    under_way: Sequence[Row] = ()
    more: int = 0
    losses: Mapping[str, Sequence[float]] = field(default_factory=dict)
    scores: Sequence[Row] = ()
    notes: Sequence[str] = ()
    ended: str = ""
    why: str = ""
    sign: tuple[int, int] = (0, 0)
    silent_s: float = 0.0


class StatusReader:
    """Reads the status of the run, or the sweep, in a folder, again and again.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self._folder = RunFolder(path)
        self._log = GrowingLog(self._folder.progress)

    def read(self) -> RunStatus:
        """The status now.

        Raises:
            InputError: there is no run, or one that tells nothing of itself.
        """
        return _status(self._folder, self._log.rows())


def _status(folder: RunFolder, rows: Sequence[Row]) -> RunStatus:
    if not rows:
        manifest = folder.read_manifest()
        if not manifest.get("finished"):
            raise InputError(
                f"{folder.path}: has no progress.jsonl, which a run writes as it goes on; run its command again"
            )
        return RunStatus(str(manifest.get("name", "")), "Done", share=1.0, ended="finished")
    found = folder.progress.stat()  # it was opened just now: a network file system has asked its server
    return replace(
        status_of(rows, _name(folder)),
        sign=(found.st_mtime_ns, found.st_size),
        silent_s=max(0.0, time.time() - found.st_mtime),
    )


def status_of(rows: Sequence[Row], name: str) -> RunStatus:
    """The status that the lines of a `raysim.experiment.progress_log` show; scores are those of all of them."""
    begun = max((place for place, row in enumerate(rows) if row.get("event") == "began"), default=0)
    last: dict[str, Row] = {row["event"]: row for row in rows[begun:] if "event" in row}
    work, point, ended = last.get("work", {}), last.get("point"), last.get("ended", {})
    under_way = () if ended else work.get("under_way", ())
    return RunStatus(
        name=name,
        phase=last.get("phase", {}).get("name", "Starting"),
        point=f"point {point['number']} of {point['total']}: {point['name']}" if point else "",
        share=1.0 if ended.get("how") == "finished" else work.get("share", 0.0),
        left_s=work.get("left_s"),
        settings=_settings(last.get("planned", {}).get("settings", {}), work.get("done", {})),
        under_way=under_way,
        more=0 if ended else work.get("more", 0),
        losses={row["label"]: list(_losses(rows[begun:], row["label"])) for row in under_way},
        scores=list({_about(row): row for row in rows if row.get("event") == "measured"}.values()),
        notes=[row["text"] for row in rows[begun:] if row.get("event") == "note"],
        ended=ended.get("how", ""),
        why=ended.get("why", ""),
    )


def _name(folder: RunFolder) -> str:
    """Of the experiment; of the folder, as long as no manifest is there."""
    try:
        return str(folder.read_manifest()["name"])
    except (InputError, KeyError):
        return folder.path.resolve().name


def _settings(
    planned: Mapping[str, Mapping[str, int]], done: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, tuple[int, int]]]:
    return {
        label: {what: (min(count, done.get(label, {}).get(what, 0)), count) for what, count in counts.items() if count}
        for label, counts in planned.items()
    }


def _losses(rows: Sequence[Row], label: str) -> Iterator[float]:
    for row in rows:
        if row.get("event") == "work":
            yield from (one["loss"] for one in row["under_way"] if one["label"] == label and one["loss"] is not None)


def _about(row: Row) -> tuple[str, str, str]:
    """What a line of scores is about; one of a later run of the command replaces it."""
    return row["model"], row["organization"], ",".join(row["values"])
