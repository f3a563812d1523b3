"""`raysim.run` in a script, in a running event loop and in a notebook: the command line's tables, resumable."""

import asyncio
import copy
import json
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import hashes
from drive import raysim as command_line
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

import raysim
from raysim.store.task_log import read_log
from raysim.tables.io import read_table


def _computed(out: Path) -> Counter[str]:
    return Counter(row["key"] for row in read_log(out / "stages.jsonl") if row["status"] == "computed")


def _raw(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def test_a_path_in_a_script_goes_on_where_the_command_stopped(
    finished_once: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, by_command = finished_once
    shutil.copytree(by_command, tmp_path / "out")
    results = raysim.run(str(path), out=str(tmp_path / "out"), overrides=["seed=[1, 2]", "strategies=[single]"])
    assert "Training" in capsys.readouterr().out
    assert _computed(tmp_path / "out").total() > _computed(by_command).total()
    assert set(results.models["seed"].to_pylist()) == {1, 2}
    command = results.manifest["command"]
    assert command == f"raysim run {path} --out {tmp_path / 'out'} --set 'seed=[1, 2]' --set 'strategies=[single]'"


def test_a_sweep_within_a_running_loop_comes_with_its_points(
    tiny: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = _raw(tiny(strategies=["single"], measure={}, sweep={"trainer.epochs": [1, 2]}))
    source = experiment["organizations"]["alpha"]["source"]
    source["path"] = Path(source["path"])
    given, handlers = copy.deepcopy(experiment), list(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)))

    async def cell() -> raysim.Results:
        return raysim.run(experiment, out=tmp_path / "out", progress=False)

    results = asyncio.run(cell())
    assert capsys.readouterr().out == ""
    assert experiment == given
    assert list(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM))) == handlers
    assert results.sweep.num_rows == 6
    assert list(results.points) == ["epochs=1", "epochs=2"]
    assert "2, of which 2 have finished" in repr(results)
    last = results.points["epochs=2"]
    assert last.report.is_file()
    assert last.manifest["command"] == (
        f"raysim.run(experiment, out='{last.folder}', store='{tmp_path / 'out' / 'store'}',"
        " overrides=['sweep={}', 'trainer.epochs=2'])"
    )


def test_a_plan_is_that_of_the_command_line(finished_once: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path, out = finished_once
    planned = json.loads(command_line("plan", path, "--out", out, "--set", "seed=3", "--json").stdout)
    monkeypatch.chdir(path.parent)
    speed = {"hours", "seconds", "work_seconds", "assumed_flop_per_s"}  # measured anew each time
    for experiment in (path, str(path), _raw(path)):
        found = raysim.plan(experiment, out=out, overrides="seed=3")
        assert {k: v for k, v in found.items() if k not in speed} == {
            k: v for k, v in planned.items() if k not in speed
        }
        assert found.keys() == planned.keys()
        assert found["tokens"]["train"] > 0


def test_relative_paths_of_a_dict_start_from_the_current_folder(
    tiny: Callable[..., Path], corpus_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = _raw(tiny(references=[]))
    for name, folder in corpus_folders.items():
        experiment["organizations"][name]["source"] = {"path": folder.name}
    monkeypatch.chdir(corpus_folders["alpha"].parent)
    loaded = raysim.load_experiment(experiment, ["trainer.epochs=7"])
    assert loaded.base == Path.cwd()
    assert loaded.experiment.trainer.epochs == 7
    assert raysim.plan(experiment)["strategies"]["single"]["unique"] == 3
    monkeypatch.chdir(tmp_path)
    with pytest.raises(raysim.InputError, match="no such folder"):
        raysim.plan(experiment)
    with pytest.raises(raysim.InputError, match=r"^experiment: trainer\.epoch: unknown key"):
        raysim.load_experiment(experiment | {"trainer": {"epoch": 1}})
    with pytest.raises(raysim.InputError, match=r"gone\.yaml: no such file"):
        raysim.run("gone.yaml")


class Notebook:
    """A kernel, as Jupyter starts one, and what its cells print."""

    def __init__(self, kernel: KernelManager, client: BlockingKernelClient) -> None:
        self._kernel, self._client = kernel, client

    def cell(self, code: str, while_it_runs: Callable[[KernelManager], None] = lambda _: None) -> dict[str, str]:
        """Runs a cell to its end; what it printed, showed, and the name of the error that ended it."""
        asked = self._client.execute(code)
        while_it_runs(self._kernel)
        found = {"out": "", "text": "", "html": "", "error": ""}
        while True:
            message = self._client.get_iopub_msg(timeout=180)
            if message["parent_header"].get("msg_id") != asked:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    found["out"] += content["text"]
                case "execute_result" | "display_data":
                    found["text"] += content["data"].get("text/plain", "")
                    found["html"] += content["data"].get("text/html", "")
                case "error":
                    found["error"] = content["ename"]
                case "status" if content["execution_state"] == "idle":
                    return found


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    kernel = KernelManager()
    kernel.start_kernel(cwd=str(tmp_path))
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        yield Notebook(kernel, client)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


@pytest.mark.slow
def test_a_notebook_interrupts_a_run_from_a_dict_and_goes_on_to_the_tables_of_the_command_line(
    notebook: Notebook, finished_small: tuple[Path, Path], tmp_path: Path
) -> None:
    path, by_command = finished_small
    out = tmp_path / "out"
    run = f"import raysim\nresults = raysim.run({_raw(path)!r}, out='out')"

    def interrupt(kernel: KernelManager) -> None:
        deadline_s = time.monotonic() + 120
        while len(_computed(out)) < 10:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        kernel.interrupt_kernel()

    assert notebook.cell(run, interrupt)["error"] == "KeyboardInterrupt"
    before = _computed(out)
    assert 10 <= len(before) < len(_computed(by_command))
    assert not raysim.open_results(out).manifest["finished"]

    ended = notebook.cell(run)
    assert ended["error"] == ""
    assert hashes(out) == hashes(by_command)
    assert max(_computed(out).values()) == 1
    assert before <= _computed(out)
    # Plain lines: no cursor is moved, nothing is coloured, and no line stands in an output of its own.
    assert [line for line in ended["out"].splitlines() if re.fullmatch("[A-Z][a-z ]+", line)] == [
        "Preparing the corpora", "Training", "Evaluating the models", "Writing the tables", "Writing the report",
    ]  # fmt: skip
    assert "\x1b" not in ended["out"]
    assert ended["html"] == ""

    shown = notebook.cell("results")
    assert "out/report.html" in shown["html"]
    assert "alpha, beta, gamma" in shown["text"]
    models = read_table(by_command, "models")
    assert notebook.cell("results.models.to_pandas().shape")["text"] == str(models.shape)
    assert notebook.cell(run + "\nresults.table('losses').num_rows > 0")["text"] == "True"
    assert "InputError" in notebook.cell("raysim.run({'name': 'x'})")["error"]
