"""The floor plan: folders in one order, no upward import, no loose module, one class a name, mirrored tests.

Each rule is a check of `floor_plan`; a planted violation of each shows that it can fail. Imports are read from the
source, those inside functions and under TYPE_CHECKING too.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import floor_plan
import pytest

ROOT = Path(__file__).parent.parent
Check = Callable[[Path], list[str]]

PLANTED: dict[Check, tuple[str, str]] = {
    floor_plan.loose_modules: ("raysim/helpers.py", ""),
    floor_plan.upward_imports: ("raysim/core/early.py", "def f():\n    from raysim.cli import main\n"),
    floor_plan.misplaced_imports: ("raysim/report/fast.py", "import ray\n"),
    floor_plan.cycles: ("raysim/core/errors.py", "import raysim.core.settings\n"),
    floor_plan.doubled_classes: ("raysim/store/again.py", "class Settings: ...\n"),
    floor_plan.unmirrored_tests: ("tests/core/test_nothing.py", ""),
    floor_plan.untested_modules: (
        "raysim/core/large.py",
        "def f(x):\n" + "    x += 1\n" * floor_plan.LOGIC,
    ),
}
"""For each rule a file that breaks it, by its path and content."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree, to plant violations in."""
    root = tmp_path_factory.mktemp("tree")
    for folder in ("raysim", "strategies", "tests"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.mark.parametrize("check", PLANTED, ids=lambda check: check.__name__)
def test_the_house_keeps_its_rules(check: Check) -> None:
    assert check(ROOT) == []


@pytest.mark.parametrize("check", PLANTED, ids=lambda check: check.__name__)
def test_a_planted_violation_is_found(check: Check, copy: Path) -> None:
    name, content = PLANTED[check]
    file = copy / name
    before = file.read_text("utf-8") if file.exists() else None
    # Behind what may have to stand first.
    file.write_text((before or "") + content, encoding="utf-8")
    try:
        found = check(copy)
        assert found
        assert any(file.stem in violation for violation in found)
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before, encoding="utf-8")


def test_imports_are_read_wherever_they_are() -> None:
    source = """
import raysim.core.errors as e, ray.data
from raysim import core, __version__
def f():
    if TYPE_CHECKING:
        from raysim.corpus.lines import significant_lines
    from . import weights
"""
    known = set(floor_plan.modules(ROOT))
    assert set(floor_plan.imports_of(source, "raysim.training.models", known)) == {
        "raysim.core.errors", "ray.data", "raysim.core", "raysim", "raysim.corpus.lines", "raysim.training.weights",
    }  # fmt: skip


def test_every_floor_is_there() -> None:
    for floor in floor_plan.FLOORS:
        assert sum(floor_plan.inside(module, f"raysim.{floor}") for module in floor_plan.modules(ROOT)) >= 3, floor


def test_strategies_are_imported_by_nobody() -> None:
    found = floor_plan.imports(ROOT)
    outside = {module for module in found if not floor_plan.inside(module, "raysim.strategies")}
    assert not [m for m in outside if any(floor_plan.inside(i, "raysim.strategies") for i in found[m])]


def test_the_front_door_is_imported_by_the_command_line_alone() -> None:
    """For the version; what lies behind it would import itself. `tests/test_raysim.py` has the rest."""
    found = {module for module, imported in floor_plan.imports(ROOT).items() if "raysim" in imported}
    assert found == {"raysim.cli.main", "raysim.cli.scan"}


HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "ray",
    "plotly",
    "scipy",
    "sklearn",
    "flwr",
    "deepspeed",
    "opacus",
    "dp_accounting",
)


@pytest.mark.parametrize(
    "module",
    [
        "raysim.experiment.run",
        "raysim.simulation.executor",
        "raysim.experiment.config",
        "raysim.strategies.fedopt",
        "raysim.strategies.flower",
        "raysim.strategies.dp_sgd",
    ],
)
def test_heavy_libraries_wait_until_they_are_used(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.strip() == "[]"
