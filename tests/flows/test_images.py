"""Images as an outside package brings them (experiments/plugins/images), on Ray, some of which come often."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from drive import command
from sklearn.datasets import load_digits

from raysim.tables.io import read_table

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "experiments" / "plugins" / "images"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The package in a folder on the path, by pip, as a user would; the tested environment stays as it is."""
    base = tmp_path_factory.mktemp("images")
    copy = copytree(PACKAGE, base / "package")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(base / "site")]
    done = subprocess.run([*pip, *options, str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": str(base / "site")}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(PACKAGE))
    yield importlib.import_module("raysim_images")
    sys.modules.pop("raysim_images", None)


def test_an_image_is_read_as_it_was_written(module: Any) -> None:
    image = np.random.default_rng(1).integers(0, 16, (8, 8))
    np.testing.assert_array_equal(module.read(module.written(image)), image)
    text = module.written(image)
    for broken in (text[:-9], text.replace("\n", " ", 1), "g" + text[1:], "0" + text, ""):
        assert module.read(broken) is None, broken
    np.testing.assert_array_equal(module.read(text + "more"), image)


def test_the_source_gives_every_image_and_some_of_them_often(module: Any) -> None:
    files = module.Digits(module.DigitsSettings(classes=(0, 7), repeated=3, times=5)).read(Path()).files
    assert len(files) == 178 + 179 + 3 * 4
    assert len({file.path for file in files}) == len(files)
    texts = [file.text for file in files]
    assert sorted(texts.count(text) for text in set(texts))[-4:] == [1, 5, 5, 5]
    images: Any = load_digits()
    first = next(file for file in files if file.path == "0/0000_00.txt")
    assert (module.read(first.text) == np.minimum(images.images[0], 15)).all()


def test_distances_are_those_of_rows_that_were_not_shown(module: Any) -> None:
    draw = np.random.default_rng(2)
    images = draw.integers(0, 16, (7, 8, 8))
    answer = images[2].copy()
    answer[:3] = 0  # shown rows do not count
    answer[3, 0] = (answer[3, 0] + 3) % 16
    settings = module.ImageCopiesSettings()
    texts = [module.written(image) for image in images]
    found = module.compared(module.written(answer), texts[:4], texts[4:], settings)

    def by_hand(other: Any) -> float:
        return float(np.mean([((answer[y, x] - other[y, x]) / 15) ** 2 for y in range(3, 8) for x in range(8)]) ** 0.5)

    assert found["nearest"] == texts[2]
    assert found["distance"] == pytest.approx(min(map(by_hand, images[:4])))
    assert found["held_out_distance"] == pytest.approx(min(map(by_hand, images[4:])))
    assert found["covered"]
    ratio = found["distance"] / found["held_out_distance"]
    nearly = module.ImageCopiesSettings(ratio=ratio * 0.999)
    assert not module.compared(module.written(answer), texts[:4], texts[4:], nearly)["covered"]
    assert not module.compared("no image", texts[:4], texts[4:], settings)["is_image"]


def run_images(out: Path, environment: dict[str, str], *more: str) -> None:
    """Runs the debug experiment on a Ray of its own, whose workers find the package, too."""
    overrides = [f"execution.private={out.parent}/private", *more]
    settings = [word for override in overrides for word in ("--set", override)]
    arguments = command("run", PACKAGE / "images_debug.yaml", "--out", out, *settings)
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=800, env=environment)
    assert done.returncode == 0, done.stderr


FEW_PROCESSES = "execution.share_actors=true", "execution.slots=1"
"""One for all organizations."""


def test_every_model_is_asked_for_images_of_every_organization(environment: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_images(out, environment, *FEW_PROCESSES, "trainer.epochs=1", "strategies=[single, {fedavg: {rounds: 1}}]")
    finals = {row["model"] for row in read_table(out, "models").to_pylist() if row["final"]}
    copies = pq.read_table(out / "results" / "image_copies.parquet").to_pylist()
    owners = ("bank", "post", "school")
    found = {(row["model"], row["organization"], row["split"]) for row in copies}
    assert found >= {(model, owner, split) for model in finals for owner in owners for split in ("train", "valid")}
    assert 'id="image_copies"' in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.stress
def test_images_that_come_often_are_copied_by_models_that_saw_them_alone(
    environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_images(out, environment)
    models = read_table(out, "models").to_pylist()
    seen, last = ({row["model"]: row[name] for row in models} for name in ("organizations", "last"))
    copies = pq.read_table(out / "results" / "image_copies.parquet").to_pylist()
    often = [row for row in copies if row["split"] == "train" and row["copies"] > 1]
    for owner in ("bank", "post", "school"):
        rows = [row for row in often if row["organization"] == owner]
        trained_last = [row["covered"] for row in rows if last[row["model"]] == owner]
        assert len(trained_last) >= 3
        assert all(trained_last)
        assert not any(row["covered"] for row in rows if owner not in seen[row["model"]])
    assert not any(row["covered"] for row in copies if row["split"] == "valid" and not seen[row["model"]])
    # Whole rows of pixels, by the path of code: of the owner alone, and of models that saw it.
    samples = [row for row in read_table(out, "samples").to_pylist() if row["exclusive"]]
    assert samples
    assert all(row["owner"] in seen[row["model"]] for row in samples)
    assert 'id="image_copies"' in (out / "report.html").read_text(encoding="utf-8")
