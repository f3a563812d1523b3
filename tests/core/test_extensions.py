from pathlib import Path
from typing import Protocol

import pytest
from foreign_package import installed_package

from raysim.core.errors import InputError
from raysim.core.extensions import Extension, foreign, installed, lacking, load_extension, needed
from raysim.core.settings import Settings
from raysim.measures.base import Measure

GROUP = "raysim.test_group"


class Gadget(Protocol):
    """What the entries of the group are."""

    Settings: type[Settings]

    def turn(self) -> int: ...


GADGET = """
from raysim.core.settings import Settings
class Thing:
    Settings = Settings
    def turn(self): return 1
"""


def test_what_a_package_brings_is_found_while_it_is_installed(tmp_path: Path) -> None:
    assert installed(GROUP) == []
    with installed_package(tmp_path / "one", "one_thing", GADGET, GROUP, "thing = one_thing:Thing"):
        assert installed(GROUP) == ["thing"]
        assert load_extension(GROUP, "thing", "gadget", "here", Gadget).__name__ == "Thing"
    assert installed(GROUP) == []


def test_an_unknown_name_lists_those_that_are_installed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^a\.b: unknown gadget 'thing'; known: none installed$"):
        load_extension(GROUP, "thing", "gadget", "a.b", Gadget)
    points = ["b = one_thing:Thing", "a = one_thing:Thing"]
    with (
        installed_package(tmp_path / "one", "one_thing", GADGET, GROUP, *points),
        pytest.raises(InputError, match=r"^a\.b: unknown gadget 'thing'; known: a, b$"),
    ):
        load_extension(GROUP, "thing", "gadget", "a.b", Gadget)


@pytest.mark.parametrize(("module", "told"), [("no_module_here", "No module named"), ("one_thing", "no attribute")])
def test_what_cannot_be_loaded_says_why(tmp_path: Path, module: str, told: str) -> None:
    with (
        installed_package(tmp_path / "one", "one_thing", "", GROUP, f"thing = {module}:Thing"),
        pytest.raises(InputError, match=rf"^here: gadget 'thing' \({module}:Thing\) cannot be loaded: .*{told}"),
    ):
        load_extension(GROUP, "thing", "gadget", "here", Gadget)


def test_one_name_of_two_packages_is_refused(tmp_path: Path) -> None:
    with (
        installed_package(tmp_path / "one", "one_thing", GADGET, GROUP, "thing = one_thing:Thing"),
        installed_package(tmp_path / "two", "two_things", GADGET, GROUP, "thing = two_things:Thing"),
        pytest.raises(InputError, match="'thing' is installed twice, as one_thing:Thing and two_things:Thing"),
    ):
        load_extension(GROUP, "thing", "gadget", "here", Gadget)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("Thing = 3", "is no Gadget: it is no class but int"),
        ("def Thing(): ...", "is no Gadget: it is no class but function"),
        ("class Thing: ...", r"its Settings must be a class that derives from raysim\.core\.settings\.Settings"),
        ("class Thing:\n    Settings = dict", "its Settings must be a class"),
        (GADGET.replace("def turn(self): return 1", "turn = 1"), "is no Gadget: it lacks turn"),
        ("Thing = ", "cannot be loaded: SyntaxError"),
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero; mend or uninstall its package"),
        ("import sys\nsys.exit(0)", "cannot be loaded: SystemExit: 0"),
        ("raise ValueError('two\\nlines')", "cannot be loaded: ValueError: two lines; mend"),
    ],
)
def test_what_is_no_gadget_is_one_line(tmp_path: Path, source: str, told: str) -> None:
    with (
        installed_package(tmp_path / "one", "one_thing", source, GROUP, "thing = one_thing:Thing"),
        pytest.raises(InputError, match=rf"^here: gadget 'thing' \(one_thing:Thing\) .*{told}") as raised,
    ):
        load_extension(GROUP, "thing", "gadget", "here", Gadget)
    assert "\n" not in str(raised.value)


def test_where_a_base_class_is_asked_for_a_look_alike_does_not_do(tmp_path: Path) -> None:
    with (
        installed_package(tmp_path / "one", "one_thing", GADGET, GROUP, "thing = one_thing:Thing"),
        pytest.raises(InputError, match=r"is no Measure: it does not derive from raysim\.Measure"),
    ):
        load_extension(GROUP, "thing", "gadget", "here", Measure)


def test_what_is_missing_elsewhere_is_named_with_its_package(tmp_path: Path) -> None:
    with installed_package(tmp_path / "one", "one_thing", GADGET, GROUP, "thing = one_thing:Thing"):
        found = foreign(GROUP, ["thing", "nothing", "thing"], "gadget")
        assert found == [Extension("gadget thing", "one_thing", "one_thing", "1.0")]
        assert lacking(found) == []
        assert lacking([Extension("gadget thing", "one_thing", "one_thing", "2.0")]) == [
            "gadget thing (one_thing 2.0) is there in version 1.0"
        ]
    assert lacking(found) == ["gadget thing (one_thing 1.0) is not installed"]


def test_what_was_sent_as_plain_files_is_there() -> None:
    """As in the working directory of a job: a module without an installation."""
    assert lacking([Extension("gadget thing", "raysim.core.errors", "no-such-package", "1.0")]) == []


def test_what_a_setting_needs_is_looked_for_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a_file.py").write_text("", encoding="utf-8")
    with (
        installed_package(tmp_path / "one", "one_thing", GADGET, GROUP, "thing = one_thing:Thing"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.syspath_prepend(str(tmp_path))
        found = needed("strategy x", ["one_thing", "a_file", "nowhere"])
        assert [(one.package, one.version) for one in found] == [("one_thing", "1.0"), ("a_file", "as files")]
        assert lacking(found) == []
    assert lacking(found) == [
        "strategy x (one_thing 1.0) is not installed",
        "strategy x (a_file as files) is not installed",
    ]


def test_what_raysim_brings_is_nobody_elses() -> None:
    assert foreign("raysim.strategies", ["fedavg", "single"], "strategy") == []
