"""Figures that follow from what an organization says, by hand."""

from raysim.organizations.client_stats import ClientStats


def test_figures_by_hand() -> None:
    """Three distinct lines, one of them twice: of four lines two are duplicates."""
    splits = {"train": {"files": 3, "sequences": 7, "tokens": 450}, "valid": {"files": 1}}
    stats = ClientStats("acme", "train", "valid", splits, (), {"MIT": 3}, 2, ((1, 2), (2, 1)))
    assert (stats.sequences, stats.tokens, stats.stream_tokens) == (7, 450, 453)
    assert stats.duplicate_share == 0.5
