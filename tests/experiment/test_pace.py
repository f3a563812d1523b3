"""How much is done, by forward passes, and what that says of the rest."""

import pytest

from raysim.experiment import pace
from raysim.experiment.pace import Pace


def test_time_left_follows_from_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trained token takes three passes, a generated one two: 300 of 1000 are done after 30 s."""
    now_s = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now_s[0])
    found = Pace()
    found.later({"train": 100})
    found.expect({"train": 200, "generate": 50})
    found.started("a", "train", 200)
    found.progressed("a", 0)
    assert (found.share, found.left_s) == (0.0, None)
    now_s[0] += 30
    found.progressed("a", 50)
    now_s[0] += 30
    found.progressed("a", 100)
    assert found.share == pytest.approx(0.3)
    assert found.left_s == pytest.approx(30 * 700 / 300)
    found.ended("a")
    found.progressed("a", 7)  # which comes late
    assert found.share == pytest.approx(0.6)


def test_work_that_ends_at_once_is_done_as_well() -> None:
    found = Pace()
    found.expect({"generate": 10, "train": 0})
    found.started("a", "generate", 10)
    found.ended("a")
    assert found.share == 1.0
    assert found.left_s is None  # nobody has seen a pace
