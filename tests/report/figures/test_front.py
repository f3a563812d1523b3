"""The figure of the front: a panel a setting that has two choices, marks by what beats them."""

from dataclasses import replace

from raysim.analysis.front import Choice
from raysim.report.figures.front import front_figure
from raysim.report.figures.kit import ACCENT, INK, UNKNOWN

PLAIN = Choice("none", "fedavg", "federated", False, 5, 2.0, 0.0, None, None, 1.5, 0.0, None, None, 40, None, 1000)
GOOD = replace(PLAIN, mitigation="goldfish", changed=True, bits_per_byte=2.1, exclusive=0.5)
BAD = replace(GOOD, mitigation="dropout", exclusive=1.0, dominated_by="goldfish")


def test_a_mark_a_choice_in_the_panel_of_its_setting() -> None:
    other = [replace(choice, strategy="centralized") for choice in (PLAIN, GOOD)]
    figure = front_figure([PLAIN, GOOD, BAD, *other, replace(PLAIN, strategy="alone"), replace(BAD, changed=False)])
    assert figure is not None
    found = [(trace["text"][0], trace["xaxis"], trace["marker"]["color"]) for trace in figure.spec["data"]]
    assert found == [
        ("none", "x", INK), ("dropout", "x", UNKNOWN), ("goldfish", "x", ACCENT), ("none", "x2", INK),
        ("goldfish", "x2", ACCENT),
    ]  # fmt: skip
    assert [(trace["x"], trace["y"]) for trace in figure.spec["data"]][:2] == [([2.0], [1.5]), ([2.1], [1.0])]
    assert [trace["textposition"].split()[0] for trace in figure.spec["data"]][:3] == ["top", "bottom", "top"]
    assert "beaten by goldfish" in figure.spec["data"][1]["customdata"][0]


def test_without_anything_to_compare_there_is_none() -> None:
    assert front_figure([PLAIN]) is None
    assert front_figure([PLAIN, replace(GOOD, exclusive=None)]) is None
