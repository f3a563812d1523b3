"""Who watches a run, besides whoever has begun it: its folder, trackers, the alarm."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from raysim.core.run_folder import RunFolder
from raysim.experiment.alert import Alarm
from raysim.experiment.config import LoadedExperiment
from raysim.experiment.observer import Observers, RunObserver
from raysim.experiment.progress_log import ProgressLog
from raysim.experiment.tracking.tracker import TrackedRun, Tracker, trackers
from raysim.experiment.tracking.tracking import Tracking

_TRACKED = {"seed", "split_seed", "model", "trainer", "strategies", "measure"}
"""Settings that trackers receive: none of them says where an organization's code lies."""


class Watchers:
    """Those that an experiment asks for.

    Args:
        loaded: the experiment.
        folder: of its run.
        point: of a sweep; empty: none.
        address: of a Ray cluster.

    Raises:
        InputError: one lacks something that it needs.
    """

    def __init__(self, loaded: LoadedExperiment, folder: RunFolder, point: str, address: str | None) -> None:
        experiment = loaded.experiment
        self._alert = experiment.alert
        self._folder = folder
        self._run = TrackedRun(
            name=f"{experiment.name}, {point}" if point else experiment.name,
            folder=folder.path,
            settings=experiment.model_dump(mode="json", include=_TRACKED),
            on_ray=bool(address) or experiment.execution.backend == "ray",
        )
        self._trackers: dict[str, type[Tracker]] = trackers(experiment.execution.track, self._run)

    @contextmanager
    def join(self, observer: RunObserver, new_work: bool) -> Iterator[RunObserver]:
        """An observer that hands on to all of them what `observer` receives.

        Args:
            observer: of whoever has begun the run.
            new_work: whether there is any; a finished run that is looked up leaves what is known of it, and an alarm
                has nothing to stop.
        """
        with ExitStack() as stack:
            known = observer
            if new_work:
                known = Observers(observer, stack.enter_context(ProgressLog(self._folder.progress)))
                tracking = stack.enter_context(Tracking(self._trackers, self._run, known.note))
                observer = Observers(known, tracking)
            if self._alert:
                alarm = stack.enter_context(Alarm(self._alert, self._run.name, known.note, may_stop=new_work))
                observer = Observers(observer, alarm)
            yield observer
