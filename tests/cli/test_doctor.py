"""What `raysim doctor` says of this machine."""

import json
import shutil
from pathlib import Path

import pytest
from drive import raysim

from raysim.cli import doctor
from raysim.sandbox import sandbox


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepSpeed, which takes seconds to try: `test_doctor_knows_the_versions` has it tried."""
    monkeypatch.setattr(doctor, "deepspeed_facts", lambda _: "not tried")


def test_doctor_knows_the_versions() -> None:
    facts = json.loads(raysim("doctor", "--json").stdout)
    assert facts["deepspeed"].startswith("trains on ")
    import torch

    assert (
        facts["packages"]["torch"] == torch.__version__.split("+")[0] or facts["packages"]["torch"] == torch.__version__
    )


@pytest.mark.usefixtures("untried")
def test_doctor_says_what_contains_generated_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.examine()["isolation_layers"] == (", ".join(sandbox.in_force()) or "none")
    reasons = dict.fromkeys(("namespaces", "files"), "no such kernel")
    monkeypatch.setattr(sandbox, "protections", lambda: dict.fromkeys(sandbox.LAYERS) | reasons)
    facts = doctor.examine()
    assert facts["isolation_layers"] == "system calls"
    assert "no isolation layer of namespaces around generated programs: no such kernel" in facts["problems"]
    assert any("measure.pass_at_k will not run here" in problem for problem in facts["problems"])


@pytest.mark.usefixtures("untried")
def test_doctor_says_when_ray_has_no_room_on_its_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = shutil.disk_usage(tmp_path)
    for free, told in ((0.04, True), (0.06, False)):
        full = found._replace(free=int(found.total * free))
        monkeypatch.setattr(shutil, "disk_usage", lambda _, full=full: full)
        assert any("is over 95 % full" in problem for problem in doctor.examine()["problems"]) is told
