from datetime import date

import pydantic
import pytest

from raysim.core.errors import BoundaryError
from raysim.organizations.data_policy import DataPolicy, check_unexpired

LAST = date(2026, 11, 30)


def test_an_agreement_holds_on_its_last_day() -> None:
    policies = {"a": DataPolicy(expires=LAST), "b": DataPolicy()}
    check_unexpired(policies, LAST)
    with pytest.raises(BoundaryError) as caught:
        check_unexpired(policies, date(2026, 12, 1))
    (line,) = str(caught.value).splitlines()
    assert line.startswith("organizations.a.agreement.expires: the agreement ended on 2026-11-30 (today is 2026-12-01)")
    assert caught.value.exit_code == 2


def test_every_agreement_that_has_ended_is_named() -> None:
    policies = {name: DataPolicy(expires=date(2026, 1, day)) for day, name in enumerate("abc", start=1)}
    with pytest.raises(BoundaryError) as caught:
        check_unexpired(policies, date(2026, 1, 3))
    assert [line.split(".")[1] for line in str(caught.value).splitlines()] == ["a", "b"]


def test_a_day_is_a_day() -> None:
    policy = DataPolicy.model_validate({"expires": "2026-11-30"})
    assert policy.expires == LAST
    assert policy.model_dump(mode="json")["expires"] == "2026-11-30"
    for wrong in ("soon", 2027, "2026-11-31"):
        with pytest.raises(pydantic.ValidationError):
            DataPolicy.model_validate({"expires": wrong})


def test_an_empty_list_of_licences_is_a_mistake() -> None:
    with pytest.raises(pydantic.ValidationError):
        DataPolicy(train_on=())
