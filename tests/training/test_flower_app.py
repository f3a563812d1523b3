"""Apps by their path: the hash of their source, and modules executed anew; `test_flower_engine.py` has the errors."""

import os
import sys
from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.training.flower_app import fresh_app, source_sha256, top_module

SOURCE = """
from flwr.clientapp import ClientApp
app, made = ClientApp(), []
made.append(len(made))

@app.train()
def train(message, context): ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of an app and a helper, on the path."""
    folder = tmp_path / "some_clients"
    folder.mkdir()
    for name in ("__init__", "helper"):
        (folder / f"{name}.py").write_text("x = 1\n")
    (folder / "mine.py").write_text(f"from some_clients import helper\n{SOURCE}")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_the_module_that_every_node_needs() -> None:
    assert [top_module(path) for path in ("a:app", "a.b.c:app", "")] == ["a", "a", ""]


def test_the_hash_follows_every_file_of_a_package_and_nothing_else(package: Path) -> None:
    path = "some_clients.mine:app"
    before = source_sha256(path)
    (package / "notes.txt").write_text("no code")
    assert source_sha256(path) == before
    (package / "helper.py").write_text("x = 2\n")
    changed = source_sha256(path)
    assert changed != before
    (package / "helper.py").rename(package / "other.py")
    assert source_sha256(path) not in (before, changed)
    (package / "other.py").rename(package / "helper.py")
    (package / "helper.py").write_text("x = 1\n")
    assert source_sha256(path) == before


def test_the_hash_of_a_file_does_not_depend_on_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "one_client.py").write_text(SOURCE)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / place))
            found.append(source_sha256("one_client:app"))
    assert found[0] == found[1]


@pytest.mark.parametrize("path", ["no_such_module:app", "", "sys:app"])
def test_what_has_no_source_is_refused(path: str) -> None:
    with pytest.raises(InputError, match=r"^app: .*(there is no module|has no Python source).*; write module:app"):
        source_sha256(path)


def test_a_module_is_executed_anew_and_those_that_were_there_come_back(package: Path) -> None:
    import some_clients.mine as imported  # type: ignore[import-not-found]

    apps = []
    for _ in range(2):
        with fresh_app("some_clients.mine:app") as app:
            apps.append(app)
            assert sys.modules["some_clients.mine"] is not imported
            assert sys.modules["some_clients.mine"].helper is not imported.helper
            sys.modules["some_clients.mine"].made.append(7)
    assert len({id(app) for app in [*apps, imported.app]}) == 3
    assert sys.modules["some_clients.mine"] is imported
    assert imported.made == [0]


def test_flower_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr.clientapp", None)
    with pytest.raises(InputError, match=r"backend: flower needs Flower 1.41 .*'raysim\[flower\]'"), fresh_app("a:b"):
        pass
    assert os.environ["FLWR_TELEMETRY_ENABLED"] == "0"
