from raysim.analysis.unlearning import Unlearning
from raysim.report.sections.unlearning import section


def test_a_row_an_organization_and_dashes_for_what_was_not_measured() -> None:
    row = Unlearning("unlearned", "meta", 1, None, None, 0.25, 0.0, 2.0, 2.5, 2.25, 1.5, 1.75, None)
    found = section([row])
    assert found is not None
    assert found.tables[0].rows == [("unlearned", "meta", "–, 0.25, 0.00", "2.000, 2.500, 2.250", "1.500, 1.750, –")]


def test_where_nobody_goes_there_is_none() -> None:
    assert section([]) is None
