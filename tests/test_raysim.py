"""The public names of the package: each is there, none is imported before it is asked for."""

import importlib
import inspect
import pydoc
import subprocess
import sys

import pytest

import raysim

CLASSES = ["InputError", "LoadedExperiment", "Measure", "Mitigation", "RaysimError", "Results", "RunError", "Strategy"]
FUNCTIONS = ["audit", "load_experiment", "open_results", "plan", "run"]


def _loaded_by(code: str) -> set[str]:
    """The modules that a new interpreter has loaded after `code`, beside those that it starts with."""
    show = "import sys; before = set(sys.modules)\n{}\nprint(*sorted(set(sys.modules) - before), file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", show.format(code)], capture_output=True, text=True, check=True)
    return set(ended.stderr.split())


def test_the_public_names_are_these() -> None:
    assert sorted([*CLASSES, *FUNCTIONS]) == sorted(vars(raysim)["__all__"])
    assert set(vars(raysim)["__all__"]) <= set(dir(raysim))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_the_one_of_its_module(name: str) -> None:
    found = getattr(raysim, name)
    assert inspect.isclass(found)
    assert found.__name__ == name
    assert getattr(importlib.import_module(found.__module__), name) is found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_shows_arguments_and_errors(name: str) -> None:
    text = pydoc.plain(pydoc.render_doc(getattr(raysim, name)))
    assert "Raises:" in text
    assert "(...)" not in text


def test_an_unknown_name_lists_the_public_ones() -> None:
    with pytest.raises(AttributeError, match=r"module 'raysim' has no attribute 'ruin'; there are: .*plan, run"):
        _ = raysim.ruin  # type: ignore[attr-defined]


def test_importing_the_package_imports_nothing_of_it() -> None:
    loaded = _loaded_by("import raysim")
    assert {name for name in loaded if name.partition(".")[0] == "raysim"} == {"raysim"}
    assert not {name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, "raysim"}}


def test_opening_results_imports_no_more_than_tables_need() -> None:
    """Neither Ray nor torch, nor what experiments are validated with."""
    code = "import raysim\ntry: raysim.open_results('/nowhere')\nexcept raysim.InputError: pass"
    assert not _loaded_by(code) & {"ray", "torch", "transformers", "pydantic", "rich", "plotly", "raysim.experiment"}


def test_help_of_the_command_line_imports_no_library_of_a_run() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--help']\nfrom raysim.cli.main import main\ntry: main()\nexcept SystemExit: pass"
    )
    heavy = {"ray", "torch", "transformers", "pydantic", "numpy", "pyarrow", "pandas", "yaml", "plotly", "asyncio"}
    assert not _loaded_by(code) & heavy
