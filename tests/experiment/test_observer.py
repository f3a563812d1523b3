"""Every event reaches every observer."""

from typing import Any

from raysim.experiment.observer import Observers, PartialObserver, RunObserver
from raysim.store.model_scores import ModelScores
from raysim.store.task_log import TaskRecord

SCORES = ModelScores("m", "single a, stage 1", "single a", 1, "stage", 1, "a", {"exclusive_lines": 1.0})


def test_every_event_reaches_every_observer() -> None:
    events: list[tuple[str, str, tuple[Any, ...]]] = []

    class Noting(PartialObserver):
        def __init__(self, name: str) -> None:
            self._name = name

        def __getattribute__(self, event: str) -> Any:
            if event.startswith("_") or event == "counts":
                return object.__getattribute__(self, event)
            return lambda *args: events.append((self._name, event, args))

        def counts(self) -> dict[str, int]:
            return {self._name: 1}

    observers: RunObserver = Observers(Noting("one"), Noting("two"))
    sent: dict[str, tuple[Any, ...]] = {
        "phase": ("Training",),
        "expect": ({"train": 1}, {"single": {"stages": 1}}),
        "point": ("eta=1", 1, 2, {}),
        "started": ("k", "train", "label", 9),
        "progressed": ("k", 3, "epoch 1/2", 2.5),
        "ended": (TaskRecord("k", "train", "single", "label", "computed"),),
        "measured": (SCORES,),
        "note": ("so it is",),
    }
    for event, args in sent.items():
        getattr(observers, event)(*args)
    assert events == [(name, event, args) for event, args in sent.items() for name in ("one", "two")]
    assert observers.counts() == {"one": 1}
    assert sent.keys() | {"counts"} == {name for name in vars(PartialObserver) if not name.startswith("_")}
