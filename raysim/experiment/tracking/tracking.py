"""Hands losses and scores of a run to trackers."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue

from raysim.core.errors import first_line
from raysim.core.keys import Key
from raysim.experiment.observer import PartialObserver
from raysim.experiment.tracking.tracker import Point, TrackedRun, Tracker
from raysim.store.model_scores import ModelScores
from raysim.store.task_log import TaskKind

_LOSS_EVERY_S = 1.0
"""Of one stage."""

_TOGETHER_S = 0.5
"""For how long points are gathered: to send many costs about as much as to send one."""

_CLOSE_TIMEOUT_S = 60.0

_IN_LINE = ("initial", "stage", "round")
"""Moments of one curve; others have curves of their own, since they count otherwise."""


class Tracking(PartialObserver):
    """Sends curves, for the time of a block, in a thread: no training waits for whoever takes them.

    - ``training_loss/LABEL`` of each stage, over its tokens;
    - ``SCORE/ORGANIZATION/SETTING`` of each setting, order and seed, over stages or rounds.

    Args:
        trackers: by name; each is made in the thread.
        run: that they are about.
        note: shows a sentence to whoever watches.
    """

    def __init__(self, trackers: Mapping[str, type[Tracker]], run: TrackedRun, note: Callable[[str], None]) -> None:
        self._classes = trackers
        self._tracked = run
        self._note = note
        self._points: SimpleQueue[Point | None] = SimpleQueue()
        self._labels: dict[Key, str] = {}
        self._sent_s: dict[Key, float] = {}
        self._thread = threading.Thread(target=self._send, name="raysim-tracking", daemon=True)

    def __enter__(self) -> "Tracking":
        if self._classes:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._points.put(None)
        if self._classes:
            self._thread.join(_CLOSE_TIMEOUT_S)
            if self._thread.is_alive():
                late = f"{', '.join(self._classes)} did not take all within {_CLOSE_TIMEOUT_S:.0f} s"
                self._note(f"execution.track: {late}; what is missing there is in the tables")

    def started(self, key: Key, kind: TaskKind, label: str, tokens: int) -> None:
        self._labels[key] = label

    def progressed(self, key: Key, tokens: int, note: str, loss: float | None = None) -> None:
        now_s = time.monotonic()
        if loss is not None and now_s - self._sent_s.get(key, -math.inf) >= _LOSS_EVERY_S:
            self._sent_s[key] = now_s
            self._put(f"training_loss/{self._labels.get(key, key)}", tokens, loss)

    def measured(self, scores: ModelScores) -> None:
        run = f"{scores.run}, seed {scores.seed}"
        run += "" if scores.moment in _IN_LINE else f", {scores.moment}s"
        for name, value in scores.values.items():
            self._put(f"{name}/{scores.organization}/{run}", scores.index, value)

    def _put(self, curve: str, step: int, value: float) -> None:
        if self._classes and math.isfinite(value):
            self._points.put(Point(curve, step, value))

    def _send(self) -> None:
        made: dict[str, Tracker] = {}
        for name, tracker in self._classes.items():
            with _Noting(name, self._note):
                made[name] = tracker(self._tracked)
        for points in self._batches():
            for name in list(made):
                with _Noting(name, self._note) as noting:
                    made[name].log(points)
                if noting.failed:
                    del made[name]
        for name, one in made.items():
            with _Noting(name, self._note):
                one.close()

    def _batches(self) -> Iterator[list[Point]]:
        """Points as they come, together with those that come soon after; ends when the block has."""
        while first := self._points.get():
            points, until_s = [first], time.monotonic() + _TOGETHER_S
            while (left_s := until_s - time.monotonic()) > 0:
                try:
                    point = self._points.get(timeout=left_s)
                except Empty:
                    break
                if point is None:
                    yield points
                    return
                points.append(point)
            yield points


class _Noting:
    """Has an error of a tracker noted, and nothing else come of it: a run does not depend on who watches it."""

    def __init__(self, tracker: str, note: Callable[[str], None]) -> None:
        self._tracker = tracker
        self._note = note
        self.failed = False

    def __enter__(self) -> "_Noting":
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, Exception):
            self.failed = True
            self._note(f"execution.track: {self._tracker} takes nothing more: {first_line(error)}; the run goes on")
        return isinstance(error, Exception)
