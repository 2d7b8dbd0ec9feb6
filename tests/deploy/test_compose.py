"""docker-compose.yml: valid, its commands exist, and its servers are those that the tests run.

No container is started. What can be checked without one is: the compose specification's own schema,
every command against the command line itself, Kafka's settings by Kafka itself.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from bytetracker.settings import load_settings
from fabric.inventory import load_fabric
from sinks.settings import ClickHouseSettings
from tests.servers.provisioned import java_command, kafka_libraries, missing_server

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE_FILE.read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
CONFIG_FOLDER = "/etc/bytetracker/"
#: Processes that run until they are stopped.
PARTS = {"worker", "sink", "alerts", "console", "collector", "prober"}


def test_compose_file_follows_the_specification() -> None:
    # check-jsonschema carries the specification's schema with it, so nothing is fetched.
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run(
        [*command, str(COMPOSE_FILE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_part_of_the_pipeline_is_a_service() -> None:
    assert set(SERVICES) == {"kafka", "clickhouse", "prometheus", "alertmanager", "grafana", *OURS}
    assert set(OURS) == {"topics", "migrate", *PARTS}


@pytest.mark.parametrize("name", sorted(OURS))
def test_command_of_a_service_exists(name: str) -> None:
    from bytetracker.cli import main

    program, *words = OURS[name]["command"]
    assert program == "bytetracker"
    # The files that are mounted into the container lie in deploy/; the command line may look for them.
    words = [word.replace(CONFIG_FOLDER, f"{ROOT}/deploy/") for word in words]
    command: click.Command = main
    context = click.Context(main, info_name=program)
    while isinstance(command, click.Group):
        found, command_found, words = command.resolve_command(context, words)
        assert command_found is not None, f"bytetracker has no command {found}"
        command, context = command_found, click.Context(command_found, context, info_name=found)
    # Reads the options as a real call would, refuses unknown ones, and runs nothing.
    command.make_context(command.name, words, parent=context.parent)


def test_every_part_gets_the_configuration_that_its_command_names() -> None:
    for name, service in OURS.items():
        mounts = dict(volume.split(":")[:2][::-1] for volume in service["volumes"])
        assert f"{CONFIG_FOLDER}bytetracker.yaml" in service["command"], name
        for inside, outside in mounts.items():
            assert inside.startswith(CONFIG_FOLDER)
            assert (ROOT / outside).is_file(), outside


def test_example_inventory_is_one() -> None:
    assert load_fabric(ROOT / "deploy" / "inventory.yaml").probers


def test_order_of_starting() -> None:
    def waits_for(name: str) -> dict[str, str]:
        return {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}

    done, healthy = "service_completed_successfully", "service_healthy"
    assert waits_for("topics") == {"kafka": healthy}
    assert waits_for("migrate") == {"clickhouse": healthy}
    assert waits_for("sink") == {"topics": done, "migrate": done}
    assert waits_for("console") == {"topics": done, "migrate": done}
    for name in ("worker", "alerts", "collector", "prober"):
        assert waits_for(name) == {"topics": done}
    for name in SERVICES.keys() - {"topics", "migrate"}:
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    for name in ("topics", "migrate"):
        assert SERVICES[name]["restart"] == "no"


def test_workers_can_be_scaled() -> None:
    # A name or a port on the host can be had by one container only.
    assert not {"container_name", "ports", "network_mode"} & set(SERVICES["worker"])


def test_health_of_a_part_is_asked_where_its_metrics_are() -> None:
    settings = load_settings(ROOT / "deploy" / "bytetracker.yaml")
    for name in PARTS:
        asked = " ".join(SERVICES[name]["healthcheck"]["test"])
        port = getattr(settings, name)["metrics_port"]
        assert f":{port}/metrics" in asked, name


def test_nothing_can_be_reached_from_elsewhere() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
    # Those on the host's network listen to the containers only, whatever the file says for all others.
    for name in ("collector", "prober"):
        address = SERVICES[name]["environment"]["BYTETRACKER_METRICS_ADDRESS"]
        assert re.fullmatch(r"\$\{\w+:-172\.17\.0\.1\}", address)


def test_files_that_are_mounted_exist() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            outside = volume.split(":")[0]
            if outside.startswith("."):
                assert (ROOT / outside).exists(), (name, outside)


def test_only_parts_with_raw_sockets_have_a_capability() -> None:
    for name, service in OURS.items():
        raw = name in {"collector", "prober"}
        assert service["cap_drop"] == ["ALL"]
        assert service.get("cap_add", []) == (["NET_RAW"] if raw else [])
        assert service.get("network_mode") == ("host" if raw else None)
        # Nothing is sent into a network by a mere `docker compose up`.
        assert service.get("profiles", []) == (["probing"] if raw else [])
        assert not service.get("privileged", False)


def test_every_service_is_bounded() -> None:
    for name, service in SERVICES.items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert "max-size" in service["logging"]["options"], name


def test_images_are_pinned_and_kafka_is_the_version_that_the_tests_run() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)", dockerfile, flags=re.MULTILINE)
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+[\w.-]*$", image), f"{image} is not pinned to a release"
    pom = (ROOT / "tests" / "servers" / "kafka" / "pom.xml").read_text()
    tested = re.search(r"<kafka\.version>(.+)</kafka\.version>", pom)
    assert tested is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{tested.group(1)}"


def test_image_holds_the_whole_application() -> None:
    allowed = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    folders = {line.strip("!/") for line in allowed if line.startswith("!") and line.endswith("/")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    assert folders == packages


def test_no_secret_stands_in_the_files() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", key):
                # Without a default: nothing starts before somebody has chosen one.
                assert re.match(r"\$\{\w+:\?", str(value)), f"{name}: {key}"
    configuration = (ROOT / "deploy" / "bytetracker.yaml").read_text()
    assert not re.search(r"^\s*password:", configuration, flags=re.MULTILINE)


@pytest.mark.servers
def test_kafka_accepts_its_settings(tmp_path: Path) -> None:
    java, libraries = java_command(), kafka_libraries()
    if java is None or libraries is None:
        missing_server("no Java runtime of version 17 or newer, or no jars of Apache Kafka")
    environment = dict(SERVICES["kafka"]["environment"])
    cluster = environment.pop("CLUSTER_ID")
    del environment["KAFKA_HEAP_OPTS"]
    # The image turns KAFKA_A_B into the setting a.b.
    settings = {
        key.removeprefix("KAFKA_").lower().replace("_", "."): str(v) for key, v in environment.items()
    }
    settings["log.dirs"] = str(tmp_path / "data")
    properties = tmp_path / "server.properties"
    properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    tool = [java, "-cp", f"{libraries}/*", "kafka.tools.StorageTool"]
    formatted = subprocess.run(
        [*tool, "format", "-t", cluster, "-c", str(properties)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert formatted.returncode == 0, formatted.stdout + formatted.stderr


def test_every_service_finds_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a service would only find out when it starts in its container."""

    monkeypatch.setenv("BYTETRACKER_STORE__PASSWORD", "secret")
    monkeypatch.setenv("BYTETRACKER_CONSOLE__TOKEN", "another secret, a longer one")
    settings = load_settings(ROOT / "deploy" / "bytetracker.yaml")
    fabric = load_fabric(ROOT / "deploy" / "inventory.yaml")
    store = settings.store_settings()
    assert isinstance(store, ClickHouseSettings)
    assert store.password == "secret"
    assert "secret" not in repr(store)
    assert settings.worker_settings().kafka.bootstrap_servers == "kafka:9092"
    assert settings.sink_settings().bootstrap_servers == "kafka:9092"
    assert settings.prober_settings().prober in fabric.prober_by_name
    assert settings.collector_settings().name in {collector.name for collector in fabric.collectors}
    receivers = settings.alerts_settings().receivers
    assert receivers["alertmanager"].url == "http://alertmanager:9093"
    assert settings.console_settings().token == "another secret, a longer one"
