"""The lines of the front's table: signs, intervals, and what is left out."""

from dataclasses import replace

from raysim.analysis.front import Choice
from raysim.report.sections.front import front_lines, unconcerned

PLAIN = Choice("none", "fedavg", "federated", False, 5, 2.0, 0.0, None, None, 1.5, 0.0, None, None, 40, None, 1000)
BETTER = replace(
    PLAIN, mitigation="goldfish", changed=True, bits_per_byte=2.0125, bits_more=0.0125, bits_low=-0.001,
    bits_high=0.026, exclusive=0.25, lines_more=-1.25, lines_low=-1.5, lines_high=-1.0, tokens_seen=500,
)  # fmt: skip
WORSE = replace(BETTER, mitigation="dropout", bits_per_byte=2.5, dominated_by="goldfish")
IDLE = replace(PLAIN, mitigation="order_by")
UNMEASURED = replace(
    BETTER, strategy="other", bits_per_byte=None, bits_more=None, exclusive=None, lines_more=None, tokens_seen=0
)


def test_a_line_a_choice_that_a_mitigation_concerns() -> None:
    lines = front_lines([PLAIN, BETTER, WORSE, IDLE])
    assert [(line.setting, line.mitigation, line.first, line.quiet, line.note) for line in lines] == [
        ("fedavg", "none", True, False, ""),
        ("fedavg", "goldfish", False, False, ""),
        ("fedavg", "dropout", False, True, "beaten by goldfish"),
    ]
    assert (lines[1].bits, lines[1].bits_more) == ("2.013", "+0.013 (−0.001 to +0.026)")
    assert (lines[1].lines, lines[1].lines_more) == ("0.25", "−1.25 (−1.50 to −1.00)")
    assert (lines[0].bits_more, lines[0].tokens, lines[1].tokens) == ("+0.000", "1.00", "0.50")


def test_what_was_not_measured_is_a_dash() -> None:
    (line,) = front_lines([UNMEASURED])
    assert (line.bits, line.bits_more, line.lines, line.lines_more, line.renamed, line.tokens) == ("–",) * 6


def test_what_changes_nothing_is_named() -> None:
    assert unconcerned([PLAIN, BETTER, IDLE, replace(IDLE, strategy="centralized")]) == [
        "order_by changes nothing of fedavg, centralized"
    ]
