"""What `clusters/` holds is right as far as schemas and linters can tell, and a planted fault in each is found."""

import fnmatch
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CLUSTERS = ROOT / "clusters"
RAYJOB = Path(__file__).with_name("kuberay") / "rayjob.schema.json"

Manifest = dict[str, Any]


def tool(name: str, *args: object) -> "subprocess.CompletedProcess[str]":
    """Runs a program that is installed beside this Python."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def manifests() -> Iterator[Manifest]:
    """All documents of the files for Kubernetes."""
    for path in sorted((CLUSTERS / "kuberay").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def closed(schema: Any) -> Any:
    """A schema of Kubernetes' that takes no unknown fields, as `kubectl` does where it validates strictly."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(value) for name, value in schema.items()}
    return {"additionalProperties": False, **found} if isinstance(schema.get("properties"), dict) else found


@pytest.fixture(scope="module")
def problems() -> Callable[[Manifest], list[str]]:
    """What is wrong with a RayJob."""
    validator = jsonschema.Draft202012Validator(closed(json.loads(RAYJOB.read_text())))
    return lambda manifest: [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


JOBS = {one["metadata"]["name"]: one for one in manifests() if one["kind"] == "RayJob"}


@pytest.mark.parametrize("name", JOBS)
def test_rayjobs_are_those_of_the_schema(problems: Callable[[Manifest], list[str]], name: str) -> None:
    assert problems(JOBS[name]) == []


def _pods(job: Manifest) -> Iterator[Manifest]:
    cluster = job["spec"]["rayClusterSpec"]
    yield from (group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]))


FAULTS: dict[str, Callable[[Manifest], object]] = {
    "backofLimit": lambda job: job["spec"].update(backofLimit=2),
    "ttlSecondsAfterFinished": lambda job: job["spec"].update(ttlSecondsAfterFinished="10m"),
    "maxReplicas": lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].update(maxReplicas="2"),
    "authOptions": lambda job: job["spec"]["rayClusterSpec"].update(authOptions={"mode": "password"}),
    "mountPath": lambda job: next(_pods(job))["containers"][0]["volumeMounts"].append({"name": "x", "mountpath": "/x"}),
    "cpu": lambda job: next(_pods(job))["containers"][0].update(resources={"limits": {"cpu": [4]}}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_rayjob_is_found(problems: Callable[[Manifest], list[str]], fault: str) -> None:
    broken = json.loads(json.dumps(JOBS["raysim"]))
    FAULTS[fault](broken)
    assert fault in " ".join(problems(broken))


@pytest.mark.parametrize("name", JOBS)
def test_a_retry_of_a_rayjob_finds_what_the_last_one_has_done(name: str) -> None:
    """It is another cluster, so out and store lie on a volume that is claimed; the image has this Ray."""
    job = JOBS[name]
    head = next(_pods(job))
    out = Path(job["spec"]["entrypoint"].partition(" --out ")[2])
    (volume,) = (one["name"] for one in head["containers"][0]["volumeMounts"] if out.is_relative_to(one["mountPath"]))
    claims = {one["name"]: one["persistentVolumeClaim"]["claimName"] for one in head["volumes"] if
              "persistentVolumeClaim" in one}  # fmt: skip
    claimed = [one["metadata"]["name"] for one in manifests() if one["kind"] == "PersistentVolumeClaim"]
    assert claims[volume] in claimed
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == version("ray")
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    for pod in _pods(job):
        volumes = {one["name"] for one in pod["volumes"]}
        (container,) = pod["containers"]
        assert {one["name"] for one in container["volumeMounts"]} == volumes
        assert container["resources"]["requests"] == container["resources"]["limits"]
        grace = {one["name"]: one["value"] for one in container["env"]}["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"]
        assert float(grace) < pod["terminationGracePeriodSeconds"]  # else the pod goes while its node is draining
        assert "lifecycle" not in container  # `ray stop` would end the node at once


def test_sites_have_their_labels_and_volumes_of_their_own() -> None:
    """Those that the comment of the file has in its experiment."""
    text = (CLUSTERS / "kuberay" / "sites.yaml").read_text()
    groups = JOBS["raysim-sites"]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    claims = [group["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] for group in groups]
    assert len({*claims}) == len(groups) == 2
    for group in groups:
        name = group["groupName"]
        assert group["labels"] == {"site": name}
        assert f"{name}: {{source: {{path: /corpus}}, node: {{site: {name}}}}}" in text


def test_the_autoscalers_file_is_that_of_rays_schema() -> None:
    config = yaml.safe_load((CLUSTERS / "autoscaler.yaml").read_text())
    schema = json.loads((files("ray") / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    assert config["head_node_type"] in config["available_node_types"]
    for fault in ({"max_worker": 3}, {"idle_timeout_minutes": "5m"}, {"available_node_types": {"head": {"cpus": 1}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**config, **fault}, schema)


SCRIPTS = sorted([*CLUSTERS.glob("*.sh"), *CLUSTERS.glob("*.sbatch")])


def test_scripts_pass_shellcheck(tmp_path: Path) -> None:
    assert len(SCRIPTS) == 4
    checked = tool("shellcheck", *SCRIPTS)
    assert checked.returncode == 0, checked.stdout
    (tmp_path / "broken.sh").write_text(SCRIPTS[0].read_text() + "\nrm -rf $1/x\n")
    assert "SC2086" in tool("shellcheck", tmp_path / "broken.sh").stdout


def test_the_dockerfile_passes_hadolint(tmp_path: Path) -> None:
    linted = tool("hadolint", CLUSTERS / "Dockerfile")
    assert linted.returncode == 0, linted.stdout
    (tmp_path / "Dockerfile").write_text((CLUSTERS / "Dockerfile").read_text() + "\nRUN cd /tmp && sudo true\n")
    broken = tool("hadolint", tmp_path / "Dockerfile")
    assert {code for code in ("DL3003", "DL3004") if code in broken.stdout} == {"DL3003", "DL3004"}


def test_the_image_has_what_the_project_says() -> None:
    """A Python that it supports, the torch that `make install` takes, and all folders that the package is made of."""
    text = (CLUSTERS / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "FROM python:3.12-" in text
    assert "Programming Language :: Python :: 3.12" in project["project"]["classifiers"]
    (torch,) = {word for word in (ROOT / "Makefile").read_text().split() if word.startswith("torch==")}
    assert torch in text.split()
    copied = [word for line in text.splitlines() if line.startswith("COPY") for word in line.split()[1:-1]]
    assert {"raysim", "strategies", "pyproject.toml"} <= set(copied)
    ignored, *let_through = (CLUSTERS / "Dockerfile.dockerignore").read_text().split()
    assert ignored == "**"
    for name in copied:
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name, one.removeprefix("!")) for one in let_through if one.startswith("!"))
    extras = text.partition("'.[")[2].partition("]")[0].split(",")
    assert set(extras) <= set(project["project"]["optional-dependencies"])
