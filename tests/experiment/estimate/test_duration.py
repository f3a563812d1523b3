"""How long a run takes: guessed from what there is to do, corrected by what runs took."""

from typing import Any

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.experiment.estimate.duration import PHASES, Duration, duration
from raysim.experiment.estimate.timings import Timing, Workload

FLOP_PER_S = 5e10


def work(size: int = 100_000, **changes: Any) -> Workload:
    found: dict[str, Any] = {
        "backend": "ray",
        "engine": "torch, cpu",
        "slots": 2,
        "parameters": size,
        "trained": size,
        "organizations": 3,
        "source_bytes": 50_000_000,
        "tokenizer_bytes": 30_000_000,
        "models": 20,
        "pieces": {"train": 25, "losses": 60, "generate": 60, "extract": 0},
        "tokens": {"train": 600_000, "losses": 200_000, "generate": 25_000, "extract": 0},
        "longest": 200_000,
    }
    return Workload(**found | changes)


def ran(done: Workload, times: float) -> Timing:
    """A run that took `times` as long as guessed."""
    guess = duration(done, [], FLOP_PER_S)
    phases = {name: times * seconds for name, seconds in guess.phases.items()}
    return Timing(
        machine="here", workload=done, phases=phases, kinds={kind: times * s for kind, s in guess.kinds.items()}
    )


def after(log: list[Timing], ahead: Workload) -> Duration:
    return duration(ahead, log, FLOP_PER_S)


def test_every_phase_and_every_kind_with_work_is_counted() -> None:
    found = after([], work())
    assert list(found.phases) == list(PHASES)
    assert all(seconds > 0 for seconds in found.phases.values())
    assert set(found.kinds) == {"train", "losses", "generate"}
    assert found.seconds == pytest.approx(sum(found.phases.values()))
    assert found.runs == 0


@pytest.mark.parametrize(
    ("changes", "phase"),
    [
        ({"backend": "inline"}, "start"),
        ({"source_bytes": 1_000}, "preparation"),
        ({"tokenizer_bytes": 0}, "preparation"),
        ({"organizations": 1}, "preparation"),
        ({"tokens": {"train": 600_000}}, "work"),
        ({"pieces": {"train": 25}}, "work"),
        ({"longest": 0, "slots": 4}, "work"),
        ({"trained": 1_000}, "work"),
        ({"models": 2}, "report"),
    ],
)
def test_less_to_do_takes_less_time(changes: dict[str, Any], phase: str) -> None:
    assert after([], work(**changes)).phases[phase] < after([], work()).phases[phase]


def test_what_must_follow_one_another_is_not_shared_out() -> None:
    alone: dict[str, Any] = {"pieces": {"train": 25}, "tokens": {"train": 600_000}}
    chain = after([], work(longest=600_000, **alone)).phases["work"]
    assert chain == pytest.approx(2 * after([], work(longest=100_000, **alone)).phases["work"])


@pytest.mark.parametrize("times", [0.2, 1.0, 4.0])
def test_the_same_once_more_takes_as_long(times: float) -> None:
    log = [ran(work(), times)]
    for name, seconds in after(log, work()).phases.items():
        assert seconds == pytest.approx(log[0].phases[name], rel=0.1)
    assert after(log, work()).runs == 1


def test_runs_of_other_backends_and_engines_tell_nothing() -> None:
    log = [ran(work(backend="inline"), 5), ran(work(engine="torch, cuda"), 5)]
    assert after(log, work()) == after([], work())


def test_a_machine_that_is_slow_is_slow_with_larger_models_too() -> None:
    log = [ran(work(), 3)]
    guess, corrected = after([], work(1_200_000)), after(log, work(1_200_000))
    assert 2 < corrected.seconds / guess.seconds < 3


def test_late_runs_and_runs_of_like_models_count_more() -> None:
    once, twice = ran(work(), 1), ran(work(), 4)
    assert after([once, twice], work()).seconds > after([twice, once], work()).seconds
    far = ran(work(50_000_000), 4)
    assert after([once, far], work()).seconds < 1.2 * once.phases["work"] + after([once], work()).seconds
    assert after([far, once], work()).seconds == pytest.approx(after([once], work()).seconds, rel=0.1)


def test_work_that_is_all_in_the_store_takes_no_time() -> None:
    found = after([ran(work(), 2)], work(pieces={"train": 0}, tokens={"train": 0}, longest=0))
    assert (found.phases["work"], found.kinds) == (0, {})


@settings(max_examples=scaled(100))
@given(
    logged=st.lists(st.tuples(st.integers(1, 10**9), st.floats(0, 1e9), st.integers(0, 10**9)), max_size=4),
    ahead=st.tuples(st.integers(1, 10**9), st.integers(0, 10**9)),
)
def test_any_log_gives_a_time(logged: list[tuple[int, float, int]], ahead: tuple[int, int]) -> None:
    def of(size: int, tokens: int) -> Workload:
        return work(size, pieces={"train": min(tokens, 9)}, tokens={"train": tokens}, longest=tokens // 2)

    log = [
        Timing(machine="m", workload=of(size, tokens), phases=dict.fromkeys(PHASES, seconds), kinds={"train": seconds})
        for size, seconds, tokens in logged
    ]
    found = after(log, of(*ahead))
    assert 0 <= found.seconds < float("inf")
