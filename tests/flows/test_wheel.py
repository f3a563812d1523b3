"""The package as users get it: a wheel that holds what it should, installs and runs without the source tree."""

import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def packages_on_disk(root: Path) -> dict[str, Path]:
    """Every folder with Python files below `raysim` and `strategies`, by the name that it is installed under."""
    found: dict[str, Path] = {}
    for top, installed in (("raysim", "raysim"), ("strategies", "raysim.strategies")):
        for folder in {path.parent for path in (root / top).rglob("*.py")}:
            parts = folder.relative_to(root / top).parts
            found[".".join((installed, *parts))] = folder
    return found


def test_the_listed_packages_are_those_on_disk() -> None:
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(packages_on_disk(ROOT))
    assert len(set(listed)) == len(listed)


def test_every_package_says_what_it_is() -> None:
    for name, folder in packages_on_disk(ROOT).items():
        assert (folder / "__init__.py").is_file(), name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that nothing is left in the tree."""
    base = tmp_path_factory.mktemp("wheel")
    source = base / "source"
    for folder in ("raysim", "strategies"):
        copytree(ROOT / folder, source / folder, ignore=ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / file, source / file)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(base / "dist"), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (made,) = (base / "dist").glob("*.whl")
    return made


@pytest.mark.slow
def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected: set[str] = set()
    for name, folder in packages_on_disk(ROOT).items():
        expected |= {f"{name.replace('.', '/')}/{path.name}" for path in folder.glob("*.py")}
    templates = [path for path in (ROOT / "raysim" / "report" / "templates").rglob("*") if path.is_file()]
    expected |= {path.relative_to(ROOT).as_posix() for path in templates}
    assert "raysim/strategies/fedavg.py" in expected
    assert {name for name in names if ".dist-info/" not in name} == expected


class Installed:
    """An environment of its own that holds the wheel, and borrows everything else from the one that tests."""

    def __init__(self, base: Path, wheel: Path) -> None:
        venv.create(base / "env", symlinks=True)
        self._python = base / "env" / "bin" / "python"
        (site,) = (base / "env" / "lib").glob("python*/site-packages")
        # Packages of these folders are found behind the environment's own; .pth files in them, of editable installs
        # too, have no effect.
        borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
        (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "--python", str(self._python), "--disable-pip-version-check"]
        self._check([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], base, {})
        self.site = site
        self.folder = base

    def python(self, *args: str, **env: str) -> str:
        return self._check([str(self._python), *args], self.folder, env)

    def raysim(self, *args: str, **env: str) -> str:
        return self._check([str(self._python.parent / "raysim"), *args], self.folder, env)

    @staticmethod
    def _check(command: list[str], folder: Path, env: Mapping[str, str]) -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={"PATH": "/usr/bin:/bin", **env})
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


@pytest.mark.slow
def test_the_wheel_runs_where_the_sources_are_not(installed: Installed) -> None:
    assert "inspect" in installed.raysim("--help")
    where = installed.python("-c", "import raysim; print(raysim.__file__)")
    assert Path(where.strip()).is_relative_to(installed.site)
    code = installed.folder / "code"
    code.mkdir()
    (code / "tool.py").write_text("def double(x):\n    return 2 * x\n", encoding="utf-8")
    assert "Wrote mine.yaml" in installed.raysim("init", "--org", f"acme={code}", "--file", "mine.yaml")
    assert str(code) in (installed.folder / "mine.yaml").read_text(encoding="utf-8")


LOAD_ALL = """
from importlib.metadata import distribution
for point in distribution("raysim").entry_points:
    loaded = point.load()
    if point.group.startswith("raysim."):
        print(point.group, point.name, loaded.__module__)
"""


@pytest.mark.slow
def test_a_folder_called_strategies_shadows_nothing(installed: Installed) -> None:
    """A job's working directory is on the path, and may hold anything."""
    job = installed.folder / "job"
    (job / "strategies").mkdir(parents=True)
    (job / "strategies" / "__init__.py").write_text("raise ImportError('the folder of a user')\n", encoding="utf-8")
    lines = installed.python("-c", LOAD_ALL, PYTHONPATH=str(job)).splitlines()
    listed = [
        f"{group} {name} {value.partition(':')[0]}"
        for group, points in PROJECT["project"]["entry-points"].items()
        for name, value in points.items()
    ]
    assert sorted(lines) == sorted(listed)
    assert "raysim.strategies fedavg raysim.strategies.fedavg" in lines
