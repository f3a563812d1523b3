import pytest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.corpus.obfuscation.settings import ObfuscationSettings


def test_nothing_is_changed_unless_it_is_asked_for() -> None:
    assert not ObfuscationSettings().active
    for setting in ({"rename": True}, {"reorder": True}, {"comments": "drop"}, {"reformat": True}):
        assert validate(ObfuscationSettings, setting, "x.yaml").active


def test_copies_need_something_that_varies() -> None:
    for setting in ({}, {"comments": "drop"}):
        with pytest.raises(InputError, match="copies: 3 variants need something that varies; set rename, reorder or"):
            validate(ObfuscationSettings, {"copies": 3, **setting}, "x.yaml")
    assert validate(ObfuscationSettings, {"copies": 3, "rename": True}, "x.yaml").copies == 3
    with pytest.raises(InputError, match=r"comments: input should be 'keep' or 'drop' \(given: 'off'\)"):
        validate(ObfuscationSettings, {"comments": "off"}, "x.yaml")
