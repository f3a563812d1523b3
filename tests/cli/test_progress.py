"""What is told of work while it is done."""

import io
import re

import pytest
from rich.console import Console

from raysim.cli.progress import ConsoleObserver
from raysim.store.task_log import TaskRecord


def test_the_share_is_of_all_points() -> None:
    out = io.StringIO()
    observer = ConsoleObserver(Console(file=out))

    def head() -> str:
        return str(observer._render().renderables[0])

    observer.point("eta=0.01", 1, 2, {"train": 100, "losses": 300})
    observer.expect({"train": 200, "generate": 150}, {})
    observer.started("a", "train", "single", 200)
    observer.ended(TaskRecord("a", "train", "single", "single", "computed", 1.0, 200))
    # Three passes a trained token, one a scored and two a generated one: 600 done of 600 + 300 + 300 + 300.
    assert "Point 1 of 2, preparing: 40 % of the run" in head()
    observer.point("eta=0.03", 2, 2, {"train": 0})
    observer.expect({"train": 100}, {})
    # 600 done of 600 + 300: what the first point did not need to do is no longer waited for.
    assert "Point 2 of 2, preparing: 67 % of the run" in head()
    assert [line for line in out.getvalue().splitlines() if line.startswith("Point")] == [
        "Point 1 of 2: eta=0.01",
        "Point 2 of 2: eta=0.03",
    ]


@pytest.mark.parametrize(("note", "said"), [("", "50 %; "), ("epoch 1/2", "50 %, epoch 1/2; ")])
def test_how_far_work_is_where_no_bar_can_be_drawn(monkeypatch: pytest.MonkeyPatch, note: str, said: str) -> None:
    monkeypatch.setattr("raysim.cli.progress._PLAIN_EVERY_S", -1.0)
    text = io.StringIO()
    observer = ConsoleObserver(Console(file=text))
    observer.expect({"generate": 10}, {})
    observer.started("key", "generate", "prompts of a", 10)
    observer.progressed("key", 5, note)
    assert f"generating prompts of a: {said}" in text.getvalue()


def test_a_log_that_has_colours_has_no_cursor() -> None:
    """As where FORCE_COLOR is set: a file takes colours, and every move of a cursor would stay in it."""
    out = io.StringIO()
    with ConsoleObserver(Console(file=out, force_terminal=True, color_system="truecolor")) as observer:
        observer.phase("Preparing")
        observer.expect({"train": 200}, {})
        observer.started("a", "train", "single", 200)
        observer.progressed("a", 100, "")
        observer.ended(TaskRecord("a", "train", "single", "single", "computed", 1.0, 200))
    codes = set(re.findall(r"\x1b\[[0-9;?]*([A-Za-z])", out.getvalue()))
    assert codes == {"m"}
