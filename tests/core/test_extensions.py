from pathlib import Path

import pytest
from foreign_package import installed_package

from raysim.core.errors import InputError
from raysim.core.extensions import installed, load_extension

GROUP = "raysim.test_group"


def test_what_a_package_brings_is_found_while_it_is_installed(tmp_path: Path) -> None:
    assert installed(GROUP) == []
    with installed_package(tmp_path / "one", "one_thing", "class Thing: ...", GROUP, "thing = one_thing:Thing"):
        assert installed(GROUP) == ["thing"]
        assert load_extension(GROUP, "thing", "gadget", "here").__name__ == "Thing"
    assert installed(GROUP) == []


def test_an_unknown_name_lists_those_that_are_installed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a\.b: unknown gadget 'thing'; known: none installed$"):
        load_extension(GROUP, "thing", "gadget", "a.b")
    points = ["b = one_thing:Thing", "a = one_thing:Thing"]
    with (
        installed_package(tmp_path / "one", "one_thing", "class Thing: ...", GROUP, *points),
        pytest.raises(InputError, match=r"^a\.b: unknown gadget 'thing'; known: a, b$"),
    ):
        load_extension(GROUP, "thing", "gadget", "a.b")


@pytest.mark.parametrize(("module", "told"), [("no_module_here", "No module named"), ("one_thing", "no attribute")])
def test_what_cannot_be_loaded_says_why(tmp_path: Path, module: str, told: str) -> None:
    with (
        installed_package(tmp_path / "one", "one_thing", "", GROUP, f"thing = {module}:Thing"),
        pytest.raises(InputError, match=rf"^here: gadget 'thing' \({module}:Thing\) cannot be loaded: .*{told}"),
    ):
        load_extension(GROUP, "thing", "gadget", "here")


def test_one_name_of_two_packages_is_refused(tmp_path: Path) -> None:
    with (
        installed_package(tmp_path / "one", "one_thing", "class Thing: ...", GROUP, "thing = one_thing:Thing"),
        installed_package(tmp_path / "two", "two_things", "class Thing: ...", GROUP, "thing = two_things:Thing"),
        pytest.raises(InputError, match="'thing' is installed twice, as one_thing:Thing and two_things:Thing"),
    ):
        load_extension(GROUP, "thing", "gadget", "here")
