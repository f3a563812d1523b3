"""What travels with a job, and what never does."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from raysim.core.errors import InputError
from raysim.core.own_source import own_digest
from raysim.corpus.sources import SourceSettings, read_source
from raysim.experiment import job_package
from raysim.experiment.job_package import PreparedJob, prepare_job
from raysim.experiment.run import Options

SHARES = {"share": "data"}
Prepare = Callable[..., PreparedJob]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Writes an experiment into a folder with code, a model and more, and prepares its job."""
    for name in (
        "code/a.py",
        "code/.git/config",
        "code/__pycache__/a.pyc",
        "gpt2/config.json",
        "other/b.py",
        "c.jsonl",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")

    def write(options: dict[str, Any] | None = None, **changes: Any) -> PreparedJob:
        raw = {
            "name": "mine",
            "organizations": {"a": {"source": {"packages": ["torch"]}}},
            "tokenizer": {"train": {"corpus": "organizations"}},
            "model": {"config": {"model_type": "gpt2"}},
            "strategies": ["single"],
        }
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump(raw | changes))
        return prepare_job(Options(file, **(options or {})), "/shared/out")

    return write


def test_it_brings_what_the_experiment_names_and_nothing_else(prepare: Prepare) -> None:
    job = prepare(
        organizations={"a": {"source": {"path": "code"}, "held_out": {"files": ["*.jsonl"]}, "agreement": SHARES}},
        model={"pretrained": "./gpt2"},
    )
    assert sorted(job.files) == ["c.jsonl", "code/a.py", "gpt2/config.json", "mine.yaml"]
    assert job.num_bytes == sum(file.stat().st_size for file in job.files.values())


def test_names_of_the_hub_and_paths_of_the_cluster_stay_what_they_are(prepare: Prepare) -> None:
    job = prepare(
        organizations={"a": {"source": {"path": "/data/a"}}, "b": {"source": {"files": ["~/b/*.parquet"]}}},
        references=["stdlib", {"hub": {"name": "someone/code", "split": "train"}}],
        tokenizer={"pretrained": "gpt3"},
    )
    assert list(job.files) == ["mine.yaml"]


@pytest.mark.parametrize("source", [{"path": "code"}, {"files": ["c.jsonl"]}, {"hub": {"name": "code", "split": "x"}}])
def test_code_of_an_organization_that_shares_weights_does_not_travel(prepare: Prepare, source: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^organizations\.b\.source\.[a-z.]+: .* b shares weights alone.*share: data"):
        prepare(organizations={"a": {"source": {"packages": ["torch"]}}, "b": {"source": source}})


def test_files_of_a_sweeps_points_travel_too(prepare: Prepare) -> None:
    job = prepare(references=[{"path": "code"}], sweep={"references": [[{"path": "code"}], [{"path": "other"}]]})
    assert sorted(job.files) == ["code/a.py", "mine.yaml", "other/b.py"]


def test_what_rayignore_names_stays(prepare: Prepare, tmp_path: Path) -> None:
    for name, rules in {".rayignore": "/code/old/\n*.bin\n", "code/.rayignore": "/b.py\n"}.items():
        (tmp_path / name).write_text(rules)
    (tmp_path / "code" / "old").mkdir()
    for name in ("b.py", "c.bin", "old/d.py", "e.py"):
        (tmp_path / "code" / name).write_text("")
    job = prepare(references=[{"path": "code"}])
    assert sorted(job.files) == ["code/.rayignore", "code/a.py", "code/e.py", "mine.yaml"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ({"path": "nowhere"}, r"references\[0\]\.path: nowhere: there is none beside the experiment"),
        ({"path": ".."}, r"references\[0\]\.path: \.\. leads out of the experiment's folder"),
        ({"path": "code/../../x"}, "there is none beside"),
    ],
)
def test_what_cannot_travel_is_named(prepare: Prepare, reference: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepare(references=[reference])


def test_links_travel_as_far_as_they_stay_in_the_folder(prepare: Prepare, tmp_path: Path) -> None:
    """Each real file once, as a source reads them; what lies elsewhere is not taken along through a link."""
    (tmp_path / "code" / "linked").symlink_to("../other")
    (tmp_path / "code" / "again").symlink_to(".")
    (tmp_path / "code" / "c.py").symlink_to("a.py")
    (tmp_path / "code" / "d.py").symlink_to("nowhere.py")
    job = prepare(references=[{"path": "code"}])
    assert sorted(job.files) == ["code/a.py", "code/linked/b.py", "mine.yaml"]
    read = read_source(SourceSettings(path="code"), tmp_path).files
    assert {f"code/{source.path}" for source in read} == {*job.files} - {"mine.yaml"}
    assert job.num_bytes
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "private.py").write_text("secret = 1\n")
    for link, target in {"private.py": elsewhere / "private.py", "folder": elsewhere}.items():
        (tmp_path / "code" / link).symlink_to(target)
        with pytest.raises(InputError, match=rf"^code/{link}.*: is a link to .*private\.py, out of the experiment's"):
            prepare(references=[{"path": "code"}])
        (tmp_path / "code" / ".rayignore").write_text(f"/{link}\n")
        job_package._rules.cache_clear()  # a command reads each of them once
        assert not any("private" in name for name in prepare(references=[{"path": "code"}]).files)
        (tmp_path / "code" / link).unlink()


