"""An alarm while a run goes on: a model gives away more than was agreed on."""

import json
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any
from urllib.error import URLError
from urllib.parse import urlsplit

import pydantic

from raysim.core.errors import RunError, first_line
from raysim.core.run_folder import now
from raysim.core.settings import Settings
from raysim.experiment.observer import PartialObserver
from raysim.store.model_scores import EXPOSURE, LINES, ModelScores

_WEBHOOK_TIMEOUT_S = 10.0

_UNITS = {**{name: f"{name.replace('_', ' ')} a prompt" for name in LINES}, EXPOSURE: "bits of exposure of canaries"}

_NotNegative = Annotated[float, pydantic.Field(ge=0)]
Threshold = _NotNegative | dict[str, _NotNegative]
"""Of every organization, or of those that are named."""


def _threshold(what: str) -> Any:
    return pydantic.Field(default=None, description=f"{what}; one number for all, or one for each organization named")


class AlertSettings(Settings):
    """What a model may give away before somebody is told. An alarm is a note in any case; it changes no result.

    Lines are an organization's own, in answers to its own prompts from training, over all samples, a prompt. With a
    threshold for lines, training pauses whenever a model is there that `measure.memorization` measures.
    """

    exclusive_lines: Threshold | None = _threshold(
        "covered lines a prompt that no other organization and no reference has"
    )
    covered_lines: Threshold | None = _threshold(
        "lines a prompt that the organization has, in runs of at least min_lines"
    )
    shared_lines: Threshold | None = _threshold(
        "covered lines a prompt that another organization has, too, and no reference"
    )
    exposure: Threshold | None = _threshold("mean exposure of planted canaries, in bits")
    stop: bool = pydantic.Field(
        default=False,
        description="the run ends with exit code 3; what it has computed stays, and with a higher threshold it goes on",
    )
    webhook: str | None = pydantic.Field(
        default=None,
        pattern=r"^https?://",
        exclude=True,
        description="an address that gets each alarm as JSON, by POST; as it may hold a secret, no manifest has it",
    )

    @pydantic.model_validator(mode="after")
    def _watches_something(self) -> "AlertSettings":
        if not self.thresholds:
            raise ValueError("has no threshold; write for example exclusive_lines: 0.5")
        return self

    @property
    def thresholds(self) -> dict[str, Threshold]:
        """Those that are set, by the score that they are of."""
        found = {name: getattr(self, name) for name in _UNITS}
        return {name: threshold for name, threshold in found.items() if threshold is not None}

    @property
    def needs_lines(self) -> bool:
        """Whether any is of lines, which are known when a model has been asked and its answers compared."""
        return any(name in LINES for name in self.thresholds)

    @property
    def organizations(self) -> list[str]:
        """Those that thresholds name."""
        return [name for one in self.thresholds.values() if isinstance(one, dict) for name in one]

    def exceeded(self, scores: ModelScores) -> Iterator[tuple[str, float]]:
        """Scores that are over their threshold, and that threshold."""
        for name, threshold in self.thresholds.items():
            limit = threshold.get(scores.organization) if isinstance(threshold, dict) else threshold
            if limit is not None and scores.values.get(name, 0.0) > limit:
                yield name, limit


class Alarm(PartialObserver):
    """Notes the first model of each setting, order and seed that is over a threshold of an organization.

    Args:
        settings: the thresholds, and what else is to be done.
        run: names the run where the alarm goes.
        note: shows a sentence to whoever watches.
        may_stop: whether there is anything to stop.
    """

    def __init__(self, settings: AlertSettings, run: str, note: Callable[[str], None], may_stop: bool = True) -> None:
        self._settings = settings
        self._run = run
        self._note = note
        self._may_stop = may_stop
        self._noted: set[tuple[str, int, str, str]] = set()
        self._posting = ThreadPoolExecutor(1, "raysim-alert")
        self._takes = True

    def __enter__(self) -> "Alarm":
        return self

    def __exit__(self, *_: object) -> None:
        self._posting.shutdown()

    def measured(self, scores: ModelScores) -> None:
        told = ""
        for name, limit in self._settings.exceeded(scores):
            told = _sentence(scores, name, limit)
            one = scores.run, scores.seed, scores.organization, name
            if one not in self._noted:
                self._noted.add(one)
                self._note(told)
                if self._settings.webhook:
                    facts = {"run": self._run, "score": name, "value": scores.values[name], "threshold": limit}
                    about = {key: value for key, value in scores.row().items() if key not in ("values", "run")}
                    self._posting.submit(self._post, facts | {"setting": scores.run} | about | {"time": now()})
        if told and self._settings.stop and self._may_stop:
            raise RunError(
                f"{told}; the run stops (alert.stop), and what it has computed stays: with a higher threshold the same"
                " command goes on"
            )

    def _post(self, facts: Mapping[str, Any]) -> None:
        """Runs in a thread of its own: no training waits for somebody else's server, and one failure is the last."""
        if not self._takes:
            return
        url = str(self._settings.webhook)
        body, kind = json.dumps(facts).encode(), {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(url, body, kind, method="POST")  # noqa: S310, the pattern has the scheme
            urllib.request.urlopen(request, timeout=_WEBHOOK_TIMEOUT_S).close()  # noqa: S310
        except (OSError, ValueError) as error:
            reason = error.reason if isinstance(error, URLError) else first_line(error)
            self._takes = False
            self._note(
                f"alert.webhook: {urlsplit(url).hostname} did not take the alarm: {reason}; the run goes on, and sends"
                " none there any more"
            )


def _sentence(scores: ModelScores, name: str, limit: float) -> str:
    value = f"{scores.values[name]:.3g} {_UNITS[name]} of {scores.organization}"
    return f"alert: {scores.name}: {value}, over the {limit:g} of alert.{name}"
