"""Dependencies run one way: cli -> run -> {simulation, memorization, effectiveness, report} -> training -> corpus.

Imports are read from the source, those inside functions and under TYPE_CHECKING too.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BASICS = {
    "raysim.core.errors",
    "raysim.core.settings",
    "raysim.core.keys",
    "raysim.core.arrow",
    "raysim.core.rarefaction",
}
"""Import nothing of raysim but each other."""

ALLOWED = {
    "raysim.corpus": BASICS,
    "raysim.training": BASICS | {"raysim.corpus"},
    "raysim.simulation": BASICS | {"raysim.corpus", "raysim.training"},
    "raysim.scan": BASICS | {"raysim.corpus"},
    "raysim.memorization": BASICS | {"raysim.corpus", "raysim.training", "raysim.scan"},
    "raysim.effectiveness": BASICS | {"raysim.corpus", "raysim.training", "raysim.measures.memorization.settings"},
    "raysim.measuring": BASICS
    | {f"raysim.{p}" for p in ("corpus", "training", "simulation", "memorization", "effectiveness")}
    | {"raysim.experiment.setup", "raysim.experiment.config"},
    "raysim.report": BASICS,
    "strategies": (BASICS - {"raysim.core.arrow", "raysim.core.rarefaction"})
    | {"raysim.simulation.strategy", "raysim.training.weights"},
}
"""For each package what it may import of raysim besides itself."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, module: str) -> Iterator[str]:
    """Every module that `source` imports; ``from a import b`` counts as a, and as a.b where that is a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -node.level] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            inner = [f"{name}.{alias.name}" for alias in node.names]
            modules = [m for m in inner if is_module(m)]
            yield from modules
            if len(modules) < len(inner) or not inner:
                yield name


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


FILES = sorted([*ROOT.glob("raysim/**/*.py"), *ROOT.glob("strategies/**/*.py")])
IMPORTS = {module_of(path): set(imports_of(path.read_text(encoding="utf-8"), module_of(path))) for path in FILES}


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def importers(package: str) -> set[str]:
    """Modules of this project that import `package` or something inside it."""
    return {module for module, imported in IMPORTS.items() if any(inside(i, package) for i in imported)}


def test_imports_are_read_wherever_they_stand() -> None:
    source = """
import raysim.core.errors as e, ray.data
from raysim import config, __version__
def f():
    if TYPE_CHECKING:
        from raysim.corpus.lines import significant_lines
    from . import weights
"""
    assert set(imports_of(source, "raysim.training.models")) == {
        "raysim.core.errors", "ray.data", "raysim.core.settings", "raysim", "raysim.corpus.lines", "raysim.training.weights",
    }  # fmt: skip


def test_there_is_something_to_look_at() -> None:
    for package in ALLOWED:
        assert sum(inside(module, package) for module in IMPORTS) >= 3, package


@pytest.mark.parametrize("module", sorted(BASICS))
def test_the_basics_import_each_other_alone(module: str) -> None:
    ours = {i for i in IMPORTS[module] if inside(i, "raysim") or inside(i, "strategies")}
    assert ours <= BASICS


@pytest.mark.parametrize("package", ALLOWED)
def test_a_package_imports_what_lies_below_it(package: str) -> None:
    allowed = ALLOWED[package] | {package, "raysim"}  # raysim itself holds the version alone
    wrong = {
        f"{module} imports {imported}"
        for module, found in IMPORTS.items()
        if inside(module, package)
        for imported in found
        if inside(imported, "raysim") or inside(imported, "strategies")
        if imported != "raysim" and not any(inside(imported, a) for a in allowed - {"raysim"})
    }
    assert not wrong


def test_nothing_of_raysim_imports_strategies() -> None:
    assert {m for m in importers("strategies") if inside(m, "raysim")} == set()


def test_the_front_door_is_imported_by_the_command_line_alone() -> None:
    """For the version; what lies behind it would import itself. `tests/test_front_door_imports.py` has the rest."""
    assert {module for module, found in IMPORTS.items() if "raysim" in found} == {"raysim.cli.main"}


def test_one_package_makes_actors_and_one_file_imports_ray_data() -> None:
    makes_actors, uses_data = "raysim.cluster", "raysim.tasks.ray_data"
    elsewhere = {module for module in importers("ray") if not inside(module, makes_actors)}
    assert elsewhere < importers("ray")
    assert elsewhere <= {uses_data, "raysim.cli.doctor"}
    assert importers("ray.data") <= {uses_data}


def test_flower_is_imported_by_its_own_strategy_alone() -> None:
    assert importers("flwr") <= {"strategies.flower"}


def test_deepspeed_is_imported_by_its_own_trainer_alone() -> None:
    assert importers("deepspeed") == {"raysim.training.deepspeed_engine"}


def test_imports_have_no_cycle() -> None:
    """Among the modules of this project, lazy imports included."""
    graph = {module: {i for i in found if i in IMPORTS and i != module} for module, found in IMPORTS.items()}
    while leaves := {module for module, found in graph.items() if not found & graph.keys()}:
        graph = {module: found for module, found in graph.items() if module not in leaves}
    assert not graph


HEAVY = ("torch", "transformers", "datasets", "ray", "plotly", "scipy", "sklearn", "flwr", "deepspeed")


@pytest.mark.parametrize(
    "module",
    ["raysim.experiment.run", "raysim.simulation.executor", "raysim.experiment.config", "raysim.strategies.fedopt"],
)
def test_heavy_libraries_wait_until_they_are_used(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.strip() == "[]"
