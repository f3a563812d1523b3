"""What a person may write of an organization."""

from typing import Any

import pytest

from raysim.organizations.settings import OrganizationSettings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"node": {"site": "meta/one"}}, "site: 'meta/one' is no label"),
        ({"node": {"site": "!meta"}}, "'!meta' is no label"),
        ({"node": {"site": ""}}, "'' is no label"),
        ({"node": {"s": "m"}, "partition": {"by": {"column": "repository"}}}, "give partition.parts"),
    ],
)
def test_labels_of_nodes(settings: dict[str, Any], words: str) -> None:
    for node in ({"site": "meta"}, {"ray.io/accelerator-type": "H100", "a.b": "c_d"}):
        assert OrganizationSettings.model_validate({"source": {"path": "x"}, "node": node}).node == node
    with pytest.raises(ValueError, match=words):
        OrganizationSettings.model_validate({"source": {"path": "x"}, **settings})
