"""The rules of the house, as checks of a source tree: each gives the violations that it finds."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

FLOORS = (
    "core", "tables", "corpus", "training", "inference", "matching", "scan", "sandbox", "cluster", "store", "tasks",
    "organizations", "simulation", "measures", "mitigations", "experiment", "analysis", "report", "cli",
)  # fmt: skip
"""Folders of ``raysim/``: each imports only itself and folders before it."""

STRATEGIES = "strategies"
"""Beside ``raysim/``, installed as ``raysim.strategies``: imports floors up to ``simulation``; nobody imports it."""

ONLY_IN = {
    "ray": ("raysim.cluster", "raysim.tasks.ray_data", "raysim.cli.doctor"),
    "ray.data": ("raysim.tasks.ray_data",),
    "flwr": (
        *(f"raysim.strategies.flower_{part}" for part in ("classes", "rounds", "server", "state")),
        *(f"raysim.training.flower_{part}" for part in ("app", "calls", "engine", "values")),
    ),
    "deepspeed": ("raysim.training.deepspeed_engine",),
    "opacus": ("raysim.training.dp_sgd",),
    "dp_accounting": ("raysim.simulation.privacy",),
}
"""Packages that are imported in few places."""

LOGIC = 25
"""Statements inside functions from which on a module has logic of its own, and so a test file of its own."""


def modules(root: Path) -> dict[str, Path]:
    """All modules of a tree by name, those of ``strategies/`` as ``raysim.strategies``."""
    found = {}
    for path in sorted([*root.glob("raysim/**/*.py"), *root.glob(f"{STRATEGIES}/**/*.py")]):
        parts = path.relative_to(root).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join(("raysim", *parts) if parts[0] == STRATEGIES else parts)] = path
    return found


def imports_of(source: str, module: str, known: set[str]) -> Iterator[str]:
    """Every module that `source` imports, wherever; ``from a import b`` counts as a, and as a.b where that is one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -node.level] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            inner = [f"{name}.{alias.name}" for alias in node.names]
            inside = [one for one in inner if one in known]
            yield from inside
            if len(inside) < len(inner) or not inner:
                yield name


def imports(root: Path) -> dict[str, set[str]]:
    """For each module of a tree what it imports."""
    found = modules(root)
    return {name: set(imports_of(path.read_text("utf-8"), name, set(found))) for name, path in found.items()}


def inside(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def loose_modules(root: Path) -> list[str]:
    """Files in ``raysim/`` itself, and folders that are no floor."""
    known = {"__init__.py", "__main__.py"}
    found = [path.name for path in root.glob("raysim/*.py") if path.name not in known]
    return found + [path.parent.name for path in root.glob("raysim/*/__init__.py") if path.parent.name not in FLOORS]


def upward_imports(root: Path) -> list[str]:
    """Imports from a folder of one that comes after it."""
    wrong = []
    for module, imported in imports(root).items():
        own = _floor(module)
        if own is None:
            continue
        for other in sorted(imported):
            floor = _floor(other)
            if floor is not None and floor > own and not inside(other, module):
                wrong.append(f"{module} imports {other}")
    return wrong


def misplaced_imports(root: Path) -> list[str]:
    """Imports of a package outside the places that may import it."""
    return [
        f"{module} imports {package}"
        for module, imported in imports(root).items()
        for package, places in ONLY_IN.items()
        if any(inside(name, package) for name in imported) and not any(inside(module, place) for place in places)
    ]


def cycles(root: Path) -> list[str]:
    """Modules that import each other in a circle; the front door, which is all of them late, does not count."""
    known = {module: found for module, found in imports(root).items() if module != "raysim"}
    graph = {module: {one for one in found if one in known and one != module} for module, found in known.items()}
    while leaves := {module for module, found in graph.items() if not found & graph.keys()}:
        graph = {module: found for module, found in graph.items() if module not in leaves}
    return sorted(graph)


def doubled_classes(root: Path) -> list[str]:
    """Names of public classes that two modules define."""
    places: dict[str, list[str]] = defaultdict(list)
    for module, path in modules(root).items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    return [f"{name}: {' and '.join(found)}" for name, found in sorted(places.items()) if len(found) > 1]


def unmirrored_tests(root: Path) -> list[str]:
    """Test files that mirror no module, outside ``tests/flows`` and the tests of the whole tree."""
    wrong = []
    for path in sorted(root.glob("tests/*/**/test_*.py")):
        parts = path.relative_to(root / "tests").parts
        if parts[0] == "flows":
            continue
        place = root if parts[0] == STRATEGIES else root / "raysim"
        name = path.stem.removeprefix("test_")
        if not (place.joinpath(*parts[:-1], f"{name}.py").exists() or place.joinpath(*parts[:-1], name).is_dir()):
            wrong.append(str(path.relative_to(root)))
    return wrong


def untested_modules(root: Path) -> list[str]:
    """Modules with logic of their own whose test file is missing."""
    wrong = []
    for module, path in modules(root).items():
        if statements(path) < LOGIC:
            continue
        parts = module.split(".")[1:] or [module]
        name = f"test_{parts[-1]}.py"
        if not (root.joinpath("tests", *parts[:-1], name).exists() or (root / "tests" / "flows" / name).exists()):
            wrong.append(module)
    return wrong


def statements(path: Path) -> int:
    """Statements inside functions, docstrings left out."""
    return sum(
        isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if node is not function
    )


def _floor(module: str) -> int | None:
    """The place of a module's folder in the order; None: it is not of this project, or the package itself."""
    parts = module.split(".")
    if parts[0] != "raysim" or len(parts) < 2:
        return None
    if parts[1] == STRATEGIES:
        return FLOORS.index("simulation") if len(parts) > 2 else len(FLOORS)
    return FLOORS.index(parts[1]) if parts[1] in FLOORS else None
