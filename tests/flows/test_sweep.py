"""A sweep, end to end: shared stages computed once, every point as it would be alone, and one comparison of all."""

import json
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import hashes, raysim, started

from raysim.store.store import Store
from raysim.store.task_log import read_log
from raysim.tables.io import read_table

ETAS = (0.01, 0.03)
SWEEP = {"strategies.fedyogi.eta": list(ETAS)}
STRATEGIES = [
    "single",
    {"incremental": {"orders": [["alpha", "beta"], ["beta", "alpha"]]}},
    {"fedavg": {"rounds": 1}},
    {"fedyogi": {"rounds": 2}},
]


@pytest.fixture(scope="module")
def swept_once(
    tmp_path_factory: pytest.TempPathFactory, tiny_writer: Callable[[Path], Callable[..., Path]], two: dict[str, Any]
) -> tuple[Path, Path]:
    """A sweep over fedyogi's eta, run inline to its end: its file and its folder."""
    folder = tmp_path_factory.mktemp("swept")
    path = tiny_writer(folder)(sweep=SWEEP, strategies=STRATEGIES, organizations=two)
    ended = raysim("run", path, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    assert "Point 2 of 2: eta=0.03" in ended.stdout
    assert "fedyogi" in ended.stdout.split("Two points: every value of eta (0.01, 0.03).")[1]
    return path, folder / "out"


@pytest.fixture
def swept(swept_once: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """This test's own copy of the sweep."""
    path, out = swept_once
    shutil.copytree(out, tmp_path / "out")
    return path, tmp_path / "out"


def _point(out: Path, eta: float) -> Path:
    return out / "points" / f"eta={eta}"


def _computed(out: Path) -> list[dict[str, Any]]:
    rows = [row for eta in ETAS for row in read_log(_point(out, eta) / "stages.jsonl")]
    return [row for row in rows if row["status"] == "computed"]


@pytest.mark.slow
def test_shared_stages_are_computed_once(swept_once: tuple[Path, Path]) -> None:
    _, out = swept_once
    assert max(Counter(row["key"] for row in _computed(out)).values()) == 1
    # 2 single stages, with which the orders begin; 2 second stages of orders; the first round, which all federations
    # begin with; the second round for each eta.
    assert Counter(row["setting"] for row in _computed(out) if row["kind"] == "train").total() == 2 + 2 + 2 + 2 + 2
    second = read_log(_point(out, 0.03) / "stages.jsonl")
    assert {r["setting"] for r in second if r["kind"] == "train" and r["status"] == "computed"} == {"fedyogi"}


@pytest.mark.slow
def test_a_point_is_what_the_experiment_gives_alone(
    swept_once: tuple[Path, Path], tiny: Callable[..., Path], two: dict[str, Any], tmp_path: Path
) -> None:
    _, out = swept_once
    alone = tiny(strategies=STRATEGIES, organizations=two)
    ended = raysim("run", alone, "--out", tmp_path / "alone", "--set", "strategies.fedyogi.eta=0.03")
    assert ended.returncode == 0, ended.stderr
    assert hashes(tmp_path / "alone") == hashes(_point(out, 0.03))
    assert hashes(tmp_path / "alone")["models"] != hashes(_point(out, 0.01))["models"]


@pytest.mark.slow
def test_a_second_run_computes_nothing(swept: tuple[Path, Path]) -> None:
    path, out = swept
    tables, computed = [hashes(folder) for folder in (out, *(_point(out, eta) for eta in ETAS))], _computed(out)
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    alone = json.loads((_point(out, 0.03) / "manifest.json").read_text())["command"]
    ended = raysim(*shlex.split(alone)[1:])
    assert ended.returncode == 0, ended.stderr
    assert _computed(out) == computed
    assert [hashes(folder) for folder in (out, *(_point(out, eta) for eta in ETAS))] == tables


@pytest.mark.slow
def test_a_killed_sweep_goes_on(swept_once: tuple[Path, Path], tmp_path: Path) -> None:
    """SIGKILL within the second point."""
    path, undisturbed = swept_once
    out = tmp_path / "killed"
    log = _point(out, 0.03) / "stages.jsonl"
    with started("run", path, "--out", out) as driver:
        driver.until(lambda: any(row["status"] == "computed" for row in read_log(log)))
        driver.kill()
    before = raysim("report", out)
    assert before.returncode == 0, before.stderr
    assert "One of them finished" in before.stdout
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert max(Counter(row["key"] for row in _computed(out)).values()) == 1
    for folder in (".", "points/eta=0.01", "points/eta=0.03"):
        assert hashes(out / folder) == hashes(undisturbed / folder)


@pytest.mark.slow
def test_the_comparison_holds_every_final_model_of_every_point(swept_once: tuple[Path, Path]) -> None:
    _, out = swept_once
    rows = read_table(out, "sweep").to_pylist(maps_as_pydicts="strict")
    # 2 organizations alone, 2 orders, and one federation of each kind, at both points.
    assert len(rows) == 2 * (2 + 2 + 1 + 1)
    assert {row["parameters"]["strategies.fedyogi.eta"] for row in rows} == {"0.01", "0.03"}
    models = {r["model"] for eta in ETAS for r in read_table(_point(out, eta), "models").to_pylist() if r["final"]}
    assert {row["model"] for row in rows} == models
    assert all(row["bits_per_byte"] > 0 and row["exclusive"] >= 0 for row in rows)


@pytest.mark.slow
def test_a_point_is_verified_and_the_sweep_says_so(swept: tuple[Path, Path]) -> None:
    _, out = swept
    ended = raysim("verify", out)
    assert (ended.returncode, "verify its points one by one" in " ".join(ended.stderr.split())) == (2, True)
    ended = raysim("verify", _point(swept[1], 0.01), "--sample", 3)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_a_point_lets_nothing_go_that_a_later_one_starts_from(swept_once: tuple[Path, Path], tmp_path: Path) -> None:
    path, kept = swept_once
    ended = raysim("run", path, "--out", tmp_path / "out", "--set", "store.keep=metrics")
    assert ended.returncode == 0, ended.stderr
    computed = [row["key"] for row in _computed(tmp_path / "out") if row["kind"] == "train"]
    assert max(Counter(computed).values()) == 1
    for eta in ETAS:
        assert hashes(_point(tmp_path / "out", eta)) == hashes(_point(kept, eta))
    store = Store(tmp_path / "out" / "store")
    assert not [key for key in store if (entry := store.peek(key)) and entry.array_names() and not entry.dropped]


@pytest.mark.slow
def test_the_report_again_from_the_results_of_the_points(swept: tuple[Path, Path]) -> None:
    _, out = swept
    page, table = (out / "report.html").read_text(), hashes(out)["sweep"]
    assert all(f'href="points/eta%3D{eta}/report.html"' in page for eta in ETAS)
    assert all(f"<small>eta={eta}</small>" in (_point(out, eta) / "report.html").read_text() for eta in ETAS)
    (out / "report.html").unlink()
    shutil.rmtree(out / "results")
    shutil.rmtree(out / "store")
    ended = raysim("report", out)
    assert ended.returncode == 0, ended.stderr
    assert (out / "report.html").read_text() == page
    assert hashes(out)["sweep"] == table


@pytest.mark.slow
def test_the_plan_counts_shared_stages_once(swept_once: tuple[Path, Path]) -> None:
    path, out = swept_once
    plan = json.loads(raysim("plan", path, "--json").stdout)
    assert plan["strategies"]["incremental"] == {"naive": 8, "unique": 4, "cached": 0}
    assert plan["strategies"]["fedyogi"] == {"naive": 8, "unique": 6, "cached": 0}
    assert plan["stages"] == {"naive": 2 * (2 + 4 + 2 + 4), "unique": 2 + 2 + 2 + 2 + 2, "cached": 0}
    assert [point["new"] for point in plan["points"]] == [2 + 2 + 2 + 2, 2]
    assert plan["tokens"]["train"] == sum(row["tokens"] for row in _computed(out) if row["kind"] == "train")
    assert plan["models"] == len(
        {r["model"] for eta in ETAS for r in read_table(_point(out, eta), "models").to_pylist()}
    )
    done = json.loads(raysim("plan", path, "--out", out, "--json").stdout)
    assert done["stages"]["cached"] == done["stages"]["unique"]
    assert set(done["tokens"].values()) == {0}
    shown = raysim("plan", path)
    assert "a sweep of 2 points" in shown.stdout


@pytest.mark.slow
def test_inspect_says_that_it_shows_the_base_values(swept_once: tuple[Path, Path]) -> None:
    assert "These are the base values" in raysim("inspect", swept_once[0]).stdout


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"trainer.epochs": [2, "many"]}, ["point epochs=many", "trainer.epochs"]),
        ({"organizations.alpha.limit": ["1 MB", "90 B"]}, ["point limit=90-B", "organizations.alpha"]),
        ({"strategies.fedprox.mu": [1]}, ["point mu=1", "'fedprox'", "fedyogi"]),
        ({"trainer.epochs": 2}, ["sweep.trainer.epochs", "list"]),
        ({"name": ["a", "b"]}, ["name cannot be swept"]),
    ],
)
def test_what_is_wrong_with_a_point_is_said_before_any_training(
    sweep: dict[str, Any], words: list[str], tiny: Callable[..., Path], tmp_path: Path
) -> None:
    path = tiny(sweep=sweep)
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert all(word in ended.stderr for word in words), ended.stderr
    assert not list(tmp_path.glob("out/points/*/stages.jsonl"))


@pytest.mark.stress
def test_ray_is_opened_once_and_gives_equal_tables(tiny: Callable[..., Path], tmp_path: Path) -> None:
    """Counts the calls of ray.init that start or join a cluster, in a process of its own."""
    path, inline = tiny(sweep=SWEEP, strategies=[{"fedyogi": {"rounds": 2}}]), tmp_path / "inline"
    ended = raysim("run", path, "--out", inline)
    assert ended.returncode == 0, ended.stderr
    out = tmp_path / "ray"
    code = (
        "import ray, sys\n"
        "calls, init = [], ray.init\n"
        "ray.init = lambda *args, **options: (calls.append(1), init(*args, **options))[1]\n"
        "from raysim.cli.main import main\n"
        f"sys.argv = ['raysim', 'run', {str(path)!r}, '--out', {str(out)!r}, '--set', 'execution.backend=ray']\n"
        "try:\n    main()\nfinally:\n    print('opened', len(calls), ray.is_initialized())\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    assert "opened 1 False" in ended.stdout
    for eta in ETAS:
        assert hashes(_point(out, eta)) == hashes(_point(inline, eta))
