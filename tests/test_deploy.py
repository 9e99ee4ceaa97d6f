"""The examples of deploying name settings, roles and paths that there are."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from prevenant.roles import ROLES, read_roles
from prevenant.settings import Settings

FOLDER = Path("deploy")
POSTGRES, KAFKA = "postgresql+psycopg://a@b/c", "kafka://k:9092"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
_SETTING = re.compile(r"PREVENANT_[A-Z_]*[A-Z]")


def containers(document: Any) -> Iterator[dict[str, Any]]:
    """Yield every container of a document of Kubernetes'."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == "containers":
                yield from value
            else:
                yield from containers(value)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_every_setting_is_one(path: Path) -> None:
    known = {f"PREVENANT_{name.upper()}" for name in Settings.model_fields}
    named = set(_SETTING.findall(path.read_text("utf-8"))) - {"PREVENANT_TWILIO"}
    assert named <= known


def test_compose_runs_every_role_on_what_it_has() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
    ours = {name: one for name, one in services.items() if one.get("image") == "prevenant"}
    roles = [one["command"].removeprefix("run --role ") for one in ours.values()]
    assert set.union(*(set(read_roles(one, POSTGRES, KAFKA)) for one in roles)) == set(ROLES)
    for one in ours.values():
        assert set(one["depends_on"]) <= set(services)
        values = {
            name.removeprefix("PREVENANT_").lower(): re.sub(r"\$\{.*?\}", "", value)
            for name, value in one["environment"].items()
        }
        assert Settings.model_validate(values).kafka_url == "kafka://kafka:9092"


def test_kubernetes_runs_every_role() -> None:
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8")))
    found = [one for document in documents for one in containers(document)]
    roles = [one["args"][-1] for one in found]
    assert set.union(*(set(read_roles(one, POSTGRES, KAFKA)) for one in roles)) == set(ROLES)
    (settings,) = (one["data"] for one in documents if one["kind"] == "ConfigMap")
    values = {name.removeprefix("PREVENANT_").lower(): value for name, value in settings.items()}
    assert Settings.model_validate(values).kafka_partitions == "48"
    for document in documents:
        if document["kind"] in {"Deployment", "StatefulSet"}:
            labels = document["spec"]["template"]["metadata"]["labels"]
            assert document["spec"]["selector"]["matchLabels"] == labels
            volumes = {
                one["name"] for one in document["spec"]["template"]["spec"].get("volumes", [])
            }
            mounts = {
                one["name"] for box in containers(document) for one in box.get("volumeMounts", [])
            }
            assert mounts == volumes


def test_kubernetes_probes_every_process_where_it_answers() -> None:
    documents = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8")))
    (settings,) = (one["data"] for one in documents if one["kind"] == "ConfigMap")
    for box in (one for document in documents for one in containers(document)):
        setting = "HTTP" if "console" in box["args"][-1] else "PROBES"
        host, _, port = settings[f"PREVENANT_{setting}"].partition(":")
        assert host == "0.0.0.0"
        ports = {one["name"]: one["containerPort"] for one in box["ports"]}
        for kind, path in (
            ("startup", "healthz"),
            ("liveness", "healthz"),
            ("readiness", "readyz"),
        ):
            asked = box[f"{kind}Probe"]["httpGet"]
            assert (asked["path"], ports[asked["port"]]) == (f"/{path}", int(port))


def test_compose_probes_every_process_where_it_answers() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
    for one in services.values():
        if one.get("image") != "prevenant":
            continue
        setting = "HTTP" if "console" in one["command"] else "PROBES"
        port = one["environment"][f"PREVENANT_{setting}"].partition(":")[2]
        assert f"http://127.0.0.1:{port}/readyz" in one["healthcheck"]["test"][-1]


@pytest.mark.parametrize("path", sorted((FOLDER / "systemd").glob("*.service")), ids=str)
def test_systemd_starts_and_restarts_a_command_that_there_is(path: Path) -> None:
    text = path.read_text("utf-8")
    (command,) = re.findall(r"^ExecStart=/opt/prevenant/bin/prevenant (.*)$", text, re.MULTILINE)
    # %i would be `route\\x2cengage`: no name of a unit has a comma.
    assert command in {"run", "run --role %I"}
    assert "Restart=always" in text


def test_the_image_has_every_package() -> None:
    packages = re.findall(
        r"^COPY (\w+) /src/", (FOLDER / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )
    wheel = Path("pyproject.toml").read_text("utf-8").split("only-include = ")[1].splitlines()[0]
    assert set(packages) == set(re.findall(r'"(\w+)"', wheel))


def test_the_image_can_be_built_of_what_is_copied(tmp_path: Path) -> None:
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    for copied, target in re.findall(r"^COPY (.*) (/src/\S*)$", text, re.MULTILINE):
        for one in map(Path, copied.split()):
            if one.is_dir():
                shutil.copytree(one, tmp_path / target.removeprefix("/src/"))
            else:
                shutil.copy(one, tmp_path)
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with ZipFile(wheel) as files:
        names = set(files.namelist())
    assert {
        "prevenant/console/static/vendor/htmx.js",
        "prevenant/on_kafka.py",
        "prevenant/_app/ingest/publishing.py",
        "prevenant/_app/rules.yaml",
    } <= names


def test_whoever_the_image_runs_as_can_write_where_volumes_go() -> None:
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
    targets = {
        volume.split(":")[1]
        for one in services.values()
        if one.get("image") == "prevenant"
        for volume in one["volumes"]
        if not volume.endswith(":ro")
    }
    made = re.findall(r"install --directory --owner prevenant (.*)$", text, re.MULTILINE)
    assert targets <= set(made[0].split())
    (user,) = re.findall(r"^USER (\d+)$", text, re.MULTILINE)
    documents = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8"))
    pods = [
        one["spec"]["template"]["spec"] for one in documents if "template" in one.get("spec", {})
    ]
    for pod in pods:
        if any(not volume.get("configMap") for volume in pod.get("volumes", [])):
            assert pod["securityContext"]["fsGroup"] == int(user)