def test_too_much_is_refused_before_anything_is_packed(prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_package, "MOST_BYTES", 100)
    with pytest.raises(InputError, match=r"in 2 files, more than .*; the largest: mine.yaml .*\.rayignore"):
        prepare(references=[{"path": "code"}])


def test_a_wrong_experiment_is_refused_with_all_that_needs_no_data(prepare: Prepare) -> None:
    with pytest.raises(InputError, match="unknown strategy 'sinle'"):
        prepare(strategies=["sinle"])
    dealt = {"source": {"path": "/data/a"}, "partition": {"by": {"column": "folder"}}}
    assert prepare(organizations={"a": dealt}).files  # by folders that are there alone


def test_a_name_is_that_of_the_work(prepare: Prepare) -> None:
    one = prepare()
    assert one == prepare()
    assert one.name.startswith("raysim-mine-")
    others = [prepare(seed=2), prepare({"overrides": ("seed=2",)}), prepare({"store": Path("/shared/store")})]
    assert [other.name == one.name for other in others] == [False] * 3
    assert others[0].name == others[1].name


def test_the_command_is_that_of_a_run(prepare: Prepare) -> None:
    job = prepare({"store": Path("/s t"), "overrides": ("seed=[1, 2]",), "overwrite": True})
    assert job.command == (
        "python -m raysim run mine.yaml --out /shared/out --store '/s t' --set 'seed=[1, 2]' --overwrite"
    )
    assert job.about == {"experiment": "mine", "out": "/shared/out"}


@pytest.mark.parametrize("given", ["alert.webhook=https://h/k", "alert={exclusive_lines: 1, webhook: 'https://h/k'}"])
def test_a_webhook_is_not_put_into_a_command_that_others_read(prepare: Prepare, given: str) -> None:
    with pytest.raises(InputError, match=r"^--set alert.*: .*; write it into the experiment's file$") as raised:
        prepare({"overrides": (given,)})
    assert "https" not in str(raised.value)
    measure = {"memorization": {"prompts": {"function": 1}, "when": "every_round"}}
    alert = {"exclusive_lines": 2, "webhook": "https://h/k"}
    prepare({"overrides": ("alert.exclusive_lines=1",)}, alert=alert, measure=measure)


def test_equal_files_make_equal_packages(prepare: Prepare, tmp_path: Path) -> None:
    packages = [tmp_path / f"{number}.zip" for number in range(2)]
    for package in packages:
        prepare(references=[{"path": "code"}]).write(package, False)
        os.utime(tmp_path / "code" / "a.py", (0, 0))
    assert packages[0].read_bytes() == packages[1].read_bytes()
    assert zipfile.ZipFile(packages[0]).namelist() == ["code/a.py", "mine.yaml"]


def test_a_raysim_that_travels_goes_before_an_installed_one(prepare: Prepare, tmp_path: Path) -> None:
    """With its strategies and entry points; as in a job, whose folder is the current one and in PYTHONPATH."""
    prepare().write(tmp_path / "job.zip", True)
    folder = tmp_path / "job"
    zipfile.ZipFile(tmp_path / "job.zip").extractall(folder)
    code = """
import importlib.metadata, raysim, raysim.strategies
from raysim.core.extensions import installed
from raysim.core.own_source import own_digest
print(raysim.__file__, raysim.strategies.__file__, importlib.metadata.distribution("raysim")._path.resolve())
print(own_digest(), "fedavg" in installed("raysim.strategies"))
"""
    there = {**os.environ, "PYTHONPATH": str(folder)}
    ended = subprocess.run([sys.executable, "-c", code], cwd=folder, env=there, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    places, digest = ended.stdout.splitlines()
    assert all(place.startswith(str(folder)) for place in places.split())
    assert digest == f"{own_digest()} True"
